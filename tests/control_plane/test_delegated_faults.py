"""Faults of Chaos Mesh and Litmus against their real definitions; their controllers are played."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control_plane.test_conductor_on_a_real_api import ORDERS, Environment, a_scenario
from tests.support.chaos_crds import CHAOS_MESH, LITMUS, definition, install
from tests.support.kube_api import KubeApi
from tests.support.played_controllers import ChaosMesh, Controller, Object

NETWORK_CHAOS = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "NetworkChaos",
    "spec": {
        "action": "delay",
        "mode": "all",
        "selector": {"labelSelectors": {"seatrial.dev/service": "orders"}},
        "delay": {"latency": "100ms"},
    },
}
CHAOS_ENGINE = {
    "apiVersion": "litmuschaos.io/v1alpha1",
    "kind": "ChaosEngine",
    "spec": {
        "appinfo": {"applabel": "seatrial.dev/service=orders", "appkind": "deployment"},
        "chaosServiceAccount": "litmus",
        "components": {},
        "experiments": [{"name": "pod-delete"}],
    },
}


def litmus(item: Object) -> Object | None:
    """Run the experiment with a finalizer; stop when asked to, then let it go."""
    metadata, status = item["metadata"], item.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return {"metadata": {"finalizers": None}} if metadata.get("finalizers") else None
    if item["spec"]["engineState"] == "stop":
        if status.get("engineStatus") == "stopped":
            return None
        return an_engine_status("stopped", "Forcefully Aborted", "Stopped")
    if not status:
        return {
            "metadata": {"finalizers": ["chaosengine.litmuschaos.io/finalizer"]},
            **an_engine_status("initialized", "Running", "Awaited"),
        }
    return None


def an_engine_status(engine: str, status: str, verdict: str) -> Object:
    experiment = {
        "name": "pod-delete", "status": status, "verdict": verdict, "runner": "runner",
        "experimentPod": "pod", "lastUpdateTime": "2026-11-20T12:00:00Z",
    }  # fmt: skip
    return {"status": {"engineStatus": engine, "experiments": [experiment]}}


@pytest.fixture(scope="module")
def _chaos_mesh(api: KubeApi) -> None:
    path = "config/crd/bases/chaos-mesh.org_networkchaos.yaml"
    install(api, definition(CHAOS_MESH, path, "NetworkChaos"))


@pytest.fixture(scope="module")
def _litmus(api: KubeApi) -> None:
    install(api, definition(LITMUS, "deploy/chaos_crds.yaml", "ChaosEngine"))


@pytest.fixture
def environment(
    api: KubeApi, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Environment]:
    fault = {
        "name": "f",
        "resource": {"manifest": request.param},
        "for": "1m",
        "when": {"test": "second"},
        "recovery": {"within": "60s"},
    }
    tests = [a_scenario("first"), a_scenario("second")]
    environment = Environment(api, tmp_path, services=[ORDERS], faults=[fault], tests=tests)
    environment.deployment("orders", 2)
    environment.bind("seatrial-conductor-delegated")
    yield environment
    environment.close()


def assert_proven(environment: Environment, seen: list[Object], path: str) -> Object:
    """Check the proof and that nothing is left; give the object as it was."""
    [fault] = environment.summary()["faults"]
    assert (fault["state"], fault["revertedBy"]) == ("Recovered", "test"), fault["message"]
    assert fault["effective"] is not None
    assert environment.api.items(path) == []
    item = seen[0]
    assert item["metadata"]["name"] == "seatrial-f"
    assert fault["targets"][0]["uid"] == item["metadata"]["uid"]
    return item


@pytest.mark.usefixtures("_chaos_mesh")
@pytest.mark.parametrize("environment", [NETWORK_CHAOS], indirect=True)
def test_chaos_mesh_carries_a_fault_out(environment: Environment) -> None:
    path = f"/apis/chaos-mesh.org/v1alpha1/namespaces/{environment.name}/networkchaos"
    controller = Controller(environment.api, path, ChaosMesh())
    try:
        environment.conductor.start()
        assert environment.conductor.wait() == 0
    finally:
        controller.close()
    item = assert_proven(environment, controller.seen, path)
    assert item["spec"]["selector"]["namespaces"] == [environment.name]
    assert item["spec"]["duration"] == "60000ms"


@pytest.mark.usefixtures("_litmus")
@pytest.mark.parametrize("environment", [CHAOS_ENGINE], indirect=True)
def test_litmus_carries_a_fault_out(environment: Environment) -> None:
    path = f"/apis/litmuschaos.io/v1alpha1/namespaces/{environment.name}/chaosengines"
    controller = Controller(environment.api, path, litmus)
    try:
        environment.conductor.start()
        assert environment.conductor.wait() == 0
    finally:
        controller.close()
    item = assert_proven(environment, controller.seen, path)
    assert item["spec"]["appinfo"]["appns"] == environment.name
    assert item["spec"]["engineState"] == "active"


@pytest.mark.usefixtures("_chaos_mesh")
@pytest.mark.parametrize("environment", [NETWORK_CHAOS], indirect=True)
@pytest.mark.parametrize(
    "write",
    [
        pytest.param("POST networkchaos", id="before-it-is-in-effect"),
        pytest.param("PATCH seatrial-f", id="as-it-is-stopped"),
        pytest.param("DELETE seatrial-f", id="when-it-is-over"),
    ],
)
def test_a_conductor_that_is_killed_leaves_an_object_that_the_next_one_removes(
    environment: Environment, write: str
) -> None:
    path = f"/apis/chaos-mesh.org/v1alpha1/namespaces/{environment.name}/networkchaos"
    controller = Controller(environment.api, path, ChaosMesh())
    killed: list[str] = []

    def kill(number: int) -> bool:
        if killed or not environment.proxy.writes[number - 1].startswith(write):
            return True
        killed.append(environment.proxy.writes[number - 1])
        environment.conductor.kill()
        return False

    environment.proxy.after = kill
    try:
        environment.conductor.start()
        environment.conductor.wait()
        assert killed
        environment.conductor.start()
        assert environment.conductor.wait() == 0
    finally:
        controller.close()
    assert environment.api.items(path) == []
    uids = {item["metadata"]["uid"] for item in controller.seen}
    assert len(uids) == 2  # made again for the test that was run again
    summary = environment.summary()
    assert summary["starts"] == 2
    assert summary["lostEvidence"], summary["faults"]
