"""What a fault hits and what it leaves alone: ports, sources, shares, ways; from real manifests."""

from __future__ import annotations

import pytest

from tests.e2e.breaking import (
    IMAGE,
    INSIDE,
    MANUAL,
    assert_passed,
    assert_proven,
    fault_of,
    peer,
    peer_manifests,
    run_of,
    suite,
)
from tests.e2e.cluster import Json, Run, reason
from tests.e2e.conftest import Desk

PORTS = {"a": 9000, "b": 9001}
SLOW: Json = {"latency": {"delay": "200ms"}}
FAILS: Json = {"http": {"abort": {"status": 503}}}
# See ``inside/targets.py``.
FAULTS: dict[str, tuple[Json, Json]] = {
    "port-a": ({"port": "a"}, SLOW),
    "all-ports": ({}, SLOW),
    "from-left": ({"from": ["left"]}, SLOW),
    "from-tests": ({"from": ["tests"]}, SLOW),
    "from-both": ({"from": ["left", "right"]}, SLOW),
    "web-fails": ({"port": "web"}, FAILS),
    "web-fails-for-left": ({"port": "web", "from": ["left"]}, FAILS),
    "web-fails-for-both": ({"port": "web", "from": ["left", "right"]}, FAILS),
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
            peer_manifests("wire", wire=PORTS, http={"web": 8080}, workload={"replicas": 2}),
            peer("left", wire={"a": 9000}),
            peer("right", wire={"a": 9000}),
        ],
        "faults": [
            {
                "name": name,
                "target": {"service": "wire", **target},
                **kind,
                "for": "60s",
                "when": MANUAL,
            }
            for name, (target, kind) in FAULTS.items()
        ],
        "tests": [{"name": "targets", "pytest": {"configMap": "targets"}, "timeout": "3m"}],
    }


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    return run_of(shared_desk, "targets", spec(), suite("targets", "targets"))


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
    status = run.finished(timeout_s=90)
    assert status["verdict"] == "Error"
    assert reason(status, "Finished") == "InvalidSpec"
    assert "headless" in status["message"]
    assert "spec.faults[0].target" in status["message"]
    assert desk.cluster.environments(run.get()["metadata"]["uid"]) == []


LEADER = {"role": "leader"}
# Pods of a StatefulSet of 4; see ``inside/by_hand.py``, which begins those that have no moment.
PODS: dict[str, Json] = {
    "leader": {"target": {"podLabels": LEADER}, "kill": {}, "when": MANUAL},
    # By then there is no leader.
    "declared": {"target": {"podLabels": LEADER}, "kill": {}, "when": {"fault": "leader"}},
    "gone": {"target": {"podLabels": LEADER}, "kill": {}, "when": MANUAL},
    "half": {"target": {"pods": "50%"}, "kill": {}, "when": MANUAL},
    "all": {"target": {"pods": "all"}, "kill": {}, "when": MANUAL},
    "slow": {"target": {}, "latency": {"delay": "200ms"}, "for": "1m", "when": MANUAL},
}


def pods_spec() -> Json:
    workload = {"kind": "StatefulSet", "replicas": 4, "podManagementPolicy": "Parallel"}
    is_there = {"wait": "pod", "service": "web", "labels": LEADER, "condition": "Ready"}
    asks = {"http": {"get": "http://web:9080/"}, "eventually": {"within": "30s"}}
    return {
        "timeout": "5m",
        "services": [peer_manifests("web", http={"http": 8080}, workload=workload)],
        "faults": [
            {"name": name, **fault, "target": {"service": "web", **fault["target"]}}
            for name, fault in PODS.items()
        ],
        "tests": [
            {
                "name": "loses-its-leader",
                "scenario": [{"kubernetes": is_there}, {"fault": {"start": "leader"}}, asks],
            },
            {
                "name": "by-hand",
                "timeout": "4m",
                "container": {
                    "image": IMAGE,
                    "command": ["python3", "/by-hand/by_hand.py"],
                    "files": {"/by-hand/by_hand.py": (INSIDE / "by_hand.py").read_text()},
                },
            },
        ],
    }


def test_pods_are_hit_by_share_and_label_and_one_that_is_gone_is_an_error(desk: Desk) -> None:
    run = run_of(desk, "pods", pods_spec())
    run.wait(lambda status: bool(status.get("namespace")), "a namespace")
    pods = f"/api/v1/namespaces/{run.environment}/pods"
    is_made = lambda items: any(each["metadata"]["name"] == "web-2" for each in items)  # noqa: E731
    run.cluster.wait(pods, is_made, "pod web-2", 180)
    run.cluster.patch(f"{pods}/web-2", {"metadata": {"labels": LEADER}})
    status = run.finished(timeout_s=290)

    for test in status["tests"]:
        assert test["outcome"] == "Passed", test
    for name in ("leader", "slow"):
        assert_proven(status, name)
    # What a container test asks is not seen; that it ran while they were on counts.
    for name in ("half", "all"):
        assert fault_of(status, name)["state"] == "Recovered"
    hit = {
        name: {each["name"] for each in fault_of(status, name)["targets"]}
        for name in ("leader", "half", "all")
    }
    assert hit["leader"] == {"web-2"}
    assert hit["all"] == {f"web-{number}" for number in range(4)}
    assert len(hit["half"]) == 2
    assert hit["half"] < hit["all"]
    for name in hit:
        assert all(each["replacedBy"] for each in fault_of(status, name)["targets"])
    # Nothing was hit, so nothing was proven: the run says so, although every test passed.
    for name in ("declared", "gone"):
        fault = fault_of(status, name)
        assert (fault["state"], fault["targets"]) == ("NotInjected", [])
        assert "has the labels role=leader (target.podLabels) at that moment" in fault["message"]
        assert reason(status, "Finished") == "FaultsNotProven"
    assert status["verdict"] == "Inconclusive"
    assert status["message"].endswith("at that moment. And 1 more not proven.")
