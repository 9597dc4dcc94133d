"""Every kind of fault inside a pod on a real cluster: its effect, its end, its proof."""

from __future__ import annotations

import pytest
from seatrial.api import families

from tests.e2e.breaking import (
    MANUAL,
    assert_passed,
    assert_proven,
    fault_of,
    peer,
    peer_manifests,
    run_of,
    suite,
)
from tests.e2e.cluster import Json, Run
from tests.e2e.conftest import Desk

# Every fault is started by the suite, which looks at its effect; see ``inside/pod_kinds.py``.
FAULTS: dict[str, Json] = {
    "loss": {"packets": {"loss": "100%"}},
    "delay": {"packets": {"delay": "200ms", "jitter": "20ms"}},
    "duplicate": {"packets": {"duplicate": "50%"}},
    "reorder": {"packets": {"reorder": "20%"}},
    "damage": {"packets": {"corrupt": "5%"}},
    "nxdomain": {"dns": {"names": ["other"], "nxdomain": {}}},
    "address": {"dns": {"names": ["other"], "address": "10.255.0.1"}},
    "silence": {"dns": {"timeout": {}}},
    "freeze": {"freeze": {}},
    "cpu": {"cpu": {"workers": 2, "load": "100%"}},
    "memory": {"memory": {"size": "60Mi"}},
    "disk": {"disk": {"path": "/data", "leave": "1Mi"}},
    "headless-loss": {"packets": {"loss": "100%"}},
}
LIMITS = {"cpu": "300m", "memory": "256Mi"}


def pod(**container: object) -> Json:
    """Give the service whose pod is hit; its volume is in memory, so that no node's disk fills."""
    return peer_manifests(
        "pod",
        http={"http": 7080},
        wire={"wire": 8000},
        udp={"datagrams": 8001},
        # Where no packet arrives, its readiness probe fails, and it is to be reached at once again.
        service={"publishNotReadyAddresses": True},
        container={
            "resources": {"requests": {"cpu": "200m", "memory": "32Mi"}, "limits": LIMITS},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            **container,
        },
        volumes=[{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}],
    )


def headless() -> Json:
    """Give a service whose clients connect to its pod: no gateway can stand before that."""
    ports = [{"name": "wire", "port": 8100, "targetPort": "wire"}]
    service = {"clusterIP": "None", "ports": ports, "publishNotReadyAddresses": True}
    return peer_manifests("headless", wire={"wire": 8100}, service=service)


def spec() -> Json:
    return {
        "timeout": "6m",
        "podSecurity": "privileged",
        "services": [pod(), headless(), peer("other", wire={"wire": 9000})],
        "faults": [
            {
                "name": name,
                "target": {"service": "headless" if name == "headless-loss" else "pod"},
                **kind,
                "for": "90s",
                "when": MANUAL,
            }
            for name, kind in FAULTS.items()
        ],
        "tests": [{"name": "kinds", "pytest": {"configMap": "pod-kinds"}, "timeout": "4m"}],
    }


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    return run_of(shared_desk, "inside", spec(), suite("pod-kinds", "pod_kinds"))


def test_every_kind_is_seen_from_outside(run: Run, status: Json) -> None:
    assert_passed(run, status)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_inside_a_pod_is_proven(name: str, status: Json) -> None:
    assert assert_proven(status, name)["revertedBy"] == "test"


def test_all_kinds_are_here() -> None:
    assert {next(iter(kind)) for kind in FAULTS.values()} == set(families.POD)


def test_what_a_pod_cannot_have_ends_the_run_before_its_tests(desk: Desk) -> None:
    run = run_of(
        desk,
        "read-only",
        {
            "podSecurity": "privileged",
            "services": [pod()],
            "faults": [
                {
                    "name": "full",
                    "target": {"service": "pod"},
                    "disk": {"path": "/peer"},
                    "for": "5s",
                    "when": {"test": "kinds"},
                }
            ],
            "tests": [
                {"name": "kinds", "scenario": [{"http": {"get": "http://pod:8080/"}}]},
            ],
        },
    )
    status = run.finished()
    assert status["verdict"] == "Error", status["message"]
    assert "disk.path: /peer is read-only" in status["message"]
    reasons = {each["reason"] for each in status["conditions"]}
    assert "UnsupportedFault" in reasons
    assert status["tests"][0]["outcome"] != "Passed"


def test_what_a_test_did_not_stop_ends_by_itself(desk: Desk) -> None:
    run = run_of(
        desk,
        "late",
        {
            "podSecurity": "privileged",
            "services": [pod()],
            "faults": [
                {
                    "name": "late",
                    "target": {"service": "pod"},
                    "packets": {"delay": "300ms"},
                    "for": "5s",
                    "when": {"test": "waits"},
                }
            ],
            "tests": [
                {
                    "name": "waits",
                    "scenario": [
                        {
                            "http": {"get": "http://pod:8080/", "timeout": "5s"},
                            "eventually": {"within": "60s"},
                            "expect": ["response.elapsed < duration('0.25s')"],
                        }
                    ],
                }
            ],
        },
    )
    status = run.finished()
    assert_passed(run, status)
    assert_proven(status, "late")
    assert fault_of(status, "late")["revertedBy"] == "deadline"
