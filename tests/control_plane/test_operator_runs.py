"""The operator as a process on a real API server; only the conductors are played."""

import json

import pytest
from seatrial.api import names

from tests.support.builders import a_run, a_service, a_test
from tests.support.kstatus import kstatus

PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
WHOLE = {
    "services": [
        a_service("db", files={"/etc/db/x.conf": "x"}, env={"A": "1", "B": "$(A)"}),
        a_service("orders", replicas=2, dependsOn=["db"]),
        a_service(
            "stock",
            manifests={
                "inline": """
                  {apiVersion: v1, kind: Service, metadata: {name: stock},
                   spec: {selector: {app: stock}, ports: [{name: http, port: 8080}]}}
                  """.strip()
            },
        ),
    ],
    "tests": [
        a_test(),
        a_test("suite", pytest={"configMap": "suite", "parallelism": 2}),
        a_test("any", container={"image": "any:1", "junit": "/results/*.xml"}),
    ],
}

LEVELS = 5_000  # the API server takes 10,000 of the whole object


def finished(status):
    return status.get("phase") == "Finished"


def verdict(status):
    return "verdict" in status


def condition(status, type_):
    return next(each for each in status["conditions"] if each["type"] == type_)


def told_of(api, name):
    """Give the reasons of a run's events, as `kubectl describe` shows them."""
    events = api.items("/api/v1/namespaces/shop/events")
    return [each["reason"] for each in events if each["involvedObject"]["name"] == name]


def names_in(api, namespace, group, plural):
    path = f"/{group}/namespaces/{namespace}/{plural}"
    return sorted(each["metadata"]["name"] for each in api.items(path))


@pytest.fixture(scope="module")
def suite(api):
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "suite", "labels": {names.LABEL_READABLE: "runs"}},
        "data": {"test_it.py": "def test_it(): pass"},
    }
    api.send("POST", "/api/v1/namespaces/shop/configmaps", body)


def test_a_plain_run_passes_and_its_environment_goes(api, operator, conductors):
    api.apply(a_run("plain", **PLAIN))
    status = api.wait_for("shop", "plain", finished)
    assert status["verdict"] == "Passed"
    assert api.get(f"/api/v1/namespaces/{status['namespace']}") is None
    run = api.run("shop", "plain")
    report = api.get("/api/v1/namespaces/shop/configmaps/plain-report")
    assert report["metadata"]["ownerReferences"][0]["uid"] == run["metadata"]["uid"]

    def is_free():
        return not api.run("shop", "plain")["metadata"].get("finalizers")

    api.wait_until(is_free, "the finalizer is gone")
    # No more: each is a write, and a plain run is to be cheap.
    told = {"Started", "EnvironmentReady", "Passed", "ReportAvailable", "CleanedUp"}
    api.wait_until(lambda: set(told_of(api, "plain")) == told, "its events are told")
    assert len(told_of(api, "plain")) == len(told)


def test_the_first_status_that_the_operator_writes_replaces_that_of_a_run_nobody_has_seen(
    api, request
):
    created = api.apply(a_run("unseen", suspend=True, **PLAIN))
    assert created["status"] == {"observedGeneration": -1}
    assert kstatus(created) == "InProgress"

    request.getfixturevalue("operator")
    status = api.wait_for("shop", "unseen", lambda status: "phase" in status)

    assert (status["phase"], status["observedGeneration"]) == ("Queued", 1)
    assert kstatus(api.run("shop", "unseen")) == "InProgress"
    api.delete_run("shop", "unseen")


def test_the_objects_of_a_run_are_what_the_architecture_says(api, operator, conductors, suite):
    conductors.hold.add("whole")
    api.apply(a_run("whole", **WHOLE))
    status = api.wait_for("shop", "whole", lambda status: "namespace" in status)
    environment = status["namespace"]
    jobs = f"/apis/batch/v1/namespaces/{environment}/jobs"
    api.wait_until(lambda: len(api.items(jobs)) == 2, "the jobs are there")

    namespace = api.get(f"/api/v1/namespaces/{environment}")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels[names.LABEL_RUN_NAMESPACE] == "shop"
    assert names_in(api, environment, "apis/apps/v1", "deployments") == ["db"]
    services = names_in(api, environment, "api/v1", "services")
    assert services == ["db", "seatrial-conductor", "stock"]
    accounts = names_in(api, environment, "api/v1", "serviceaccounts")
    assert {"seatrial-conductor", "seatrial-workload"} <= set(accounts)
    policies = names_in(api, environment, "apis/networking.k8s.io/v1", "networkpolicies")
    assert policies == [
        "seatrial-allow-conductor",
        "seatrial-allow-within",
        "seatrial-default-deny",
    ]
    secrets = names_in(api, environment, "api/v1", "secrets")
    assert secrets == ["seatrial-access", "seatrial-conductor"]
    access = api.get(f"/api/v1/namespaces/{environment}/secrets/seatrial-access")
    assert sorted(access["data"]) == ["any", "suite"]
    conductors.steps["whole"] = 3  # it begins, and has db ready
    conductors.hold.clear()

    def deployed():
        return names_in(api, environment, "apis/apps/v1", "deployments") == ["db", "orders"]

    api.wait_until(deployed, "what depends on others is there too")
    del conductors.steps["whole"]
    status = api.wait_for("shop", "whole", verdict)
    assert status["verdict"] == "Passed"


def test_pods_are_admitted_under_the_restricted_level(api, operator, conductors, suite):
    conductors.hold.add("admitted")
    api.apply(a_run("admitted", **WHOLE))
    status = api.wait_for("shop", "admitted", lambda status: "namespace" in status)
    pods = f"/api/v1/namespaces/{status['namespace']}/pods"

    def admitted():
        return {each["metadata"]["name"].rpartition("-")[0] for each in api.items(pods)}

    # The conductor, the pod of db, two shards of the suite, and the container test.
    api.wait_until(lambda: len(api.items(pods)) == 5, "all pods are admitted")
    by_component = [each["metadata"]["labels"][names.LABEL_COMPONENT] for each in api.items(pods)]
    assert sorted(by_component) == ["conductor", "service", "test", "test", "test"]
    api.delete_run("shop", "admitted")


def test_a_failed_run_is_stalled_and_says_why(api, operator, conductors):
    api.apply(a_run("failing", **PLAIN))
    status = api.wait_for("shop", "failing", verdict)
    assert status["verdict"] == "Failed"
    assert condition(status, "Stalled")["status"] == "True"
    assert condition(status, "Passed")["reason"] == "TestsFailed"


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("bad-time", {**PLAIN, "timeout": "20h"}, "spec.timeout: "),
        (
            "bad-map",
            {**PLAIN, "tests": [a_test("suite", pytest={"configMap": "nowhere"})]},
            "spec.tests[0].pytest.configMap: ",
        ),
    ],
)
def test_a_run_that_cannot_work_ends_as_error_without_a_namespace(
    api, operator, name, spec, message
):
    api.apply(a_run(name, **spec))
    status = api.wait_for("shop", name, finished)
    assert status["verdict"] == "Error"
    assert condition(status, "Finished")["reason"] == "InvalidSpec"
    assert status["message"].startswith(message)
    assert "namespace" not in status


def test_a_run_that_is_nested_deeper_than_python_goes_keeps_nobody_from_the_others(
    api, operator, conductors
):
    """While the operator watches, and when one that starts lists what is there."""
    step = {"http": {"post": "http://orders/", "json": "DEEP"}}
    run = a_run("deep", services=[], tests=[a_test(scenario=[step])])
    run["metadata"] = {"name": "deep", "namespace": "shop"}
    text = json.dumps(run).replace('"DEEP"', "[" * LEVELS + "]" * LEVELS)
    path = f"/apis/{names.API_VERSION}/namespaces/shop/{names.PLURAL}"

    operator.wait_for_log("leading")
    api.send("POST", path, text)
    status = api.wait_for("shop", "deep", finished)
    assert status["verdict"] == "Error"
    assert "json" in status["message"]
    assert "is nested more than 128 levels deep" in status["message"]
    operator.kill()
    operator.start()
    api.apply(a_run("beside-deep", **PLAIN))
    assert api.wait_for("shop", "beside-deep", finished)["verdict"] == "Passed"
    api.delete_run("shop", "deep")


def test_what_the_api_server_refuses_ends_the_run_with_its_words(api, operator, conductors):
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "stock"},
        "spec": {"ports": [{"name": "http", "port": 8080, "targetPort": "not a port!"}]},
    }
    service = a_service("stock", manifests={"inline": json.dumps(manifest)})
    api.apply(a_run("refused", services=[service], tests=PLAIN["tests"]))
    status = api.wait_for("shop", "refused", verdict)
    assert status["verdict"] == "Error"
    assert "Service stock was refused" in status["message"]
    assert "targetPort" in status["message"]


def test_an_abort_reaches_the_conductor_which_ends_the_run(api, operator, conductors):
    conductors.steps["aborted"] = 2  # it begins, and opens the gate
    api.apply(a_run("aborted", suspend=True, **PLAIN))
    api.wait_for("shop", "aborted", lambda status: "conditions" in status)
    api.edit_run("shop", "aborted", suspend=False)
    status = api.wait_for("shop", "aborted", lambda status: status.get("phase") == "Running")
    api.edit_run("shop", "aborted", abort=True)
    path = f"/api/v1/namespaces/{status['namespace']}/configmaps/seatrial-run"

    def told():
        return '"abort":true' in api.get(path)["data"].get(names.CONTROL_KEY, "")

    api.wait_until(told, "the conductor is told")
    del conductors.steps["aborted"]
    status = api.wait_for("shop", "aborted", finished)
    assert status["verdict"] == "Aborted"
    assert condition(status, "Passed")["reason"] == "AbortRequested"
    assert condition(status, "ReportAvailable")["status"] == "True"
    told = {"Suspended", "Resumed", "Started", "EnvironmentReady", "Aborting", "Aborted"}
    told |= {"ReportAvailable", "CleanedUp"}
    api.wait_until(lambda: set(told_of(api, "aborted")) == told, "its events are told")


@pytest.mark.parametrize("phase", ["Queued", "Provisioning", "Running", "Finished"])
def test_a_run_deleted_in_any_phase_leaves_nothing(api, operator, conductors, phase):
    name = f"deleted-{phase.lower()}"
    if phase == "Provisioning":
        conductors.hold.add(name)
    held = {"suspend": True} if phase == "Queued" else {}
    api.apply(a_run(name, **PLAIN, **held))
    reached = ["Running", "Collecting", "Cleaning", "Finished"] if phase == "Running" else [phase]
    api.wait_for("shop", name, lambda status: status.get("phase") in reached)
    api.delete_run("shop", name)
    api.wait_until(lambda: api.run("shop", name) is None, "the run is gone")

    def is_gone():
        selector = f"{names.LABEL_RUN_NAME}={name}"
        return not api.items("/api/v1/namespaces", selector)

    api.wait_until(is_gone, "its environment is gone")


def test_a_namespace_that_was_there_is_not_taken(api, operator, conductors):
    api.apply(a_run("taken", suspend=True, **PLAIN))
    uid = api.run("shop", "taken")["metadata"]["uid"]
    environment = names.run_namespace("taken", uid)
    api.namespace(environment)
    api.edit_run("shop", "taken", suspend=False)
    status = api.wait_for("shop", "taken", finished)
    assert condition(status, "Finished")["reason"] == "NamespaceTaken"
    theirs = api.get(f"/api/v1/namespaces/{environment}")
    assert "deletionTimestamp" not in theirs["metadata"]
    assert names.LABEL_RUN_UID not in theirs["metadata"].get("labels", {})


def test_tests_go_on_while_the_api_server_is_away(api, whole_plane, operator, conductors):
    conductors.hold.add("away")
    api.apply(a_run("away", **PLAIN))
    api.wait_for("shop", "away", lambda status: status.get("phase") == "Provisioning")
    whole_plane.restart_apiserver()
    conductors.hold.clear()
    status = api.wait_for("shop", "away", finished)
    assert status["verdict"] == "Passed"
    assert operator.running


def test_twenty_runs_at_once_all_end(api, operator, conductors):
    for number in range(20):
        api.apply(a_run(f"one-of-twenty-{number}", **PLAIN))
    for number in range(20):
        status = api.wait_for("shop", f"one-of-twenty-{number}", verdict)
        assert status["verdict"] == "Passed"
    for number in range(20):
        api.wait_for("shop", f"one-of-twenty-{number}", finished)
