"""A service is ready when Kubernetes says so; after a fault, when both of its watches do."""

from __future__ import annotations

from typing import Any

import pytest
from seatrial_runner.conductor.readiness import (
    is_well,
    service_state,
    subject_of,
    workload_is_ready,
)
from seatrial_runner.conductor.seen import DEPLOYMENTS, EVENTS, JOBS, PODS, Seen

from tests.support.conducted import a_service_doc
from tests.support.pods import a_pod, an_event, running, waiting


def a_deployment(wanted: int = 1, *, generation: int = 1, **status: int) -> dict[str, Any]:
    everything = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas"), wanted)
    return {
        "metadata": {"name": "orders", "generation": generation},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": 1, **everything, **status},
    }


def seen(deployment: dict[str, Any] | None, *pods: dict[str, Any]) -> Seen:
    result = Seen()
    result.replace(DEPLOYMENTS, [deployment] if deployment else [])
    result.replace(PODS, pods)
    return result


@pytest.mark.parametrize(
    ("deployment", "ready"),
    [
        pytest.param(a_deployment(2), True, id="all-there"),
        pytest.param(a_deployment(2, readyReplicas=1), False, id="one-not-ready"),
        pytest.param(a_deployment(2, updatedReplicas=1), False, id="one-of-the-old-template"),
        pytest.param(a_deployment(2, replicas=3), False, id="one-too-many"),
        pytest.param(a_deployment(generation=2), False, id="controller-has-not-looked-yet"),
        pytest.param(a_deployment(0), True, id="none-wanted"),
        pytest.param(None, False, id="not-there"),
    ],
)
def test_a_deployment_is_ready_when_it_is_rolled_out(
    deployment: dict[str, Any] | None, ready: bool
) -> None:
    doc = a_service_doc()["workloads"][0]
    assert workload_is_ready(doc, seen(deployment)) is ready


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"succeeded": 1}, True),
        ({"active": 1}, False),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, True),
    ],
)
def test_a_job_is_ready_when_it_has_succeeded(status: dict[str, Any], ready: bool) -> None:
    there = Seen()
    there.replace(JOBS, [{"metadata": {"name": "migrate"}, "spec": {}, "status": status}])
    assert workload_is_ready({"kind": "Job", "name": "migrate"}, there) is ready


@pytest.mark.parametrize(
    ("kind", "name", "its"),
    [
        ("Deployment", "orders", True),
        ("ReplicaSet", "orders-6d56dc878d", True),
        ("Pod", "orders-6d56dc878d-2xk4v", True),
        ("StatefulSet", "orders-db", False),
        ("ReplicaSet", "orders-db-6d56dc878d", False),
    ],
)
def test_what_happened_to_whose_name_begins_the_same_is_another_services(
    kind: str, name: str, its: bool
) -> None:
    there = seen(a_deployment(), a_pod("orders-6d56dc878d-2xk4v"))
    event = an_event("FailedCreate", "exceeded quota", about=name)
    event["involvedObject"]["kind"] = kind
    there.replace(EVENTS, [event])
    assert bool(subject_of(a_service_doc(), there).events) is its


def test_a_state_counts_pods_and_restarts() -> None:
    there = seen(
        a_deployment(2, readyReplicas=1),
        a_pod("orders-a", ready=True, containers=[running(ready=True, restarts=2)]),
        a_pod("orders-b", containers=[waiting("ContainerCreating")]),
        a_pod("other-a", service="other", ready=True),
    )
    assert service_state(a_service_doc(), there) == {
        "name": "orders",
        "state": "Starting",
        "readyReplicas": 1,
        "replicas": 2,
        "restarts": 2,
        "message": "container main waits (ContainerCreating)",
    }


def test_a_killed_pod_is_noticed_although_the_deployment_still_says_ready() -> None:
    gone = a_pod("orders-a", ready=True, deletionTimestamp="2026-11-20T12:00:00Z")
    there = seen(a_deployment(2), gone, a_pod("orders-b", ready=True))
    assert not is_well(a_service_doc(), there)


def test_a_service_is_well_with_all_its_pods_ready() -> None:
    there = seen(a_deployment(2), a_pod("orders-a", ready=True), a_pod("orders-b", ready=True))
    assert is_well(a_service_doc(), there)
