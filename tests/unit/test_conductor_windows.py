"""A request meets a fault when it was sent between its taking effect and the recovery."""

from __future__ import annotations

from datetime import timedelta

import pytest
from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.windows import Windows

from tests.support.virtual_time import GATE


def at(seconds: float) -> str:
    return rfc3339(GATE + timedelta(seconds=seconds))


def an_hour_of(*requests: tuple[float, str]) -> tuple[int, float | None]:
    """Give hits and the first hit's second, of a fault of orders from second 10 to 20."""
    windows = Windows()
    window = windows.open("f", frozenset({"orders"}), GATE + timedelta(seconds=10))
    window.end = GATE + timedelta(seconds=20)
    for second, host in requests:
        windows.meet(GATE + timedelta(seconds=second), host)
    first = window.first_hit
    return window.hits, None if first is None else (first - GATE).total_seconds()


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        pytest.param([(9.999, "orders"), (20.001, "orders")], (0, None), id="before-and-after"),
        pytest.param([(10.0, "orders"), (20.0, "orders")], (2, 10.0), id="at-both-ends"),
        pytest.param([(12.0, "web"), (11.0, "web")], (2, 11.0), id="through-another-service"),
        pytest.param(
            [(11.0, "web"), (12.0, "orders")], (1, 12.0), id="the-targets-own-hosts-first"
        ),
    ],
)
def test_requests_count_when_they_were_sent_in_the_window(
    requests: list[tuple[float, str]], expected: tuple[int, float | None]
) -> None:
    assert an_hour_of(*requests) == expected


@pytest.mark.parametrize(
    ("begin", "end", "during"),
    [
        (0.0, 9.0, []),
        (0.0, 10.0, ["f"]),
        (12.0, 13.0, ["f"]),
        (0.0, 60.0, ["f"]),
        (19.0, 25.0, ["f"]),
        (20.0, 25.0, ["f"]),
        (21.0, 25.0, []),
    ],
)
def test_a_case_names_the_faults_whose_windows_it_overlaps(
    begin: float, end: float, during: list[str]
) -> None:
    windows = Windows()
    windows.restore("f", GATE + timedelta(seconds=10), GATE + timedelta(seconds=20))
    assert windows.during(at(begin), at(end)) == during


def test_a_window_that_is_still_open_reaches_to_the_end_of_time() -> None:
    windows = Windows()
    windows.open("f", frozenset(), GATE)
    assert windows.during(at(1000), at(2000)) == ["f"]
    windows.close("f", GATE + timedelta(seconds=5))
    assert windows.during(at(1000), at(2000)) == []


def test_what_fails_while_a_fault_is_being_carried_out_is_its_doing_and_has_not_met_it() -> None:
    windows = Windows()
    begin, since = GATE + timedelta(seconds=10), GATE + timedelta(seconds=8)
    window = windows.open("f", frozenset({"orders"}), begin, since=since)
    assert windows.meet(GATE + timedelta(seconds=9), "orders") == []
    assert windows.during(at(0), at(7.9)) == []
    assert windows.during(at(0), at(8)) == ["f"]
    assert window.hits == 0


def test_a_window_that_is_closed_stays_as_it_is_when_the_fault_comes_again() -> None:
    windows = Windows()
    windows.restore("f", GATE, GATE + timedelta(seconds=1))
    windows.open("f", frozenset(), GATE + timedelta(seconds=5))
    windows.open("g", frozenset(), GATE + timedelta(seconds=5))
    windows.close("f", GATE + timedelta(seconds=9))
    assert windows.during(at(2), at(4)) == []
    assert windows.during(at(5), at(6)) == ["f", "g"]
    assert windows.during(at(10), at(11)) == ["g"]


def test_a_request_to_the_target_at_the_moment_it_is_undone_has_met_it() -> None:
    windows = Windows()
    window = windows.open("f", frozenset({"payments"}), GATE)
    windows.meet(GATE + timedelta(seconds=1), "orders")
    window.undone = GATE + timedelta(seconds=3)
    windows.meet(GATE + timedelta(seconds=3), "payments")
    assert (window.hits, window.first_hit) == (1, GATE + timedelta(seconds=3))


def test_a_request_to_the_target_when_it_is_undone_does_not_outweigh_those_before() -> None:
    windows = Windows()
    window = windows.open("f", frozenset({"payments"}), GATE)
    windows.meet(GATE + timedelta(seconds=1), "orders")
    windows.meet(GATE + timedelta(seconds=2), "orders")
    window.undone = GATE + timedelta(seconds=3)
    windows.meet(GATE + timedelta(seconds=4), "payments")
    assert (window.hits, window.first_hit) == (3, GATE + timedelta(seconds=1))
