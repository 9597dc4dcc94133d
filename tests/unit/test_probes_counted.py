"""What the checks of a probe come to: which failures count, whose they are, the outage."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial.api.journal import ProbeState
from seatrial_runner.conductor.steady import Check, Ledger
from seatrial_runner.journal import new_summary

from tests.support.builders import a_probe_state
from tests.support.conducted import a_run_doc
from tests.support.virtual_time import GATE, in_virtual_time

HELD, FAILED = "", "response.status is 503"


def a_check(second: float, problem: str = FAILED, *, extra: bool = False) -> Check:
    """A check that took ten milliseconds."""
    began = GATE + timedelta(seconds=second)
    return Check("p", began, began + timedelta(milliseconds=10), problem, extra)


def counted(
    *checks: tuple[str, list[str]], threshold: int = 1, must_hold: bool = False
) -> ProbeState:
    """Count checks, one a second, each with the faults during which it was made."""
    state = a_probe_state("p", checks=0, lastCheck=None, mustHold=must_hold)
    ledger = Ledger(state, threshold)
    for second, (problem, during) in enumerate(checks):
        ledger.take(a_check(second, problem), during)
    return state


def test_a_probe_that_always_held_says_so() -> None:
    state = counted((HELD, []), (HELD, ["f"]), (HELD, []))
    assert (state["checks"], state["failures"], state["outsideFaults"]) == (3, 0, 0)
    assert (state["duringFaults"], state["longestOutageS"], state["message"]) == ([], 0.0, "")
    assert state["lastCheck"] == "2026-11-20T12:00:02.010Z"


def test_a_failure_belongs_to_the_fault_in_whose_window_it_lies() -> None:
    state = counted((HELD, []), (FAILED, ["f"]), (FAILED, ["f", "g"]), (HELD, []))
    assert (state["failures"], state["outsideFaults"]) == (2, 0)
    assert state["duringFaults"] == ["f", "g"]


def test_a_failure_outside_of_every_window_belongs_to_none() -> None:
    state = counted((FAILED, ["f"]), (HELD, []), (FAILED, []))
    assert (state["outsideFaults"], state["duringFaults"]) == (1, ["f"])


@pytest.mark.parametrize(
    ("checks", "outside", "during"),
    [
        pytest.param([(FAILED, [])] * 2 + [(HELD, [])] + [(FAILED, [])] * 2, 0, [], id="never"),
        pytest.param([(FAILED, [])] * 3, 3, [], id="all-of-the-row-count"),
        pytest.param([(FAILED, [])] * 5, 5, [], id="and-all-that-follow"),
        pytest.param([(FAILED, [])] * 2 + [(FAILED, ["f"])] * 2, 0, [], id="two-and-two"),
        pytest.param([(FAILED, [])] * 2 + [(FAILED, ["f"])] * 3, 0, ["f"], id="two-and-three"),
        pytest.param([(FAILED, [])] * 3 + [(FAILED, ["f"])], 3, [], id="three-and-one"),
    ],
)
def test_failures_count_when_as_many_of_a_kind_come_in_a_row(
    checks: list[tuple[str, list[str]]], outside: int, during: list[str]
) -> None:
    state = counted(*checks, threshold=3)
    assert (state["outsideFaults"], state["duringFaults"]) == (outside, during)


def test_an_outage_lasts_from_its_first_failure_to_the_check_that_held_again() -> None:
    state = counted((HELD, []), (FAILED, ["f"]), (FAILED, ["f"]), (FAILED, ["f"]), (HELD, []))
    assert state["longestOutageS"] == 3.0


def test_fewer_failures_than_the_threshold_are_no_outage() -> None:
    state = counted((FAILED, []), (FAILED, []), (HELD, []), threshold=3)
    assert state["longestOutageS"] == 0.0
    assert state["failures"] == 2


def test_an_outage_that_has_not_ended_lasts_until_the_last_check() -> None:
    assert counted((HELD, []), (FAILED, []), (FAILED, []))["longestOutageS"] == 1.01


def test_the_failure_told_is_the_first_that_decides_the_verdict() -> None:
    state = counted(("harmless", ["f"]), (HELD, []), ("bad", []), ("worse", []))
    assert (state["message"], state["firstFailure"]) == ("bad", "2026-11-20T12:00:02.000Z")


def test_within_a_fault_it_decides_only_if_the_probe_must_hold_there() -> None:
    state = counted(("first", ["f"]), (HELD, []), ("second", ["f"]), threshold=1, must_hold=True)
    assert state["message"] == "first"


def test_a_check_out_of_turn_ends_an_outage_but_begins_none() -> None:
    state = a_probe_state("p", checks=0, failures=0)
    ledger = Ledger(state, 1)
    ledger.take(a_check(0, FAILED, extra=True), [])
    assert (state["checks"], state["failures"], ledger.down_since) == (0, 0, None)
    ledger.take(a_check(1, FAILED), ["f"])
    ledger.take(a_check(1.5, HELD, extra=True), ["f"])
    assert (state["longestOutageS"], ledger.down_since) == (0.5, None)


def test_a_conductor_that_comes_back_keeps_the_failure_that_decides() -> None:
    state = counted(("bad", []), (HELD, []))
    Ledger(state, 1).take(a_check(9, "later"), [])
    assert (state["message"], state["outsideFaults"], state["checks"]) == ("bad", 2, 3)


@pytest.mark.parametrize(
    ("first", "must_hold", "told"),
    [
        pytest.param([FAILED], False, "later", id="in-a-fault-where-it-may-fail"),
        pytest.param([FAILED], True, FAILED, id="in-a-fault-where-it-must-hold"),
        pytest.param([], True, "later", id="nothing-yet"),
    ],
)
def test_a_conductor_that_comes_back_knows_whether_a_failure_has_decided(
    first: list[str], must_hold: bool, told: str
) -> None:
    state = counted(("once", ["f"]), (HELD, []), must_hold=must_hold, threshold=2)
    for problem in first:
        Ledger(state, 1).take(a_check(5, problem), ["f"])
    before = state["message"]
    assert before == (FAILED if first and must_hold else "once")
    Ledger(state, 1).take(a_check(9, "later"), [])
    assert state["message"] == told


def test_the_summary_begins_with_a_state_for_each_probe() -> None:
    async def fresh() -> list[ProbeState]:
        probes = [{"name": "p", "tcp": "db:5432", "duringFaults": "MustHold"}]
        return new_summary(a_run_doc(probes=probes), at="")["probes"]

    [state] = in_virtual_time(fresh())
    assert (state["name"], state["mustHold"], state["checks"]) == ("p", True, 0)


def test_the_faults_during_which_it_failed_are_named_within_bounds() -> None:
    state = counted((FAILED, [f"f{number}" for number in range(70)]))
    assert state["duringFaults"] == [f"f{number}" for number in range(64)]


problems = st.sampled_from([HELD, FAILED])
faults = st.lists(st.sampled_from(["f", "g"]), unique=True)


@given(st.lists(st.tuples(problems, faults), max_size=40), st.integers(1, 4))
def test_failures_that_count_are_never_more_than_failures(
    checks: list[tuple[str, list[str]]], threshold: int
) -> None:
    state = counted(*checks, threshold=threshold)
    outside = sum(1 for problem, during in checks if problem and not during)
    inside = {fault for problem, during in checks if problem for fault in during}
    assert 0 <= state["outsideFaults"] <= outside
    assert set(state["duringFaults"]) <= inside
    assert state["checks"] == len(checks)
    if threshold == 1:
        assert state["outsideFaults"] == outside
        assert set(state["duringFaults"]) == inside


@given(st.lists(st.tuples(problems, faults), max_size=40), st.integers(1, 4))
def test_what_the_ledger_remembers_does_not_grow(
    checks: list[tuple[str, list[str]]], threshold: int
) -> None:
    ledger = Ledger(a_probe_state("p"), threshold)
    for second, (problem, during) in enumerate(checks * 5):
        ledger.take(a_check(second, problem), during)
        assert len(ledger._rows) <= 2
