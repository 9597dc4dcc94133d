"""Whether an object is as it should be, as kubectl rollout status and kubectl wait see it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unfinished(item: Mapping[str, Any]) -> str:
    """Say what an object still lacks to be rolled out, ready or complete; empty if nothing."""
    match item.get("kind"):
        case "Deployment":
            return _deployment(item)
        case "StatefulSet":
            return _stateful_set(item)
        case "ReplicaSet":
            return _replicas(item, int(_map(item.get("status")).get("readyReplicas") or 0))
        case "Pod":
            return "" if condition_holds(item, "Ready") else f"it is {_phase(item)}, and not ready"
        case "Job":
            return "" if condition_holds(item, "Complete") else "it is not complete"
        case "PersistentVolumeClaim":
            return "" if _phase(item) == "Bound" else f"it is {_phase(item)}"
        case _:
            return ""


def condition_holds(item: Mapping[str, Any], kind: str) -> bool:
    """Tell whether an object has a condition of this type that is True."""
    conditions = _map(item.get("status")).get("conditions") or []
    return any(each.get("type") == kind and each.get("status") == "True" for each in conditions)


def _deployment(item: Mapping[str, Any]) -> str:
    status = _map(item.get("status"))
    if problem := _unseen(item):
        return problem
    wanted = _wanted(item)
    updated = int(status.get("updatedReplicas") or 0)
    if updated < wanted:
        return f"{updated} of {wanted} pods are of the new template"
    if (every := int(status.get("replicas") or 0)) > updated:
        return f"{every - updated} pods of the old template are still there"
    return _replicas(item, int(status.get("availableReplicas") or 0))


def _stateful_set(item: Mapping[str, Any]) -> str:
    status = _map(item.get("status"))
    if problem := _unseen(item):
        return problem
    wanted = _wanted(item)
    if problem := _replicas(item, int(status.get("readyReplicas") or 0)):
        return problem
    updated = int(status.get("updatedReplicas") or 0)
    if status.get("updateRevision") != status.get("currentRevision") and updated < wanted:
        return f"{updated} of {wanted} pods are of the new template"
    return ""


def _unseen(item: Mapping[str, Any]) -> str:
    """Say that the controller has not looked at the present spec yet."""
    seen = int(_map(item.get("status")).get("observedGeneration") or 0)
    generation = int(_map(item.get("metadata")).get("generation") or 0)
    return "" if seen >= generation else "its controller has not seen the change yet"


def _replicas(item: Mapping[str, Any], ready: int) -> str:
    wanted = _wanted(item)
    every = int(_map(item.get("status")).get("replicas") or 0)
    if ready < wanted:
        return f"{ready} of {wanted} pods are ready"
    return f"{every} pods are there, {every - wanted} too many" if every > wanted else ""


def _wanted(item: Mapping[str, Any]) -> int:
    replicas = _map(item.get("spec")).get("replicas")
    return 1 if replicas is None else int(replicas)


def _phase(item: Mapping[str, Any]) -> str:
    return str(_map(item.get("status")).get("phase") or "Pending")


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
