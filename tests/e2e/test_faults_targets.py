"""What a fault hits and what it leaves alone: ports, sources, shares, ways; from real manifests."""

from __future__ import annotations

import pytest

from tests.e2e.breaking import (
    MANUAL,
    assert_passed,
    assert_proven,
    peer,
    peer_manifests,
    run_of,
    suite,
)
from tests.e2e.cluster import Json, Run, reason
from tests.e2e.conftest import Desk

PORTS = {"a": 9000, "b": 9001}
SLOW: Json = {"latency": {"delay": "200ms"}}
# See ``inside/targets.py``.
FAULTS: dict[str, tuple[Json, Json]] = {
    "port-a": ({"port": "a"}, SLOW),
    "all-ports": ({}, SLOW),
    "from-left": ({"from": ["left"]}, SLOW),
    "from-tests": ({"from": ["tests"]}, SLOW),
    "half": ({"port": "a", "connections": "50%"}, {"refuse": {}}),
    "cut-left": ({"from": ["left"]}, {"partition": {}}),
    "cut-to-wire": ({"from": ["left"]}, {"partition": {"direction": "toTarget"}}),
    "cut-from-wire": ({"from": ["left"]}, {"partition": {"direction": "fromTarget"}}),
    "slow-b": ({"port": "b"}, SLOW),
    "corrupt-b": ({"port": "b"}, {"corrupt": {"share": "20%"}}),
}


def spec() -> Json:
    return {
        "timeout": "5m",
        "services": [
            peer_manifests("wire", wire=PORTS, workload={"replicas": 2}),
            peer("left", wire={"a": 9000}),
            peer("right", wire={"a": 9000}),
        ],
        "faults": [
            {
                "name": name,
                "target": {"service": "wire", **target},
                **kind,
                "for": "30s",
                "when": MANUAL,
            }
            for name, (target, kind) in FAULTS.items()
        ],
        "tests": [{"name": "targets", "pytest": {"configMap": "targets"}, "timeout": "3m"}],
    }


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    return run_of(shared_desk, "targets", spec(), suite("targets", "targets"))


@pytest.fixture(scope="module")
def status(run: Run) -> Json:
    return run.finished(timeout_s=240)


def test_only_what_is_meant_is_hit(run: Run, status: Json) -> None:
    assert_passed(run, status)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_with_a_target_is_proven(name: str, status: Json) -> None:
    assert_proven(status, name)


def test_a_headless_service_is_refused_before_anything_is_made(desk: Desk) -> None:
    run = run_of(
        desk,
        "headless",
        {
            "services": [peer_manifests("wire", wire=PORTS, service={"clusterIP": "None"})],
            "faults": [{"name": "slow", "target": {"service": "wire"}, **SLOW, "for": "5s"}],
            "tests": [{"name": "none", "scenario": [{"expect": ["true"]}]}],
        },
    )
    status = run.finished(timeout_s=20)
    assert status["verdict"] == "Error"
    assert reason(status, "Finished") == "InvalidSpec"
    assert "headless" in status["message"]
    assert "spec.faults[0].target" in status["message"]
    assert desk.cluster.environments(run.get()["metadata"]["uid"]) == []
