"""What of a run's faults is due to be undone by the operator, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from seatrial.api.journal import FaultState
from seatrial.api.run import parse_metadata, parse_spec
from seatrial.api.status import FaultStatus, RunStatus
from seatrial.plan.seen import Seen, Subject, UndoKey
from seatrial.plan.status import read_status
from seatrial.plan.undoing import Due, due, told

from tests.support.builders import (
    a_fault,
    a_fault_state,
    a_run,
    a_summary,
    an_open_fault,
    at,
)

START = datetime(2026, 11, 20, 12, tzinfo=UTC)  # at(0)
AWAY = a_fault("away", scale={"replicas": 0}, **{"for": "30s"})
ENVIRONMENT = "itr-checkout-00000001"
REMOVES = a_fault("away", configuration={"secret": "login", "remove": {}}, **{"for": "30s"})


def a_subject(*faults: dict[str, Any]) -> Subject:
    status = {"startTime": at(0), "gateTime": at(1), "namespace": ENVIRONMENT}
    body = a_run(status=status, faults=list(faults or [AWAY]))
    return Subject(parse_metadata(body), read_status(body), parse_spec(body))


def seen_with(*states: Any, **more: Any) -> Seen:
    return Seen(summary=a_summary(faults=list(states), finished=None, startedAt=at(0)), **more)


def undone_at(seconds: float, seen: Seen, *, all_: bool = False) -> list[str]:
    subject = a_subject()
    found = due(subject, subject.status, seen, START + timedelta(seconds=seconds), all_=all_)
    return [each.changed["name"] for each in found.undo]


def test_the_conductor_has_half_a_second_to_undo_it_itself():
    seen = seen_with(an_open_fault(until=at(40)))
    assert undone_at(40.4, seen) == []
    assert undone_at(40.5, seen) == ["orders"]


def test_what_is_over_at_nearly_the_same_time_is_undone_together():
    other = a_fault("other", scale={"replicas": 0}, **{"for": "30s"})
    subject = a_subject(AWAY, other)

    def at_once(until: float) -> tuple[int, datetime | None]:
        seen = seen_with(an_open_fault(until=at(40)), an_open_fault("other", until=at(40 + until)))
        found = due(subject, subject.status, seen, START + timedelta(seconds=40.5))
        return len(found.undo), found.look_again

    assert at_once(0.3) == (2, None)
    assert at_once(0.31) == (1, START + timedelta(seconds=40.81))


def test_the_operator_looks_again_at_the_next_deadline():
    ends = {"away": 40, "other": 60, "third": 50}
    faults = [a_fault(name, scale={"replicas": 0}, **{"for": "30s"}) for name in ends]
    subject = a_subject(*faults)
    seen = seen_with(*(an_open_fault(name, until=at(end)) for name, end in ends.items()))

    def look_again(seconds: float) -> datetime | None:
        return due(subject, subject.status, seen, START + timedelta(seconds=seconds)).look_again

    assert look_again(0) == START + timedelta(seconds=40.5)
    assert look_again(45) == START + timedelta(seconds=50.5)
    assert look_again(70) is None


@pytest.mark.parametrize("ahead", [timedelta(minutes=7), timedelta(minutes=-7)])
def test_a_deadline_is_read_by_the_clock_it_was_written_by(ahead):
    until = START + timedelta(seconds=40) + ahead
    seen = seen_with(an_open_fault(until=until.isoformat()), ahead=ahead)
    assert undone_at(40.4, seen) == []
    assert undone_at(40.5, seen) == ["orders"]


def test_what_is_undone_is_not_undone_again():
    key = UndoKey("away", "1", "Deployment", "orders")
    assert undone_at(50, seen_with(an_open_fault(until=at(40)), undone={key: ""})) == []


def test_another_time_that_it_is_played_is_another_undoing():
    key = UndoKey("away", "0", "Deployment", "orders")
    assert undone_at(50, seen_with(an_open_fault(until=at(40)), undone={key: at(20)})) == ["orders"]


def test_when_nobody_tests_any_more_no_deadline_is_waited_for():
    assert undone_at(5, seen_with(an_open_fault(until=at(40))), all_=True) == ["orders"]


def changed(kind: str = "Deployment", name: str = "orders", **more: Any) -> Any:
    objects = [{"kind": kind, "name": name, "uid": "", **more}]
    return an_open_fault(until=at(40), toUndo={"until": at(40), "mark": "1", "objects": objects})


def marked(mark: str) -> Any:
    return changed() | {"toUndo": {**changed()["toUndo"], "mark": mark}}


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(an_open_fault("other", until=at(40)), id="no-fault-of-the-spec"),
        pytest.param(changed("Service"), id="no-scale-changes-a-Service"),
        pytest.param(changed("Secret"), id="no-fault-of-the-operators"),
        pytest.param(changed(name="../../secrets"), id="no-name"),
        pytest.param(changed(kept="a/b"), id="no-name-of-what-is-kept"),
        pytest.param(changed(restart="orders,a!=b"), id="no-name-of-a-service"),
        pytest.param(marked("1,a!=b"), id="no-mark"),
        pytest.param(
            {**changed(), "reverted": at(41), "revertedBy": "operator"}, id="what-is-told-undone"
        ),
    ],
)
def test_only_what_such_a_fault_can_have_changed_is_touched(state):
    assert undone_at(50, seen_with(state)) == []


def test_of_very_many_objects_most_are_the_conductors():
    objects = [{"kind": "Deployment", "name": f"orders-{i}", "uid": ""} for i in range(21)]
    state = an_open_fault(until=at(40), toUndo={"until": at(40), "mark": "1", "objects": objects})
    assert len(undone_at(50, seen_with(state))) == 20


def test_what_an_undoing_tells_is_the_time_by_the_clock_that_is_read():
    subject, ahead = a_subject(), timedelta(minutes=7)
    until = START + timedelta(seconds=40) + ahead
    seen = seen_with(an_open_fault(until=until.isoformat()), ahead=ahead)
    [each] = due(subject, subject.status, seen, START + timedelta(seconds=50)).undo
    assert datetime.fromisoformat(each.at) == START + timedelta(seconds=50) + ahead


def test_when_all_is_undone_there_is_nothing_to_look_at_again():
    subject, seen = a_subject(), seen_with(an_open_fault(until=at(40)))
    assert due(subject, subject.status, seen, START, all_=True).look_again is None


@pytest.mark.parametrize(
    ("subject", "seen"),
    [
        pytest.param({"spec": None}, {}, id="a-spec-that-cannot-be-read"),
        pytest.param({"status": RunStatus(start_time=START)}, {}, id="no-environment"),
        pytest.param({}, {"summary": None}, id="a-conductor-that-has-said-nothing"),
    ],
)
def test_where_nothing_can_be_known_of_faults_nothing_is_undone(subject, seen):
    run = replace(a_subject(), **subject)
    whole = replace(seen_with(an_open_fault(until=at(40))), **seen)
    assert due(run, run.status, whole, START + timedelta(seconds=50)) == Due()


BOTH = {
    "until": at(40),
    "mark": "1",
    "objects": [{"kind": "Deployment", "name": name, "uid": ""} for name in ("a", "b")],
}
KEY_A, KEY_B = (UndoKey("away", "1", "Deployment", name) for name in ("a", "b"))


def told_of(state: Any, undone: dict[UndoKey, str], /, **before: Any) -> FaultState:
    """Give a fault's state as it is told; ``before`` is what its status was."""
    faults = [FaultStatus.model_validate({"name": "away", **before})] if before else []
    summary = told(seen_with(state, undone=undone), RunStatus(faults=faults))
    assert summary is not None
    return summary["faults"][0]


@pytest.mark.parametrize(
    ("more", "undone", "expected"),
    [
        pytest.param({}, {KEY_A: at(42), KEY_B: at(41)}, ("Reverted", at(42)), id="the-last-of-it"),
        pytest.param({}, {KEY_A: at(42)}, ("Active", None), id="the-other-is-not"),
        pytest.param({}, {KEY_A: at(42), KEY_B: ""}, ("Active", None), id="not-all-by-us"),
        pytest.param(
            {"state": "Requested"},
            {KEY_A: at(42), KEY_B: at(41)},
            ("Requested", at(42)),
            id="what-never-was-in-effect-proves-nothing",
        ),
        pytest.param(
            {"state": "Recovered", "reverted": at(40)},
            {KEY_A: at(42), KEY_B: at(41)},
            ("Recovered", at(40)),
            id="a-conductor-has-told-of-it",
        ),
        pytest.param(
            {"toUndo": {**BOTH, "objects": []}}, {}, ("Active", None), id="nothing-was-changed"
        ),
    ],
)
def test_a_fault_is_undone_when_all_that_it_changed_is(more, undone, expected):
    state = told_of(an_open_fault(**{"until": at(40), "toUndo": BOTH, **more}), undone)
    assert (state["state"], state["reverted"]) == expected
    ours = state["revertedBy"] == "operator"
    assert ours == (expected[1] == at(42))
    silent = state["message"] == "the operator undid it, because the conductor was silent"
    assert silent == (expected[0] == "Reverted")


def test_a_fault_that_the_operator_could_not_undo_is_told_as_it_is():
    state = a_fault_state("slow", kind="latency", state="Active", reverted=None)
    assert told_of(state, {KEY_A: at(42)}) == state


@pytest.mark.parametrize(
    ("before", "reverted"),
    [
        ({"revertedBy": "operator", "reverted": at(42), "requested": at(10)}, at(42)),
        ({"revertedBy": "deadline", "reverted": at(42), "requested": at(10)}, None),
        ({"revertedBy": "operator", "requested": at(10)}, None),
        ({"revertedBy": "operator", "reverted": at(42), "requested": at(9)}, None),
        ({"revertedBy": "operator", "reverted": at(42)}, None),
    ],
)
def test_what_an_operator_before_has_undone_is_told_of_the_same_time_only(before, reverted):
    state = told_of(an_open_fault(until=at(40)), {}, kind="outage", state="Reverted", **before)
    assert state["reverted"] == reverted


def test_what_was_undone_is_told_until_a_conductor_does():
    subject, seen = a_subject(), seen_with(an_open_fault(until=at(40)))
    key = UndoKey("away", "1", "Deployment", "orders")
    summary = told(Seen(summary=seen.summary, undone={key: at(41)}), subject.status)
    assert summary is not None
    [fault] = summary["faults"]
    assert (fault["state"], fault["reverted"], fault["revertedBy"]) == (
        "Reverted",
        at(41),
        "operator",
    )


def test_what_somebody_else_has_undone_is_not_claimed():
    subject, seen = a_subject(), seen_with(an_open_fault(until=at(40)))
    key = UndoKey("away", "1", "Deployment", "orders")
    assert told(Seen(summary=seen.summary, undone={key: ""}), subject.status) == seen.summary


def test_a_configuration_is_not_undone_before_the_pods_that_read_it_are_new():
    subject = a_subject()
    seen = seen_with(changed("ConfigMap", "look", kept="seatrial-undo-away", restart="orders"))
    key = UndoKey("away", "1", "ConfigMap", "look")
    summary = told(replace(seen, undone={key: at(41)}), subject.status)
    assert summary is not None
    [fault] = summary["faults"]
    assert (fault["state"], fault["reverted"], fault["revertedBy"]) == ("Active", None, None)
    assert "deleted the pods of service orders that had begun with the other" in fault["message"]


def test_a_secret_that_the_run_has_not_made_is_the_conductors():
    state = an_open_fault(
        until=at(40),
        toUndo={
            "until": at(40),
            "mark": "1",
            "objects": [{"kind": "Secret", "name": "other", "uid": "", "kept": "kept"}],
        },
    )
    subject = replace(a_subject(REMOVES), spares={"login": {}})
    assert due(subject, subject.status, seen_with(state), START + timedelta(seconds=50)).undo == ()


@pytest.mark.parametrize(
    ("kind", "more", "spare"),
    [
        pytest.param("Secret", {}, {"a": "b"}, id="removed-as-a-whole"),
        pytest.param("Secret", {"keys": ["a"]}, None, id="keys-of-it"),
        pytest.param("ConfigMap", {}, None, id="a-ConfigMap-of-that-name"),
    ],
)
@pytest.mark.parametrize("spares", [{"login": {"a": "b"}}, {}], ids=["known", "unknown"])
def test_only_a_secret_that_was_removed_as_a_whole_is_made_of_what_is_known(
    kind, more, spare, spares
):
    subject = replace(a_subject(REMOVES), spares=spares)
    seen = seen_with(changed(kind, "login", **more))
    found = due(subject, subject.status, seen, START + timedelta(seconds=50)).undo
    expected = [] if spare and not spares else [spare]
    assert [each.spare for each in found] == expected


def test_what_its_conductor_could_not_undo_whole_is_undone():
    state = {**changed(), "reverted": at(39), "revertedBy": "deadline"}
    assert undone_at(50, seen_with(state)) == ["orders"]
