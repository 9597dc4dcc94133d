"""Pods as the API server gives them, in the states that matter to a conductor."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def a_pod(
    name: str = "orders-6d56dc878d-2xk4v",
    *,
    service: str = "orders",
    test: str = "",
    phase: str = "Pending",
    ready: bool = False,
    containers: list[Object] | None = None,
    init: list[Object] | None = None,
    conditions: list[Object] | None = None,
    probe: Object | None = None,
    bare: bool = False,
    **metadata: Any,
) -> Object:
    labels = {"seatrial.dev/test": test} if test else {"seatrial.dev/service": service}
    owner = {"kind": "ReplicaSet", "name": "orders-6d56dc878d", "controller": True}
    owners = [] if bare else [owner]
    spec: Object = {"name": "main"}
    if probe is not None:
        spec["readinessProbe"] = probe
    readiness = [{"type": "Ready", "status": "True"}] if ready else []
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "labels": labels,
            "ownerReferences": owners,
            "creationTimestamp": "2026-11-20T12:00:00Z",
            **metadata,
        },
        "spec": {"containers": [spec]},
        "status": {
            "phase": "Running" if ready else phase,
            "conditions": [*readiness, *(conditions or [])],
            "containerStatuses": containers or [],
            "initContainerStatuses": init or [],
        },
    }


def waiting(reason: str, message: str = "", *, restarts: int = 0, **more: Any) -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    return _status(state, restarts=restarts, **more)


def running(*, ready: bool = False, restarts: int = 0, **more: Any) -> Object:
    state = {"running": {"startedAt": "2026-11-20T12:00:01Z"}}
    return _status(state, restarts=restarts, ready=ready, **more)


def ended(code: int, *, reason: str = "", restarts: int = 0, **more: Any) -> Object:
    return _status({"terminated": an_end(code, reason=reason)}, restarts=restarts, **more)


def an_end(code: int, *, reason: str = "", message: str = "") -> Object:
    return {
        "exitCode": code,
        "reason": reason or ("Completed" if code == 0 else "Error"),
        "message": message,
        "startedAt": "2026-11-20T12:00:01Z",
        "finishedAt": "2026-11-20T12:00:02Z",
    }


def _status(state: Object, *, restarts: int, last: Object | None = None, **more: Any) -> Object:
    return {
        "name": "main",
        "image": "registry.example/orders:2",
        "ready": False,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
        **more,
    }


def an_event(
    reason: str, message: str, *, about: str = "orders-6d56dc878d-2xk4v", count: int = 1
) -> Object:
    return {
        "metadata": {"name": f"{about}.{reason}"},
        "reason": reason,
        "message": message,
        "count": count,
        "involvedObject": {"name": about, "uid": f"uid-of-{about}"},
    }
