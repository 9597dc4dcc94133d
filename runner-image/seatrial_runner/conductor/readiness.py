"""When a service is ready: what Kubernetes says of its workloads and pods. Pure."""

from __future__ import annotations

from typing import Any

from seatrial.api.journal import ServiceDoc, ServiceState, WorkloadDoc

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.diagnosis import Subject
from seatrial_runner.conductor.seen import EVENTS, PODS, WORKLOADS, Seen
from seatrial_runner.conductor.waiting import waits_for

Object = dict[str, Any]


def subject_of(service: ServiceDoc, seen: Seen) -> Subject:
    """Collect what belongs to a service."""
    workloads = [
        (doc["kind"], item)
        for doc in service["workloads"]
        if (item := seen.get(WORKLOADS[doc["kind"]], doc["name"])) is not None
    ]
    own = pods_of(service, seen)
    names = {doc["name"] for doc in service["workloads"]} | {pods.name(pod) for pod in own}
    return Subject(
        name=service["name"],
        pods=own,
        workloads=workloads,
        events=[each for each in seen.all(EVENTS) if _concerns(each, names)],
    )


def pods_of(service: ServiceDoc, seen: Seen) -> list[Object]:
    """Give the pods of a service, by their label; a bare pod also by its name."""
    bare = {doc["name"] for doc in service["workloads"] if doc["kind"] == "Pod"}
    return [
        pod
        for pod in seen.all(PODS)
        if pods.service(pod) == service["name"] or pods.name(pod) in bare
    ]


def _concerns(event: Object, names: set[str]) -> bool:
    """Tell whether an event is about one of these objects, or about what they own by name."""
    involved = event.get("involvedObject") or {}
    about = str(involved.get("name") or "")
    # A Deployment's ReplicaSet is called NAME-HASH; a hash holds no dash.
    return about in names or (
        involved.get("kind") == "ReplicaSet" and about.rpartition("-")[0] in names
    )


def service_state(service: ServiceDoc, seen: Seen) -> ServiceState:
    """Say how a service is, as status.services shows it."""
    own = pods_of(service, seen)
    wanted = sum(_wanted(doc, seen) for doc in service["workloads"])
    ready = sum(pods.is_ready(pod) for pod in own)
    there = any(seen.get(WORKLOADS[doc["kind"]], doc["name"]) for doc in service["workloads"])
    all_ready = all(workload_is_ready(doc, seen) for doc in service["workloads"])
    state: ServiceState = {
        "name": service["name"],
        "state": "Ready" if all_ready else "Starting" if there or own else "Pending",
        "readyReplicas": min(ready, wanted),
        "replicas": wanted,
        "restarts": sum(pods.restarts(pod) for pod in own),
        "message": "",
    }
    if not all_ready:
        state["message"] = waits_for(subject_of(service, seen))[:1024]
    return state


def _wanted(doc: WorkloadDoc, seen: Seen) -> int:
    item = seen.get(WORKLOADS[doc["kind"]], doc["name"])
    if doc["kind"] not in ("Deployment", "StatefulSet"):
        return 1
    return _replicas(item) if item is not None else 1


def _replicas(item: Object) -> int:
    replicas = (item.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def workload_is_ready(doc: WorkloadDoc, seen: Seen) -> bool:
    """Tell whether a workload is as its spec wants it, by what its controller says."""
    item = seen.get(WORKLOADS[doc["kind"]], doc["name"])
    if item is None:
        return False
    match doc["kind"]:
        case "Deployment" | "StatefulSet":
            return _is_rolled_out(item)
        case "Job":
            return _has_succeeded(item)
        case _:
            return pods.is_ready(item) or pods.phase(item) == "Succeeded"


def _is_rolled_out(item: Object) -> bool:
    status, wanted = item.get("status") or {}, _replicas(item)
    if status.get("observedGeneration", 0) < item["metadata"].get("generation", 0):
        return False
    counts = (status.get(name) or 0 for name in ("replicas", "updatedReplicas", "readyReplicas"))
    return all(count == wanted for count in counts)


def _has_succeeded(job: Object) -> bool:
    if pods.condition_is(job, "Complete", "True"):
        return True
    completions = (job.get("spec") or {}).get("completions")
    succeeded: int = (job.get("status") or {}).get("succeeded") or 0
    return succeeded >= (1 if completions is None else int(completions))


def is_well(service: ServiceDoc, seen: Seen) -> bool:
    """
    Tell whether a service has all its pods ready again after a fault.

    Both watches must say so: the controller's status may still be that of before the fault when
    the pods' watch already tells of it, and the other way round.
    """
    state = service_state(service, seen)
    return state["state"] == "Ready" and state["readyReplicas"] >= state["replicas"]
