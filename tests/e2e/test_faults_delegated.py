"""A fault of another chaos tool on a real node; the test plays the tool."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.e2e.breaking import assert_passed, assert_proven, moment, peer, run_of
from tests.e2e.cluster import ApiError, Cluster, Json
from tests.e2e.conftest import Desk

# Chaos Mesh's own definitions are tried in ``tests/control_plane``; this one lets anything be.
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
POD_CHAOS: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "podchaos.chaos-mesh.org"},
    "spec": {
        "group": "chaos-mesh.org",
        "scope": "Namespaced",
        "names": {"kind": "PodChaos", "plural": "podchaos", "singular": "podchaos"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": ANYTHING},
            }
        ],
    },
}


class Controller:
    """Kills the pods that an object selects, says so in its status, and lets it go when told to."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.objects: list[Json] = []
        self._cluster = cluster
        self._path = f"/apis/chaos-mesh.org/v1alpha1/namespaces/{namespace}/podchaos"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.1):
            for item in self._cluster.items(self._path):
                try:
                    self._look(item)
                except ApiError as error:
                    if error.status != 404:  # it went meanwhile
                        raise

    def _look(self, item: Json) -> None:
        about, said = item["metadata"], item.get("status") or {}
        path = f"{self._path}/{about['name']}"
        annotations = about.get("annotations") or {}
        if not about.get("finalizers") and not about.get("deletionTimestamp"):
            self.objects.append(item)
            self._cluster.patch(path, {"metadata": {"finalizers": ["chaos-mesh/records"]}})
            for namespace in item["spec"]["selector"]["namespaces"]:
                self._kill(namespace, item["spec"]["selector"]["labelSelectors"])
            self._cluster.patch(path, status_of(injected=True))
        elif annotations.get("experiment.chaos-mesh.org/pause") == "true" and (
            said.get("experiment", {}).get("desiredPhase") == "Run"
        ):
            self._cluster.patch(path, status_of(injected=False))
        elif about.get("deletionTimestamp"):
            self._cluster.patch(path, {"metadata": {"finalizers": None}})

    def _kill(self, namespace: str, labels: Json) -> None:
        pods = f"/api/v1/namespaces/{namespace}/pods"
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        for pod in self._cluster.items(pods, labelSelector=selector):
            self._cluster.delete(f"{pods}/{pod['metadata']['name']}", gracePeriodSeconds=1)


def status_of(*, injected: bool) -> Json:
    conditions = [
        {"type": "AllInjected", "status": str(injected)},
        {"type": "AllRecovered", "status": str(not injected)},
    ]
    phase = "Run" if injected else "Stop"
    return {"status": {"conditions": conditions, "experiment": {"desiredPhase": phase}}}


@pytest.fixture
def defined(cluster: Cluster) -> Iterator[None]:
    """Have the cluster serve the kind."""
    cluster.call("POST", DEFINITIONS, POD_CHAOS)
    path = f"{DEFINITIONS}/podchaos.chaos-mesh.org"
    cluster.wait(
        DEFINITIONS,
        lambda items: any(
            each["type"] == "Established" and each["status"] == "True"
            for item in items
            for each in item.get("status", {}).get("conditions") or []
        ),
        "the kind is served",
        30,
        fieldSelector="metadata.name=podchaos.chaos-mesh.org",
    )
    yield
    cluster.delete(path)


def pod_of(cluster: Cluster, namespace: str, service: str) -> Json:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    found = cluster.items(pods, labelSelector=f"seatrial.dev/service={service}")
    # One that was killed is still there for a while.
    [pod] = [each for each in found if not each["metadata"].get("deletionTimestamp")]
    return pod


@pytest.mark.usefixtures("defined")
def test_another_tool_kills_a_pod_and_is_waited_for_and_removed(desk: Desk) -> None:
    selector = {"labelSelectors": {"seatrial.dev/service": "web"}}
    manifest = {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "PodChaos",
        "spec": {"action": "pod-kill", "mode": "all", "selector": selector},
    }
    ask = {"http": {"get": "http://web:8080/", "timeout": "1s"}, "eventually": {"within": "60s"}}
    fault = {"name": "kill", "resource": {"manifest": manifest}, "for": "1m"}
    spec = {
        "keepEnvironment": {"onSuccess": "5m"},
        "services": [peer("web", http={"http": 8080}), peer("other", http={"http": 8080})],
        "faults": [{**fault, "when": {"test": "asks"}}],
        "tests": [{"name": "asks", "timeout": "2m", "scenario": [ask]}],
    }
    run = run_of(desk, "delegated", spec)
    run.wait(lambda status: bool(status.get("namespace")), "a namespace")
    controller = Controller(desk.cluster, run.environment)
    try:
        status = run.finished()
    finally:
        controller.close()
    assert_passed(run, status)
    proven = assert_proven(status, "kill")
    assert proven["revertedBy"] == "test"
    [item] = controller.objects
    assert proven["targets"][0]["uid"] == item["metadata"]["uid"]
    assert item["spec"]["selector"]["namespaces"] == [run.environment]
    assert desk.cluster.get(f"{controller._path}/seatrial-kill") is None
    # Killed and replaced, and nothing else was.
    made = {name: pod_of(desk.cluster, run.environment, name) for name in ("web", "other")}
    since = {name: datetime.fromisoformat(pod["status"]["startTime"]) for name, pod in made.items()}
    requested = moment(proven["requested"]).replace(microsecond=0)
    assert since["web"] >= requested >= since["other"]
