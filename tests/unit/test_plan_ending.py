"""What ends a run that its conductor does not end."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from seatrial.api import names
from seatrial.api.run import parse_metadata, parse_spec
from seatrial.plan.conditions import Type, find
from seatrial.plan.ending import ending
from seatrial.plan.planner import plan
from seatrial.plan.seen import NamespaceSeen, PodSeen, Refusal, Seen, Subject
from seatrial.plan.status import read_status

from tests.support.builders import UID, a_fault, a_run, a_service, a_summary, a_test, at
from tests.support.simulation import SETTINGS, Simulation

PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
WHOLE = {"services": [a_service("orders")], "tests": [a_test()]}
ENVIRONMENT = "itr-checkout-00000001"
POD = ("Pod", ENVIRONMENT, "seatrial-conductor")


def seconds(status):
    start, end = (datetime.fromisoformat(status[each]) for each in ("startTime", "completionTime"))
    return (end - start).total_seconds()


GATE = at(60)
POD_SEEN = PodSeen("pod", datetime.fromisoformat(at(0)), phase="Running")
NAMESPACE_SEEN = NamespaceSeen("namespace", "owner")
GOING = NamespaceSeen("namespace", "owner", deleting=True)
UNDER_WAY = a_summary(finished=None)
NO_IMAGE = {"reason": "ImagePullFailed", "message": "no such image", "service": "orders"}
REFUSED = Refusal("QuotaExceeded", "The quota is full.")
PROBED = {"probes": [{"name": "up", "http": {"get": "http://orders:8080/health"}}]}
SUCCEEDED = replace(POD_SEEN, phase="Succeeded")


def told_at(seconds):
    """Make the condition of a run that was told to abort then."""
    return {
        "type": "Aborting",
        "status": "True",
        "reason": "Replaced",
        "message": "Run newer of its group took its place.",
        "lastTransitionTime": at(seconds),
    }


def ended(seconds, *, gate=None, told=None, spec=None, **seen):
    """Judge a run that started at 0 so many seconds later; give the reason, if it has ended."""
    status = {"startTime": at(0), "gateTime": gate, "namespace": ENVIRONMENT}
    status["conditions"] = [] if told is None else [told_at(told)]
    body = a_run(**{**WHOLE, **(spec or {})}, status=status)
    subject = Subject(parse_metadata(body), read_status(body), parse_spec(body))
    whole = {"namespace": NAMESPACE_SEEN, "conductor": POD_SEEN, "summary": UNDER_WAY, **seen}
    return ending(subject, subject.status, Seen(**whole), datetime.fromisoformat(at(seconds)))


@pytest.mark.parametrize(
    ("seconds", "situation", "reason"),
    [
        pytest.param(70, {"gate": GATE}, None, id="it-goes-on"),
        pytest.param(70, {"summary": None}, None, id="it-has-just-begun"),
        pytest.param(70, {"gate": GATE, "summary": a_summary()}, "AllPassed", id="finished"),
        pytest.param(
            70,
            {"summary": a_summary(), "spec": {"tests": [a_test(), a_test("missed")]}},
            "ResultsLost",
            id="finished-without-a-test",
        ),
        pytest.param(
            70,
            {"summary": a_summary(), "spec": {"faults": [a_fault()]}},
            "FaultsNotProven",
            id="finished-without-a-fault",
        ),
        pytest.param(
            70,
            {"summary": a_summary(), "spec": PROBED},
            "ProbeNotChecked",
            id="finished-without-a-probe",
        ),
        pytest.param(
            70,
            {"summary": a_summary(finished=None, environmentFailure=NO_IMAGE)},
            "ImagePullFailed",
            id="no-environment",
        ),
        pytest.param(
            70,
            {"gate": GATE, "summary": a_summary(), "told": 69},
            "Replaced",
            id="finished-as-it-was-told",
        ),
        pytest.param(70, {"gate": GATE, "told": 56}, None, id="it-may-undo-its-faults"),
        pytest.param(70, {"gate": GATE, "told": 55}, "Replaced", id="but-no-longer-than-15-s"),
        pytest.param(70, {"summary": None, "told": 70}, "Replaced", id="nothing-to-undo"),
        pytest.param(70, {"told": 70}, None, id="a-conductor-that-makes-the-environment"),
        pytest.param(
            70, {"gate": GATE, "summary": None, "told": 70}, None, id="a-summary-that-was-deleted"
        ),
        pytest.param(70, {"refusal": REFUSED}, "QuotaExceeded", id="refused"),
        pytest.param(70, {"namespace": None}, None, id="gone-and-made-again-before-the-gate"),
        pytest.param(70, {"namespace": GOING}, None, id="going-before-the-gate"),
        pytest.param(
            70, {"gate": GATE, "namespace": GOING}, "EnvironmentLost", id="going-after-the-gate"
        ),
        pytest.param(
            70, {"gate": GATE, "namespace": None}, "EnvironmentLost", id="gone-after-the-gate"
        ),
        pytest.param(70, {"gate": GATE, "conductor": SUCCEEDED}, "ConductorFailed", id="silence"),
        pytest.param(
            70,
            {"gate": GATE, "conductor": SUCCEEDED, "namespace": GOING},
            "EnvironmentLost",
            id="what-took-the-conductor-too-comes-first",
        ),
        pytest.param(
            700,
            {"gate": GATE, "conductor": SUCCEEDED, "spec": {"timeouts": {"tests": "1m"}}},
            "ConductorFailed",
            id="what-made-it-late-comes-before-that-it-is",
        ),
    ],
)
def test_a_run_that_has_started_ends_when_it_must_and_not_before(seconds, situation, reason):
    judgement = ended(seconds, **situation)
    assert (judgement.reason if judgement else None) == reason


@pytest.mark.parametrize(
    ("situation", "message"),
    [
        ({"told": 55}, "Run newer of its group took its place."),
        ({"refusal": REFUSED}, "The quota is full."),
        ({"namespace": GOING}, f"Namespace {ENVIRONMENT} was deleted while the tests ran."),
        (
            {"spec": {"timeout": "1m"}},
            "spec.timeout of 1m is over. Raise it, or see in status.services and status.tests what"
            " took so long. The conductor runs, but has said nothing since"
            f" {UNDER_WAY['updatedAt']}: see the log of pod seatrial-conductor.",
        ),
    ],
)
def test_what_ends_a_run_is_said_in_its_message(situation, message):
    assert ended(70, gate=GATE, **situation).message == message


@pytest.mark.parametrize(
    ("spec", "field", "after"),
    [
        ({"timeouts": {"provisioning": "30s"}}, "spec.timeouts.provisioning", 40),
        ({"timeout": "20s"}, "spec.timeout", 30),
    ],
)
def test_a_silent_conductor_is_given_ten_seconds_after_the_deadline(spec, field, after):
    simulation = Simulation(**PLAIN, **spec)
    simulation.conductors.clear()
    simulation.settle()
    status = simulation.status()
    assert status["verdict"] == "Error"
    assert simulation.condition("Finished")["reason"] == "TimedOut"
    assert status["message"].startswith(f"{field} of ")
    assert seconds(status) == after


def test_tests_that_never_end_are_ended_by_their_own_budget():
    simulation = Simulation(**PLAIN, timeouts={"tests": "1m"})
    simulation.until("Running")
    simulation.conductors.clear()
    simulation.settle()
    assert simulation.status()["message"].startswith("spec.timeouts.tests of 1m")
    assert simulation.condition("EnvironmentReady")["status"] == "True"


def test_a_conductor_that_hangs_is_told_to_stop_and_collect():
    simulation = Simulation(**PLAIN, timeouts={"tests": "1m"})
    simulation.until("Running")
    hanging = dict(simulation.conductors)
    simulation.conductors.clear()
    simulation.settle(within=timedelta(seconds=72))
    assert "verdict" in simulation.status()
    simulation.conductors.update(hanging)  # it comes back, and reads that it is over
    simulation.settle()
    assert simulation.condition("ReportAvailable")["status"] == "True"
    assert simulation.status()["verdict"] == "Error"


def test_an_image_that_cannot_be_pulled_ends_the_run_before_its_deadline():
    simulation = Simulation(**PLAIN)
    simulation.conductors.clear()
    simulation.deliver()
    simulation.look()
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    simulation.cluster.put_status(
        POD, {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
    )
    simulation.settle()
    assert simulation.condition("Finished")["reason"] == "ConductorImagePullFailed"
    assert seconds(simulation.status()) == 20


def test_an_evicted_conductor_is_made_again():
    simulation = Simulation(**WHOLE)
    simulation.until("Running")
    simulation.cluster.put_status(POD, {"phase": "Failed", "reason": "Evicted"})
    simulation.settle()
    assert simulation.cluster.writes.count("create Pod seatrial-conductor") == 2
    assert simulation.status()["verdict"] == "Passed"


def test_an_environment_that_is_deleted_while_tests_run_is_lost():
    simulation = Simulation(**PLAIN)
    simulation.until("Running")
    simulation.conductors.clear()
    simulation.cluster.remove(("Namespace", "", ENVIRONMENT))
    simulation.settle()
    assert simulation.condition("Finished")["reason"] == "EnvironmentLost"
    assert simulation.condition("EnvironmentReady")["status"] == "False"
    assert simulation.status()["phase"] == "Finished"


def test_one_that_is_deleted_before_is_made_again():
    simulation = Simulation(**WHOLE)
    simulation.until("Provisioning")
    simulation.cluster.remove(("Namespace", "", ENVIRONMENT))
    simulation.settle()
    assert simulation.cluster.writes.count(f"create Namespace {ENVIRONMENT}") == 2
    assert simulation.status()["verdict"] == "Passed"


def test_a_verdict_is_not_written_from_what_a_watch_has_missed():
    simulation = Simulation(**PLAIN)
    simulation.until("Running")
    simulation.conduct()  # it finishes, and reports
    simulation.conduct()
    simulation.cluster.put_status(POD, {"phase": "Succeeded"})
    pod = simulation.cluster.objects[POD]
    simulation.world.see_conductor(pod, gone=False)  # the journal's watch lags behind
    simulation.look()
    assert simulation.status()["verdict"] == "Passed"


def test_a_newer_run_of_the_group_takes_the_place_of_the_older():
    simulation = Simulation()
    group = {"concurrency": {"group": "one", "policy": "Replace"}}
    simulation.apply("older", **PLAIN, **group)
    simulation.deliver()
    simulation.look()
    simulation.conduct()
    simulation.cluster.pass_time(timedelta(seconds=2))
    simulation.apply("newer", **PLAIN, **group)
    simulation.settle()
    assert simulation.status("older")["verdict"] == "Aborted"
    assert simulation.condition("Passed", "older")["reason"] == "Replaced"
    assert simulation.status("newer")["verdict"] == "Passed"


def test_a_run_that_is_suspended_waits_and_says_so():
    simulation = Simulation(**PLAIN, suspend=True)
    simulation.settle()
    assert simulation.status()["phase"] == "Queued"
    assert simulation.condition("Reconciling")["reason"] == "Suspended"
    simulation.cluster.edit(simulation.runs[0], suspend=False)
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"


def test_a_conductor_is_told_to_hold_and_to_go_on_also_after_a_restart():
    simulation = Simulation(**PLAIN)
    simulation.until("Running")
    run = ("ConfigMap", ENVIRONMENT, "seatrial-run")
    simulation.cluster.edit(simulation.runs[0], suspend=True)
    simulation.deliver()
    simulation.look()
    assert '"suspend":true' in simulation.cluster.objects[run]["data"]["control.json"]
    simulation.cluster.edit(simulation.runs[0], suspend=False)
    simulation.start_operator()  # it does not know what was said last
    simulation.look()
    assert '"suspend":false' in simulation.cluster.objects[run]["data"]["control.json"]
    assert "run.json" in simulation.cluster.objects[run]["data"]


def test_a_journal_that_someone_deletes_is_made_again_and_read_from_its_beginning():
    simulation = Simulation(**WHOLE)
    simulation.until("Running")
    simulation.cluster.remove(("ConfigMap", ENVIRONMENT, "seatrial-journal"))
    simulation.deliver()
    simulation.look()
    [conductor] = simulation.conductors.values()
    conductor.count_from_zero()
    simulation.settle()
    assert simulation.cluster.writes.count("create ConfigMap seatrial-journal") == 2
    assert simulation.status()["verdict"] == "Passed"


def events_of(simulation):
    return [each for each in simulation.cluster.events if each[1]["kind"] == names.KIND]


def test_a_run_that_is_over_is_not_begun_again_by_what_a_watch_brings_late():
    simulation = Simulation(**PLAIN)
    simulation.settle()
    before, written = simulation.status(), len(simulation.cluster.writes)
    for type_, body in events_of(simulation):
        simulation.take_in(type_, body)
        simulation.settle()
    assert simulation.status() == before
    assert simulation.cluster.writes[written:] == []


def test_what_an_operator_makes_that_knows_only_what_was_long_ago_goes_again():
    simulation = Simulation(**PLAIN)
    simulation.settle()
    before = simulation.status()
    for type_, body in events_of(simulation):
        simulation.start_operator()
        simulation.world.lose_run(body["metadata"]["uid"])
        simulation.take_in(type_, body)
        simulation.settle()
    assert simulation.status() == before
    assert simulation.cluster.in_namespace(ENVIRONMENT) == []
    assert ("Namespace", "", ENVIRONMENT) not in simulation.cluster.objects


def planned_when_deleted(*, finalizers, status):
    body = a_run(status=status, deleted=at(50))
    body["metadata"]["finalizers"] = finalizers
    subject = Subject(parse_metadata(body), read_status(body), parse_spec(body))
    seen = Seen(namespace=NamespaceSeen("namespace", UID))
    return plan(subject, seen, now=datetime.fromisoformat(at(50)), settings=SETTINGS)


@pytest.mark.parametrize(("finalizers", "lets_go"), [([names.FINALIZER], False), ([], None)])
def test_a_run_that_is_deleted_in_the_queue_goes_at_once(finalizers, lets_go):
    planned = planned_when_deleted(finalizers=finalizers, status={})
    assert planned.finalizer is lets_go
    assert planned.status.verdict is None
    assert planned.apply == planned.delete == ()


@pytest.mark.parametrize("gate", [{}, {"gateTime": at(2)}], ids=["before-the-gate", "after-it"])
def test_a_run_that_is_deleted_before_its_end_is_aborted(gate):
    status = {"startTime": at(0), "namespace": ENVIRONMENT, "phase": "Provisioning", **gate}
    planned = planned_when_deleted(finalizers=[names.FINALIZER], status=status)
    finished = find(planned.status.conditions, Type.FINISHED)
    assert (planned.status.verdict, finished.reason) == ("Aborted", "RunDeleted")
    assert planned.status.message == "The run was deleted before its end."
    assert planned.finalizer is not False
