"""When a fault begins, and what becomes of one whose moment never came."""

from __future__ import annotations

from typing import Any

import pytest
from seatrial_runner.conductor.faults.timeline import (
    Moment,
    Repeats,
    Trigger,
    lasts_s,
    moment,
    never_came,
    recovery_within_s,
    repeats,
    seed_of,
    seed_of_round,
)


def a_fault(**when: Any) -> dict[str, Any]:
    return {"name": "f", "when": when}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, Moment(Trigger.GATE, "", 0.0)),
        ({"after": "20s"}, Moment(Trigger.GATE, "", 20.0)),
        ({"test": "paid"}, Moment(Trigger.TEST, "paid", 0.0)),
        ({"test": "paid", "after": "500ms"}, Moment(Trigger.TEST, "paid", 0.5)),
        ({"fault": "other"}, Moment(Trigger.FAULT, "", 0.0, "other")),
        ({"fault": "other", "after": "3s"}, Moment(Trigger.FAULT, "", 3.0, "other")),
        ({"manual": {}}, Moment(Trigger.MANUAL, "", 0.0)),
    ],
)
def test_when_is_read(when: dict[str, Any], expected: Moment) -> None:
    assert moment(a_fault(**when)) == expected


def test_without_when_a_fault_begins_with_the_gate() -> None:
    assert moment({"name": "f"}) == Moment(Trigger.GATE, "", 0.0)


@pytest.mark.parametrize(
    ("when", "outcome", "words"),
    [
        ({"after": "20s"}, "NotInjected", ["tests ended after 3.2s", "(20s)", "when.after"]),
        ({"test": "paid"}, "Skipped", ["test paid did not run"]),
        ({"test": "paid", "after": "9s"}, "NotInjected", ["test paid ended after 3.2s", "(9s)"]),
        ({"fault": "x", "after": "9s"}, "NotInjected", ["3.2s", "9s after fault x was undone"]),
        ({"fault": "x"}, "NotInjected", ["3.2s", "(when fault x was undone)"]),
        ({"manual": {}}, "Skipped", ["no test started it"]),
    ],
)
def test_a_fault_that_never_came_says_why_and_what_to_change(
    when: dict[str, Any], outcome: str, words: list[str]
) -> None:
    state, message = never_came(a_fault(**when), ran_s=3.2)
    assert state == outcome
    assert [word for word in words if word not in message] == []


def test_spans_are_read_with_their_defaults() -> None:
    assert lasts_s({"name": "f"}) is None
    assert lasts_s({"name": "f", "for": "1m30s"}) == 90.0
    assert recovery_within_s({"name": "f"}) == 60.0
    assert recovery_within_s({"name": "f", "recovery": {"within": "5s"}}) == 5.0


def test_a_fault_happens_once_unless_it_is_repeated() -> None:
    assert repeats(a_fault()) == Repeats(1, 0.0)
    assert repeats(a_fault(every="10s", times=3)) == Repeats(3, 10.0)


def test_the_seed_is_the_faults_own_or_one_from_the_run() -> None:
    assert seed_of({"name": "f", "seed": 0}, "uid") == 0
    drawn = seed_of({"name": "f"}, "uid")
    assert drawn == seed_of({"name": "f"}, "uid")
    assert 0 <= drawn < 2**31
    assert len({drawn, seed_of({"name": "g"}, "uid"), seed_of({"name": "f"}, "other")}) == 3


def test_each_round_has_a_seed_of_its_own_within_the_bounds() -> None:
    assert seed_of_round(7, 1) == 7
    assert [seed_of_round(2**31 - 1, number) for number in (1, 2)] == [2**31 - 1, 0]
