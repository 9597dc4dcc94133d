"""What is left to do of a run that has its verdict, and for how long it may take."""

import json
from dataclasses import replace
from datetime import datetime

import pytest
from seatrial.api import names
from seatrial.api.run import parse_metadata, parse_spec
from seatrial.plan.conditions import Type, find
from seatrial.plan.planner import plan
from seatrial.plan.seen import NamespaceSeen, PodSeen, Seen, Subject
from seatrial.plan.status import read_status

from tests.support.builders import UID, a_fault, a_run, a_summary, an_open_fault, at
from tests.support.simulation import SETTINGS

ENVIRONMENT = names.run_namespace("checkout", UID)
OURS = NamespaceSeen("namespace", UID)
GOING = replace(OURS, deleting=True)
POD = PodSeen("pod", datetime.fromisoformat(at(0)), phase="Running")
AHEAD = a_summary(reportReady=False)  # of its report
COPIED = {
    "type": "ReportAvailable",
    "status": "True",
    "reason": "ReportCopied",
    "lastTransitionTime": at(70),
}
COLLECTED = {"conditions": [COPIED], "phase": "Cleaning"}


def after(seconds, *, status=None, spec=None, readable=True, deleted=None, **seen):
    """Plan a run whose verdict is of second 60; one minute to collect, five to clean up."""
    verdict = {
        "phase": "Collecting",
        "verdict": "Passed",
        "startTime": at(0),
        "gateTime": at(1),
        "completionTime": at(60),
        "namespace": ENVIRONMENT,
    }
    body = a_run(status={**verdict, **(status or {})}, deleted=deleted, **(spec or {}))
    parsed = parse_spec(body) if readable else None
    subject = Subject(parse_metadata(body), read_status(body), parsed)
    whole = Seen(**{"namespace": OURS, "conductor": POD, "summary": AHEAD, **seen})
    return plan(subject, whole, now=datetime.fromisoformat(at(seconds)), settings=SETTINGS)


def message(planned, type_):
    condition = find(planned.status.conditions, type_)
    return None if condition is None else condition.message


def woken_at(planned):
    return (planned.wake_at - datetime.fromisoformat(at(0))).total_seconds()


@pytest.mark.parametrize(
    ("situation", "missing"),
    [
        pytest.param({}, None, id="it-may-still-come"),
        pytest.param({"summary": a_summary()}, None, id="it-is-copied"),
        pytest.param({"report_copied": True}, "", id="copied"),
        pytest.param({"report_problem": "too large"}, "too large", id="cannot-be-copied"),
        pytest.param(
            {"namespace": None}, "There is no environment to collect it from.", id="no-environment"
        ),
        pytest.param(
            {"namespace": None, "summary": a_summary()},
            "There is no environment to collect it from.",
            id="gone-with-the-environment",
        ),
        *(
            pytest.param(
                {"conductor": pod},
                "The conductor was gone before it had made the report.",
                id=f"conductor-{pod and pod.phase}",
            )
            for pod in (None, replace(POD, phase="Failed"), replace(POD, phase="Succeeded"))
        ),
        pytest.param({"summary": None}, "The conductor never began its work.", id="never-began"),
    ],
)
def test_a_report_that_cannot_come_is_not_waited_for(situation, missing):
    planned = after(70, **situation)
    assert message(planned, Type.REPORT_AVAILABLE) == missing
    report = names.report_name("checkout") if missing == "" else None
    assert planned.status.report == report


@pytest.mark.parametrize(
    ("situation", "end", "missing"),
    [
        pytest.param({}, 125, "It was not there 1m5s after the verdict.", id="slow"),
        pytest.param(
            {"readable": False}, 125, "It was not there 1m5s after the verdict.", id="unreadable"
        ),
        pytest.param(
            {"spec": {"timeouts": {"collecting": "10s"}}},
            75,
            "It was not there 15s after the verdict.",
            id="by-the-spec",
        ),
        pytest.param(
            {"summary": a_summary(), "report_error": "a quota"},
            125,
            "It could not be copied: a quota",
            id="refused",
        ),
    ],
)
def test_a_report_is_waited_for_as_long_as_collecting_may_take(situation, end, missing):
    early = after(end - 1, **situation)
    assert message(early, Type.REPORT_AVAILABLE) is None
    assert woken_at(early) == end
    assert message(after(end, **situation), Type.REPORT_AVAILABLE) == missing


def test_a_report_that_is_there_is_copied_although_it_is_late():
    assert after(500, summary=a_summary()).copy_report


@pytest.mark.parametrize(
    ("summary", "told"),
    [
        pytest.param(a_summary(reportReady=False), False, id="it-has-ended"),
        pytest.param(a_summary(reportReady=False, finished=None), True, id="it-has-not"),
        pytest.param(a_summary(finished=None), True, id="a-report-of-one-that-has-not"),
    ],
)
def test_a_conductor_that_has_not_ended_is_told_to_and_once(summary, told):
    status = {"message": "spec.timeout of 1m is over."}
    planned = after(70, summary=summary, status=status)
    assert planned.copy_report == summary["reportReady"]
    assert [each.key.kind for each in planned.apply] == (["ConfigMap"] if told else [])
    if told:
        [control] = planned.apply
        assert json.loads(control.body["data"]["control.json"]) == {
            "abort": True,
            "abortReason": status["message"],
            "suspend": False,
        }
        again = after(70, summary=summary, status=status, applied={control.key: control.digest})
        assert again.apply == ()


@pytest.mark.parametrize(
    ("verdict", "kept"),
    [("Passed", 60 + 10), ("Failed", 60 + 20)],
)
def test_what_is_kept_goes_at_its_time(verdict, kept):
    spec = {"keepEnvironment": {"onSuccess": "10s", "onFailure": "20s"}}
    status = {**COLLECTED, "verdict": verdict}
    early = after(kept - 1, spec=spec, status=status)
    assert (early.delete, woken_at(early)) == ((), kept)
    assert message(early, Type.CLEANED_UP).startswith(f"Namespace {ENVIRONMENT} is kept until 2026")
    assert after(kept, spec=spec, status=status).delete


@pytest.mark.parametrize(
    ("situation", "deletes"),
    [
        pytest.param({"deleted": at(61)}, True, id="its-user-deletes-the-run"),
        pytest.param({"namespace": GOING}, False, id="it-goes-already"),
        pytest.param({"status": {**COLLECTED, "cleanupTime": at(61)}}, True, id="it-was-to-go"),
        pytest.param({"readable": False}, True, id="nobody-can-read-for-how-long"),
    ],
)
def test_what_is_kept_goes_before_its_time(situation, deletes):
    spec = {"keepEnvironment": {"onSuccess": "1h"}}
    planned = after(65, **{"spec": spec, "status": COLLECTED, **situation})
    assert find(planned.status.conditions, Type.CLEANED_UP).reason == "Deleting"
    assert bool(planned.delete) == deletes


def test_faults_of_what_is_kept_are_undone_at_once_and_of_what_is_collected_in_their_time():
    spec = {
        "faults": [a_fault("away", outage={}, **{"for": "30s"})],
        "keepEnvironment": {"onSuccess": "1h"},
    }
    summary = a_summary(reportReady=False, startedAt=at(0), faults=[an_open_fault(until=at(100))])
    kept = after(65, spec=spec, summary=summary, status=COLLECTED)
    assert [each.fault for each in kept.undo] == ["away"]
    collecting = after(65, spec=spec, summary=summary)
    assert (collecting.undo, woken_at(collecting)) == ((), 100.5)


def test_of_what_a_conductor_says_later_only_what_the_operator_has_undone_is_told():
    spec = {"keepEnvironment": {"onSuccess": "1h"}}
    faults = [{"name": "away", "state": "NotReverted"}, {"name": "other", "state": "NotReverted"}]
    status = {**COLLECTED, "faults": faults}
    undone = an_open_fault(until=at(50), state="Reverted", reverted=at(51), revertedBy="operator")
    other = an_open_fault("other", until=at(50), state="Reverted", revertedBy="deadline")
    planned = after(65, spec=spec, status=status, summary=a_summary(faults=[undone, other]))
    assert [each.state for each in planned.status.faults] == ["Reverted", "NotReverted"]
    silent = after(65, spec=spec, status=status, summary=None)
    assert [each.state for each in silent.status.faults] == ["NotReverted", "NotReverted"]


@pytest.mark.parametrize(
    ("situation", "budget"),
    [
        pytest.param({}, "5m", id="as-it-is-by-itself"),
        pytest.param({"readable": False}, "5m", id="unreadable"),
        pytest.param({"spec": {"timeouts": {"cleanup": "2m"}}}, "2m", id="by-the-spec"),
    ],
)
@pytest.mark.parametrize(
    ("blockers", "said"),
    [("a finalizer", "a finalizer"), ("", "the API server does not say why.")],
)
def test_a_namespace_that_does_not_go_is_diagnosed_when_its_time_is_over(
    situation, budget, blockers, said
):
    status = {**COLLECTED, "cleanupTime": at(70)}
    going = {"status": status, "namespace": replace(GOING, blockers=blockers), **situation}
    end = 70 + int(budget[0]) * 60
    early = after(end - 1, **going)
    assert (message(early, Type.CLEANED_UP), woken_at(early)) == ("", end)
    late = after(end, **going)
    assert late.wake_at is None
    assert (
        message(late, Type.CLEANED_UP)
        == f"Namespace {ENVIRONMENT} has not gone for {budget}: {said}"
    )
    assert late.status.cleanup_time == early.status.cleanup_time
    assert (late.delete, late.status.phase) == ((), "Cleaning")


@pytest.mark.parametrize(
    ("situation", "waits"),
    [
        pytest.param({}, True, id="nothing-runs-in-it"),
        pytest.param({"others_start": False}, False, id="nobody-begins"),
        pytest.param({"namespace": GOING}, False, id="it-goes-already"),
        pytest.param({"readable": False}, False, id="nobody-knows-what-is-in-it"),
        pytest.param({"spec": {}}, False, id="services-run-in-it"),
        pytest.param({"deleted": at(61)}, False, id="its-user-waits"),
    ],
)
def test_those_that_begin_go_first_for_fifteen_seconds(situation, waits):
    plain = {"services": [], "tests": [{"name": "t", "scenario": [{"expect": ["true"]}]}]}
    whole = {"others_start": True, "spec": plain, "status": {**COLLECTED, "cleanupTime": at(70)}}
    planned = after(84, **{**whole, **situation})
    assert (planned.delete == () and woken_at(planned) == 85) == waits
    assert bool(after(85, **{**whole, **situation}).delete) == (
        situation.get("namespace") is not GOING
    )


@pytest.mark.parametrize("ttl", [True, False])
def test_a_run_that_is_over_goes_when_its_time_has_come_and_never_by_itself(ttl):
    spec = {"ttlAfterFinished": "1m"} if ttl else {}
    finished = {"spec": spec, "status": {"phase": "Finished", "cleanupTime": at(80)}}
    early, late = after(119, **finished), after(120, **finished)
    assert early.delete == ()
    assert early.wake_at == (datetime.fromisoformat(at(120)) if ttl else None)
    assert [each.kind for each in late.delete] == (["IntegrationTestRun"] if ttl else [])
    assert after(120, deleted=at(90), **finished).delete == ()


def test_a_run_of_which_somebody_has_taken_away_when_it_ended_stays():
    finished = {"phase": "Finished", "completionTime": None}
    planned = after(500, spec={"ttlAfterFinished": "1m"}, status=finished)
    assert (planned.delete, planned.wake_at) == ((), None)


def test_nothing_is_left_once_the_namespace_is_gone():
    planned = after(75, status=COLLECTED, namespace=None)
    assert planned.status.phase == "Finished"
    assert planned.status.cleanup_time == datetime.fromisoformat(at(75))
    assert find(planned.status.conditions, Type.CLEANED_UP).status == "True"
    began = {**COLLECTED, "cleanupTime": at(70)}
    assert after(75, status=began, namespace=None).status.cleanup_time == datetime.fromisoformat(
        at(70)
    )
