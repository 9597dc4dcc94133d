"""One run from apply to its end, as the operator carries it through."""

from datetime import datetime, timedelta

import pytest
from seatrial.api.errors import ForbiddenError

from tests.support.builders import a_service, a_test
from tests.support.fake_cluster import OperatorKilledError
from tests.support.simulation import Simulation

PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
WHOLE = {
    "services": [a_service("db"), a_service("orders", dependsOn=["db"], files={"/etc/x": "y"})],
    "tests": [a_test(), a_test("any", container={"image": "any:1", "junit": "/results/*.xml"})],
}
ENVIRONMENT = "itr-checkout-00000001"


def nothing_is_left(simulation):
    of_runs = [key for key in simulation.cluster.objects if key[1] == ENVIRONMENT]
    namespaces = [key for key in simulation.cluster.objects if key[0] == "Namespace"]
    return of_runs == [] and namespaces == []


@pytest.mark.parametrize("spec", [PLAIN, WHOLE], ids=["plain", "whole"])
def test_a_run_passes_and_leaves_its_report_alone(spec):
    simulation = Simulation(**spec)
    simulation.settle()
    status = simulation.status()
    assert (status["verdict"], status["phase"]) == ("Passed", "Finished")
    assert nothing_is_left(simulation)
    assert not simulation.cluster.objects[simulation.runs[0]]["metadata"]["finalizers"]
    assert status["report"] == "checkout-report"
    report = simulation.cluster.objects["ConfigMap", "shop", "checkout-report"]
    assert report["metadata"]["ownerReferences"][0]["name"] == "checkout"
    phases = ["Provisioning", "Running", "Collecting", "Cleaning", "Finished"]
    assert [phase for _, phase, _ in simulation.seen] == phases


def test_a_plain_run_takes_few_writes():
    simulation = Simulation(**PLAIN)
    simulation.settle()
    # Each has its reason. One more needs one, too.
    expected = [
        "apply IntegrationTestRun checkout",  # the finalizer
        "apply IntegrationTestRun checkout/status",  # Provisioning
        f"create Namespace {ENVIRONMENT}",
        "apply ServiceAccount seatrial-conductor",
        "apply RoleBinding seatrial-conductor",
        "create ConfigMap seatrial-run",
        "create ConfigMap seatrial-journal",
        "create ConfigMap seatrial-report",
        "apply NetworkPolicy seatrial-default-deny",
        "create Secret seatrial-conductor",
        "create Pod seatrial-conductor",
        "apply IntegrationTestRun checkout/status",  # Running
        "apply IntegrationTestRun checkout/status",  # the verdict
        "create ConfigMap checkout-report",
        "apply IntegrationTestRun checkout/status",  # Cleaning
        f"delete Namespace {ENVIRONMENT}",
        "apply IntegrationTestRun checkout/status",  # Finished
        "apply IntegrationTestRun checkout",  # the finalizer goes
    ]
    assert sorted(simulation.cluster.writes) == sorted(expected)


def crash_points():
    simulation = Simulation(**WHOLE)
    simulation.settle()
    return len(simulation.cluster.writes)


@pytest.mark.parametrize("point", range(1, crash_points() + 1))
def test_the_operator_may_be_killed_after_any_write(point):
    simulation = Simulation(**WHOLE)
    undisturbed = Simulation(**WHOLE)
    undisturbed.settle()
    made = {each for each in undisturbed.cluster.writes if each.startswith("create")}

    def die(what):
        if len(simulation.cluster.writes) == point:
            raise OperatorKilledError(what)

    simulation.cluster.after_write = die
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"
    assert simulation.status()["phase"] == "Finished"
    assert nothing_is_left(simulation)
    created = [each for each in simulation.cluster.writes if each.startswith("create")]
    assert sorted(created) == sorted(made)  # each once, and nothing else


@pytest.mark.parametrize("point", range(1, crash_points() + 1))
def test_the_api_server_may_be_away_for_a_while_at_any_write(point):
    simulation = Simulation(**WHOLE)
    away_until = None

    def fail(what):
        nonlocal away_until
        now = simulation.cluster.now
        if away_until is None and len(simulation.cluster.writes) == point - 1:
            away_until = now + timedelta(seconds=10)
        if away_until is not None and now < away_until:
            raise simulation.unreachable(what)

    simulation.cluster.before_write = fail
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"
    assert nothing_is_left(simulation)


@pytest.mark.parametrize("looks", range(12))
def test_a_run_deleted_at_any_time_leaves_nothing(looks):
    simulation = Simulation(**WHOLE)
    for _ in range(looks):
        simulation.deliver()
        simulation.look()
        simulation.conduct()
    if simulation.runs:
        simulation.cluster.remove(simulation.runs[0])
    simulation.settle()
    assert simulation.runs == []
    assert nothing_is_left(simulation)


def test_a_run_that_is_aborted_says_so_and_goes():
    simulation = Simulation(**WHOLE)
    simulation.until("Provisioning")
    simulation.cluster.edit(simulation.runs[0], abort=True)
    simulation.settle()
    assert simulation.status()["verdict"] == "Aborted"
    assert simulation.condition("Passed")["reason"] == "AbortRequested"
    assert nothing_is_left(simulation)


def test_a_conductor_that_does_not_react_to_an_abort_gets_fifteen_seconds():
    simulation = Simulation(**PLAIN)
    simulation.until("Running")
    simulation.conductors.clear()  # it hangs
    asked = simulation.cluster.now
    simulation.cluster.edit(simulation.runs[0], abort=True)
    simulation.settle()
    assert simulation.status()["verdict"] == "Aborted"
    ended = datetime.fromisoformat(simulation.status()["completionTime"])
    assert ended - asked == timedelta(seconds=15)


def test_a_run_that_cannot_work_ends_before_a_namespace_exists():
    simulation = Simulation(**{**PLAIN, "timeout": "100h"})
    simulation.settle()
    assert simulation.status()["verdict"] == "Error"
    assert simulation.condition("Finished")["reason"] == "InvalidSpec"
    assert simulation.status()["message"].startswith("spec.timeout: ")
    assert simulation.cluster.writes == ["apply IntegrationTestRun checkout/status"]


def test_a_namespace_of_someone_else_is_left_alone():
    simulation = Simulation(**PLAIN)
    theirs = {"kind": "Namespace", "metadata": {"name": ENVIRONMENT, "uid": "theirs"}}
    simulation.cluster.objects["Namespace", "", ENVIRONMENT] = theirs
    simulation.settle()
    assert simulation.status()["verdict"] == "Error"
    assert simulation.condition("Finished")["reason"] == "NamespaceTaken"
    assert simulation.cluster.objects["Namespace", "", ENVIRONMENT] == theirs
    assert simulation.cluster.in_namespace(ENVIRONMENT) == []


def test_the_environment_is_kept_as_long_as_the_spec_says():
    simulation = Simulation(**PLAIN, keepEnvironment={"onSuccess": "10m"})
    simulation.settle(within=timedelta(minutes=5))
    assert simulation.status()["phase"] == "Cleaning"
    assert simulation.condition("CleanedUp")["reason"] == "Kept"
    simulation.cluster.edit(simulation.runs[0], keepEnvironment={"onSuccess": "0s"})
    simulation.settle(within=timedelta(minutes=1))
    assert simulation.status()["phase"] == "Finished"
    assert nothing_is_left(simulation)


def test_a_finished_run_is_deleted_when_its_time_has_come():
    simulation = Simulation(**PLAIN, ttlAfterFinished="1h")
    simulation.settle(within=timedelta(minutes=30))
    assert simulation.status()["phase"] == "Finished"
    simulation.start_operator()
    simulation.settle(within=timedelta(hours=2))
    assert simulation.runs == []


def test_a_namespace_that_stays_is_diagnosed():
    simulation = Simulation(**PLAIN)
    simulation.cluster.namespaces_stick = True
    simulation.settle(within=timedelta(minutes=30))
    assert simulation.status()["verdict"] == "Passed"
    condition = simulation.condition("CleanedUp")
    assert condition["status"] == "False"
    assert condition["reason"] == "NamespaceStuck"
    assert ENVIRONMENT in condition["message"]
    simulation.cluster.namespaces_stick = False
    simulation.settle()
    assert simulation.status()["phase"] == "Finished"


def test_services_wait_for_what_they_depend_on():
    simulation = Simulation(**WHOLE)
    simulation.deliver()
    simulation.look()
    deployments = [key for key in simulation.cluster.objects if key[0] == "Deployment"]
    assert [name for _, _, name in deployments] == ["db"]
    simulation.settle()
    assert "apply Deployment orders" in simulation.cluster.writes


def test_a_conductor_that_is_deleted_is_made_again_and_the_run_goes_on():
    simulation = Simulation(**WHOLE)
    simulation.until("Running")
    simulation.cluster.remove(("Pod", ENVIRONMENT, "seatrial-conductor"))
    simulation.settle()
    assert simulation.cluster.writes.count("create Pod seatrial-conductor") == 2
    assert simulation.status()["verdict"] == "Passed"
    assert simulation.status()["conductorStarts"] == 2


def test_nothing_of_the_system_is_applied_again_once_the_tests_run():
    simulation = Simulation(**WHOLE)
    simulation.until("Running")
    written = len(simulation.cluster.writes)
    simulation.start_operator()  # it does not remember what it has applied
    simulation.deliver()
    simulation.look()
    later = simulation.cluster.writes[written:]
    assert not [each for each in later if "Deployment" in each or "Service " in each]


def test_a_quota_in_the_way_of_the_report_does_not_keep_the_environment():
    simulation = Simulation(**PLAIN)

    def full(what):
        if what == "create ConfigMap checkout-report":
            raise ForbiddenError("exceeded quota: configmaps", status=403)

    simulation.cluster.before_write = full
    simulation.settle()
    assert simulation.status()["verdict"] == "Passed"
    assert simulation.status()["phase"] == "Finished"
    condition = simulation.condition("ReportAvailable")
    assert (condition["status"], condition["reason"]) == ("False", "ReportMissing")
    assert "exceeded quota" in condition["message"]
    assert nothing_is_left(simulation)


@pytest.mark.parametrize("name", ["itr-department", "itr-checkout-0000000a", "kube-system"])
def test_a_namespace_that_only_carries_our_label_is_no_stray(name):
    simulation = Simulation(**PLAIN)
    labels = {"seatrial.dev/run-uid": "00000009-x", "seatrial.dev/component": "environment"}
    metadata = {"name": name, "uid": "theirs", "labels": labels}
    theirs = {"kind": "Namespace", "metadata": {**metadata, "resourceVersion": "1"}}
    simulation.cluster.objects["Namespace", "", name] = theirs
    simulation.relist()
    simulation.settle()
    assert simulation.status()["phase"] == "Finished"
    assert simulation.cluster.objects["Namespace", "", name] == theirs


def an_older_report():
    reference = {"kind": "IntegrationTestRun", "name": "checkout", "uid": "older"}
    metadata = {"name": "checkout-report", "namespace": "shop", "ownerReferences": [reference]}
    return {"kind": "ConfigMap", "metadata": {**metadata, "uid": "r", "resourceVersion": "1"}}


def test_the_report_of_a_run_of_that_name_before_is_waited_for_to_go():
    simulation = Simulation(**PLAIN)
    key = ("ConfigMap", "shop", "checkout-report")
    simulation.cluster.objects[key] = an_older_report()
    simulation.until("Collecting")
    simulation.settle(within=timedelta(seconds=20))
    assert simulation.status()["phase"] == "Collecting"
    del simulation.cluster.objects[key]  # by the garbage collector
    simulation.settle()
    assert simulation.condition("ReportAvailable")["status"] == "True"
    assert nothing_is_left(simulation)


def test_it_is_not_waited_for_without_end():
    simulation = Simulation(**PLAIN)
    older = an_older_report()
    simulation.cluster.objects["ConfigMap", "shop", "checkout-report"] = older
    simulation.settle()
    assert "earlier run" in simulation.condition("ReportAvailable")["message"]
    assert simulation.status()["phase"] == "Finished"
    assert simulation.cluster.objects["ConfigMap", "shop", "checkout-report"] == older
