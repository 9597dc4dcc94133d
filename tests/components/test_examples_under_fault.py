"""Examples on a laptop with their faults, by hand: a process is stopped, or dies."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from seatrial_runner.scenario import InstanceResult

from tests.support.laptop import outcomes, system_of


def not_passed(results: Iterable[InstanceResult]) -> dict[str, str]:
    return {each.id: each.message for each in results if each.outcome != "passed"}


@pytest.mark.parametrize(
    ("example", "tests", "faulted"),
    [
        ("user-creation", 2, 1),
        ("order-processing", 3, 1),
        ("saga", 2, 2),
        ("event-sourcing", 3, 2),
        ("cache-restart", 2, 1),
    ],
)
def test_an_example_passes(example: str, tests: int, faulted: int) -> None:
    with system_of(example) as system:
        found = outcomes(example, system.by_pytest())
        assert list(found.values()) == ["PASSED"] * tests
        results = list(system.under_faults())
    assert len(results) == faulted
    assert not_passed(results) == {}


def test_what_comes_twice_is_charged_twice_by_the_broken_twin() -> None:
    example = "order-processing-broken"
    with system_of(example) as system:
        said = system.by_pytest()
    found = outcomes(example, said)
    assert len(found) == 3
    failed = [name for name, outcome in found.items() if outcome != "PASSED"]
    assert failed == ["what-comes-twice-is-charged-once"]
    assert "rows has 2 elements, not 1" in said


@pytest.mark.parametrize(
    ("example", "test", "says"),
    [
        pytest.param(
            "user-creation-broken",
            "mail-comes-later-when-it-was-down",
            "but rows has 0 elements, not 1",
            marks=pytest.mark.slow,  # for the 15 s in which it should come
        ),
        (
            "saga-broken",
            "without-shipping-nothing-is-left",
            "row.reserved is 1, not 0",
        ),
        pytest.param(
            "cache-restart-broken",
            "what-changed-meanwhile-is-known-after-a-restart",
            "hears of the new price): not within 40s",
            marks=pytest.mark.slow,  # for the 40 s in which it should hear
        ),
    ],
)
def test_the_broken_twin_fails_when_a_service_is_down(example: str, test: str, says: str) -> None:
    with system_of(example) as system:
        assert set(outcomes(example, system.by_pytest()).values()) == {"PASSED"}
        failed = not_passed(system.under_faults())
    assert list(failed) == [test]
    assert says in failed[test]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rabbitmq", "kafka"])
def test_nothing_is_lost_or_doubled(name: str, request: pytest.FixtureRequest) -> None:
    events = request.getfixturevalue(name).url
    with system_of(f"queue-{name}", events=events) as system:
        assert not_passed(system.under_faults()) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rabbitmq", "(its successor gets the order again)"),
        ("kafka", "(and does not pack it again): expected size(rows) == 1, but size(rows) is 2"),
    ],
)
def test_the_broken_queue_loses_or_doubles(
    name: str, says: str, request: pytest.FixtureRequest
) -> None:
    events = request.getfixturevalue(name).url
    with system_of(f"queue-{name}-broken", events=events) as system:
        failed = not_passed(system.under_faults())
    assert list(failed) == ["what-dies-in-the-middle-is-done-once"]
    assert says in failed["what-dies-in-the-middle-is-done-once"]
