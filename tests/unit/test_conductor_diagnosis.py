"""What is certain to fail is told early and exactly; what may pass by itself is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from seatrial_runner.conductor.diagnosis import Subject, diagnose
from seatrial_runner.conductor.waiting import waits_for

from tests.support.pods import a_pod, an_end, an_event, ended, running, waiting

NOW = datetime(2026, 11, 20, 12, 1, tzinfo=UTC)
IMAGE = "registry.example/orders:2"


def subject(
    *pods: dict[str, Any], events: Any = (), workloads: Any = (), what: str = "service"
) -> Subject:
    return Subject("orders", list(pods), list(workloads), list(events), what)


NO_ROOM = "0/1 nodes are available: 1 Insufficient cpu."
TAKEN = f"{NO_ROOM} preemption: 0/1 nodes are available: 1 No preemption victims found for pod."
TOO_LARGE = f"{NO_ROOM} preemption: 0/1 nodes are available: 1 Preemption is not helpful."
UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."


def unschedulable(*, for_s: float, message: str = NO_ROOM) -> dict[str, Any]:
    since = NOW - timedelta(seconds=for_s)
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": since.isoformat(),
    }


def refused(message: str) -> Subject:
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    deployment = {"metadata": {"name": "orders"}, "status": {"conditions": [condition]}}
    return subject(workloads=[("Deployment", deployment)])


def failed_job() -> Subject:
    condition = {"type": "Failed", "status": "True", "message": "reached the backoff limit"}
    job = {"metadata": {"name": "migrate"}, "status": {"conditions": [condition]}}
    pod = a_pod("migrate-x", phase="Failed", containers=[ended(7)])
    return subject(pod, workloads=[("Job", job)])


CERTAIN = [
    pytest.param(
        subject(a_pod(containers=[waiting("InvalidImageName", "couldn't parse image")])),
        "ImagePullFailed",
        ["container main of service orders", IMAGE, "Correct the image's name"],
        id="image-name-invalid",
    ),
    pytest.param(
        subject(a_pod(containers=[waiting("ErrImageNeverPull", "not present")])),
        "ImagePullFailed",
        ["Load the image onto the nodes"],
        id="image-never-pulled",
    ),
    pytest.param(
        subject(a_pod(containers=[waiting("ErrImagePull", f"{IMAGE}: not found")])),
        "ImagePullFailed",
        [IMAGE, "not found", "Check the image's name and tag"],
        id="image-not-there-the-first-time",
    ),
    pytest.param(
        subject(a_pod(containers=[waiting("ImagePullBackOff", "pull access denied")])),
        "ImagePullFailed",
        ["pull access denied"],
        id="image-denied",
    ),
    pytest.param(
        subject(
            a_pod(containers=[waiting("ImagePullBackOff", "Back-off pulling")]),
            events=[an_event("Failed", f'Failed to pull image "{IMAGE}": i/o timeout', count=2)],
        ),
        "ImagePullFailed",
        ["ImagePullBackOff"],
        id="image-could-not-be-pulled-twice",
    ),
    pytest.param(
        subject(a_pod(init=[waiting("ErrImagePull", "manifest unknown", name="wait")])),
        "ImagePullFailed",
        ["init container wait"],
        id="image-of-an-init-container",
    ),
    pytest.param(
        subject(a_pod(containers=[waiting("CreateContainerConfigError", 'secret "db" not found')])),
        "ContainerConfigError",
        ["Container main of service orders", 'secret "db" not found'],
        id="a-secret-is-missing",
    ),
    pytest.param(
        subject(
            a_pod(
                containers=[
                    waiting(
                        "CreateContainerConfigError",
                        "container has runAsNonRoot and image will run as root",
                    )
                ]
            )
        ),
        "ContainerConfigError",
        ["image will run as root", "Set runAsUser, or spec.podSecurity: baseline"],
        id="an-image-that-runs-as-root",
    ),
    pytest.param(
        subject(a_pod(containers=[waiting("CrashLoopBackOff", restarts=2, last=an_end(3))])),
        "CrashLoop",
        ["Container main of service orders ended with exit status 3", "3 times"],
        id="the-third-crash",
    ),
    pytest.param(
        subject(a_pod(init=[waiting("CrashLoopBackOff", restarts=2, last=an_end(1), name="wait")])),
        "CrashLoop",
        ["Init container wait"],
        id="an-init-container-crashes",
    ),
    pytest.param(
        subject(
            a_pod(
                containers=[
                    waiting(
                        "RunContainerError",
                        restarts=1,
                        last=an_end(128, reason="StartError", message='exec: "orders": not found'),
                    )
                ]
            )
        ),
        "CrashLoop",
        ["StartError", 'exec: "orders": not found'],
        id="a-command-that-is-not-there",
    ),
    pytest.param(
        subject(a_pod(containers=[running(restarts=2, last=an_end(137, reason="OOMKilled"))])),
        "OOMKilled",
        ["killed 2 times", "resources.limits.memory"],
        id="out-of-memory-twice",
    ),
    pytest.param(
        subject(a_pod(conditions=[unschedulable(for_s=11)])),
        "Unschedulable",
        ["0/1 nodes are available: 1 Insufficient cpu.", "resources.requests"],
        id="no-node-for-ten-seconds",
    ),
    pytest.param(
        subject(a_pod(conditions=[unschedulable(for_s=11, message=TOO_LARGE)])),
        "Unschedulable",
        ["Preemption is not helpful", "resources.requests"],
        id="larger-than-a-node",
    ),
    pytest.param(
        subject(a_pod(conditions=[unschedulable(for_s=91, message=UNBOUND)])),
        "Unschedulable",
        ["unbound immediate PersistentVolumeClaims", "StorageClass"],
        id="no-volume-for-ninety-seconds",
    ),
    pytest.param(
        refused('pods "orders-x" is forbidden: exceeded quota: seatrial, requested: pods=1'),
        "QuotaExceeded",
        ["exceeded quota: seatrial", "Lower replicas or resources"],
        id="quota-by-the-deployment",
    ),
    pytest.param(
        subject(events=[an_event("FailedCreate", "is forbidden: exceeded quota: seatrial")]),
        "QuotaExceeded",
        ["exceeded quota"],
        id="quota-by-an-event",
    ),
    pytest.param(
        refused('violates PodSecurity "restricted:latest": runAsNonRoot != true'),
        "Forbidden",
        ["runAsNonRoot", "spec.podSecurity: baseline"],
        id="pod-security",
    ),
    pytest.param(
        refused("is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi"),
        "Forbidden",
        ["LimitRange"],
        id="limit-range",
    ),
    pytest.param(
        refused(
            'admission webhook "validation.gatekeeper.sh" denied the request: [repos] container'
            " <main> has an invalid image repo <docker.io/x>"
        ),
        "Forbidden",
        ["validation.gatekeeper.sh", "invalid image repo", "policy of the cluster"],
        id="an-admission-webhook",
    ),
    pytest.param(
        subject(
            events=[
                an_event(
                    "FailedCreate",
                    'Error creating: pods "orders-x" is forbidden: ValidatingAdmissionPolicy'
                    " 'registries' with binding 'all' denied request: only from our registry",
                )
            ]
        ),
        "Forbidden",
        ["'registries'", "only from our registry"],
        id="an-admission-policy",
    ),
    pytest.param(
        failed_job(),
        "JobFailed",
        ["Job migrate of service orders", "backoff limit", "exit status 7"],
        id="a-job-failed",
    ),
    pytest.param(
        subject(a_pod(phase="Failed", bare=True, containers=[ended(2)])),
        "CrashLoop",
        ["exit status 2", "nothing restarts a pod"],
        id="a-bare-pod-failed",
    ),
    pytest.param(
        subject(
            a_pod(conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "Evicted"}])
        ),
        "EnvironmentFailed",
        ["took pod orders-6d56dc878d-2xk4v of service orders away"],
        id="evicted",
    ),
]


@pytest.mark.parametrize(("seen", "reason", "words"), CERTAIN)
def test_a_certain_failure_is_told_with_service_container_and_remedy(
    seen: Subject, reason: str, words: list[str]
) -> None:
    finding = diagnose(seen, NOW)
    assert finding is not None
    assert finding.reason == reason
    assert finding.service == "orders"
    assert [word for word in words if word not in finding.message] == []


PASSING = [
    pytest.param(subject(), id="nothing-there-yet"),
    pytest.param(subject(a_pod(containers=[waiting("ContainerCreating")])), id="being-created"),
    pytest.param(
        subject(a_pod(containers=[waiting("ErrImagePull", "i/o timeout")])),
        id="a-registry-that-stumbled-once",
    ),
    pytest.param(
        subject(a_pod(containers=[waiting("CrashLoopBackOff", restarts=1, last=an_end(1))])),
        id="two-crashes-because-the-database-is-not-up",
    ),
    pytest.param(
        subject(a_pod(ready=True, containers=[running(ready=True, restarts=5, last=an_end(1))])),
        id="ready-in-the-end",
    ),
    pytest.param(
        subject(a_pod(containers=[running(restarts=1, last=an_end(137, reason="OOMKilled"))])),
        id="out-of-memory-once",
    ),
    pytest.param(
        subject(a_pod(conditions=[unschedulable(for_s=9)])), id="no-node-for-nine-seconds"
    ),
    pytest.param(
        subject(a_pod(conditions=[unschedulable(for_s=200, message=TAKEN)])),
        id="nodes-that-other-pods-fill",
    ),
    pytest.param(
        subject(a_pod(conditions=[unschedulable(for_s=60, message=UNBOUND)])),
        id="a-volume-that-is-being-made",
    ),
    pytest.param(
        subject(events=[an_event("FailedCreate", "forbidden: status unknown for quota: seatrial")]),
        id="a-quota-that-is-not-counted-yet",
    ),
    pytest.param(
        refused(
            'Internal error occurred: failed calling webhook "validation.gatekeeper.sh": failed to'
            ' call webhook: Post "https://gatekeeper.svc:443/v1/admit": connection refused'
        ),
        id="a-webhook-that-does-not-answer",
    ),
    pytest.param(
        subject(
            a_pod(containers=[waiting("CreateContainerConfigError", "timed out waiting for cache")])
        ),
        id="a-kubelet-that-has-not-seen-the-configmap",
    ),
    pytest.param(
        subject(
            a_pod(
                containers=[waiting("InvalidImageName")], deletionTimestamp="2026-11-20T12:00:00Z"
            )
        ),
        id="a-pod-that-goes-anyway",
    ),
    pytest.param(subject(a_pod(phase="Succeeded", containers=[ended(0)])), id="done"),
]


@pytest.mark.parametrize("seen", PASSING)
def test_what_may_pass_by_itself_is_no_failure(seen: Subject) -> None:
    assert diagnose(seen, NOW) is None


def test_a_pod_that_no_scheduler_has_looked_at_waits_for_a_node_and_that_is_all() -> None:
    assert waits_for(subject(a_pod(conditions=[]))).endswith("waits for a node")


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(
            subject(
                a_pod(containers=[running()], probe={"httpGet": {"path": "/ready", "port": 8080}}),
                events=[an_event("Unhealthy", "Readiness probe failed: HTTP 503")],
            ),
            ["readinessProbe of container main", "GET /ready on port 8080", "HTTP 503"],
            id="names-the-probe",
        ),
        pytest.param(
            subject(a_pod(containers=[waiting("ContainerCreating")])),
            ["container main waits (ContainerCreating)"],
            id="names-the-container",
        ),
        pytest.param(
            subject(a_pod(conditions=[unschedulable(for_s=1)])),
            ["waits for a node", "Insufficient cpu"],
            id="names-the-scheduler",
        ),
        pytest.param(subject(), ["nothing of it is there yet"], id="not-applied"),
    ],
)
def test_a_service_that_is_not_ready_says_what_it_waits_for(
    seen: Subject, words: list[str]
) -> None:
    told = waits_for(seen)
    assert [word for word in words if word not in told] == []
