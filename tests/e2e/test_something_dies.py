"""Whatever part of Seatrial dies, and whenever: the same verdict, and nothing left over."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from seatrial.api.names import (
    COMPONENT_CONDUCTOR,
    CONDUCTOR,
    JOURNAL_CONFIGMAP,
    LABEL_COMPONENT,
    LABEL_READABLE,
    LABEL_READABLE_VALUE,
    LABEL_RUN_UID,
    LABEL_SERVICE,
    LABEL_TEST,
    SUMMARY_KEY,
)

from tests.e2e import node
from tests.e2e.breaking import run_of
from tests.e2e.cluster import OPERATOR_LABELS, Cluster, Json, Run, condition, documents
from tests.e2e.conftest import ROOT, Desk


@pytest.fixture(scope="session")
def local_node(kubeconfig: str) -> Path:
    """Give the folder of the local cluster, whose processes these tests stop and kill."""
    folder = Path(kubeconfig).parent
    if not node.api_servers(folder):
        pytest.skip("needs the local cluster of `make up`: it stops the API server's process")
    return folder


KEPT: Json = {"keepEnvironment": {"onSuccess": "1h"}}  # to be looked at, and then let go


def shop(desk: Desk, *, patient: bool = False, kept: bool = True) -> Run:
    """
    Apply the shop.

    Args:
        desk: Where.
        patient: With those tests alone that try again. The node sends requests to a pod that was
            killed until it hears of its end from the API server: seconds after that is back, too.
        kept: Whether its environment stays after the verdict.
    """
    *others, run = documents((ROOT / "examples" / "shop" / "run.yaml").read_text())
    spec = run["spec"]
    spec |= KEPT if kept else {}
    if patient:
        spec["tests"] = [each for each in spec["tests"] if "scenario" in each]
        spec["faults"] = [each for each in spec["faults"] if "manual" not in each["when"]]
    return desk.apply(*others, run)


def wait_until(moment: str, run: Run) -> None:
    """Wait for a moment in the shop's run that each of its courses has."""
    if moment == "provisioning":
        run.in_phase("Provisioning")
    elif moment == "clean-up":
        run.finished()
    else:
        run.wait(lambda status: bool(status.get("namespace")), "a namespace")
        # NB: not in status, which skips what has passed: an intent is in the journal before the
        # fault, whatever comes after.
        run.cluster.wait(
            f"/api/v1/namespaces/{run.environment}/configmaps",
            lambda maps: any(fault_is_open(moment, each) for each in maps),
            f"{moment} is open in the journal of run {run.name}",
            180,
            fieldSelector=f"metadata.name={JOURNAL_CONFIGMAP}",
        )


def fault_is_open(name: str, journal: Json) -> bool:
    summary = json.loads((journal.get("data") or {}).get(SUMMARY_KEY) or '{"faults": []}')
    return any(
        each["name"] == name and each["state"] in {"Requested", "Active"}
        for each in summary["faults"]
    )


def assert_as_if_nothing_had_happened(run: Run) -> None:
    """Check that the run has passed; if kept, that each object is there once; then none is."""
    uid = run.get()["metadata"]["uid"]
    status = run.finished(timeout_s=180)
    assert status["verdict"] == "Passed", status["message"]
    assert {test["name"]: test["outcome"] for test in status["tests"]} == {
        test["name"]: "Passed" for test in run.get()["spec"]["tests"]
    }
    declared = run.get()["spec"].get("faults", [])
    states = [fault["state"] for fault in status.get("faults", [])]
    assert states == ["Recovered"] * len(declared)
    if "keepEnvironment" in run.get()["spec"]:
        assert_each_object_is_there_once(run)
        run.change(keepEnvironment=None)
    clean = run.in_phase("Finished", timeout_s=180)
    assert condition(clean, "CleanedUp") == "True"
    assert run.cluster.environments(uid) == []
    owned = run.cluster.items(
        f"/api/v1/namespaces/{run.namespace}/configmaps", labelSelector=f"{LABEL_RUN_UID}={uid}"
    )
    assert [each["metadata"]["name"] for each in owned] == [f"{run.name}-report"]


def assert_each_object_is_there_once(run: Run) -> None:
    [environment] = run.cluster.environments(run.get()["metadata"]["uid"])
    spec, namespace = run.get()["spec"], environment["metadata"]["name"]
    services = {each["name"]: each.get("replicas", 1) for each in spec["services"]}
    tests = [each["name"] for each in spec["tests"] if "scenario" not in each]
    workloads = run.cluster.items(f"/apis/apps/v1/namespaces/{namespace}/deployments")
    assert sorted(each["metadata"]["name"] for each in workloads) == sorted(services)
    jobs = run.cluster.items(f"/apis/batch/v1/namespaces/{namespace}/jobs")
    assert sorted(each["metadata"]["labels"][LABEL_TEST] for each in jobs) == sorted(tests)

    def whose(pod: Json) -> str:
        labels = pod["metadata"]["labels"]
        return str(labels.get(LABEL_SERVICE) or labels.get(LABEL_TEST) or labels[LABEL_COMPONENT])

    pods = {**services, **dict.fromkeys(tests, 1), COMPONENT_CONDUCTOR: 1}
    # Not at once: what was killed may still be on its way out.
    run.cluster.wait(
        f"/api/v1/namespaces/{namespace}/pods",
        lambda found: Counter(map(whose, found)) == pods,
        f"these and no other pods are there: {pods}",
        30,
    )


def operator_pods(cluster: Cluster) -> list[Json]:
    return cluster.items("/api/v1/pods", labelSelector=OPERATOR_LABELS)


def kill_pod(cluster: Cluster, pod: Json) -> None:
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
    cluster.delete(path, gracePeriodSeconds=0)


@pytest.mark.slow
@pytest.mark.parametrize("every", [2, 5])
def test_the_operator_is_killed_after_every_nth_change_of_status(every: int, desk: Desk) -> None:
    run = shop(desk)
    changes, kills = 0, 0

    def finished(items: list[Json]) -> bool:
        nonlocal changes, kills
        changes += 1
        if changes % every == 0:
            for pod in operator_pods(desk.cluster):
                kill_pod(desk.cluster, pod)
                kills += 1
        status = items[0].get("status", {}) if items else {}
        return condition(status, "Finished") == "True"

    collection = run.path.rpartition("/")[0]
    selector = f"metadata.name={run.name}"
    desk.cluster.wait(collection, finished, "Finished", 240, fieldSelector=selector)
    assert kills > 0
    assert_as_if_nothing_had_happened(run)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["provisioning", "lose-an-orders-pod", "payments-down"])
def test_the_conductors_pod_is_deleted(moment: str, desk: Desk) -> None:
    run = shop(desk)
    wait_until(moment, run)
    environment = run.environment
    path = f"/api/v1/namespaces/{environment}/pods"
    [pod] = desk.cluster.wait(
        path, bool, "a conductor", 60, fieldSelector=f"metadata.name={CONDUCTOR}"
    )
    kill_pod(desk.cluster, pod)
    killed = pod["metadata"]["uid"]
    desk.cluster.wait(
        path,
        lambda pods: any(each["metadata"]["uid"] != killed for each in pods),
        "another conductor",
        60,
        fieldSelector=f"metadata.name={CONDUCTOR}",
    )
    assert_as_if_nothing_had_happened(run)
    # In provisioning, the first may not have come to its journal.
    assert run.status["conductorStarts"] >= 2 or moment == "provisioning"


@pytest.mark.slow
def test_the_conductors_container_is_killed(desk: Desk, local_node: Path) -> None:
    run = shop(desk)
    wait_until("payments-down", run)
    pod = desk.cluster.get(f"/api/v1/namespaces/{run.environment}/pods/{CONDUCTOR}")
    assert pod is not None
    assert node.kill_program(pod["metadata"]["uid"], "conductor") > 0
    assert_as_if_nothing_had_happened(run)
    assert run.status["conductorStarts"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "how"),
    [("provisioning", "hangs"), ("lose-an-orders-pod", "is-gone"), ("clean-up", "hangs")],
)
def test_the_api_server_is_away_for_ten_seconds(
    moment: str, how: str, desk: Desk, local_node: Path
) -> None:
    run = shop(desk, patient=moment == "lose-an-orders-pod", kept=moment != "clean-up")
    wait_until(moment, run)
    hangs = how == "hangs"
    away = node.frozen(node.api_servers(local_node)) if hangs else node.down(local_node)
    with away:
        time.sleep(10)
    assert_as_if_nothing_had_happened(run)


# All are under way at the same time; of the end of a container the API server alone knows.
BUSY_SUITE: Json = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "busy", "labels": {LABEL_READABLE: LABEL_READABLE_VALUE}},
    "data": {
        "test_busy.py": """
import time
import pytest

@pytest.mark.parametrize("number", range(20))
def test_it_answers(services, http, number):
    assert http.get(services["web"].url).status_code == 200
    time.sleep(1)
"""
    },
}
BUSY_TOOL = """
import sys, time, urllib.request
for _ in range(int(sys.argv[1])):
    urllib.request.urlopen("http://web:8080/", timeout=30).close()
    time.sleep(1)
"""


@pytest.mark.slow
def test_the_api_server_is_away_while_a_suite_and_a_container_are_under_way(
    desk: Desk, local_node: Path
) -> None:
    web = {
        "name": "web",
        "image": "docker.io/seatrial/shop:1",
        "command": ["python3", "-m", "http.server", "--directory", "/srv", "8080"],
        "ports": [{"name": "http", "port": 8080}],
    }
    image = web["image"]
    tools = {
        f"tool-of-{seconds}-s": {"image": image, "command": ["python3", "-c", BUSY_TOOL, seconds]}
        for seconds in ("6", "20")
    }
    spec: Json = {
        **KEPT,
        "parallelism": 3,
        "services": [web],
        "tests": [
            {"name": "suite", "pytest": {"configMap": "busy"}},
            *({"name": name, "container": container} for name, container in tools.items()),
        ],
    }
    run = run_of(desk, "busy", spec, BUSY_SUITE)

    def under_way(status: Json) -> bool:
        tests = {each["name"]: each for each in status.get("tests", [])}
        return bool(
            tests
            and tests["suite"]["passed"] > 0
            and tests["tool-of-20-s"]["outcome"] == "Running"
            and tests["tool-of-6-s"]["outcome"] != "Pending"
        )

    run.wait(under_way, "suite and containers are under way")
    with node.down(local_node):
        time.sleep(10)
    assert_as_if_nothing_had_happened(run)
    passed = {each["name"]: each["passed"] for each in run.status["tests"]}
    assert passed == {"suite": 20, **dict.fromkeys(tools, 1)}
    for each in run.status["tests"]:
        assert (each["failed"], each["flaky"], each["attempts"]) == (0, 0, 1), each
    assert run.status["conductorStarts"] == 1
