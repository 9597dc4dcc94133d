"""What a service that is not ready waits for. Pure."""

from __future__ import annotations

from typing import Any

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.diagnosis import Subject, quote, refusals
from seatrial_runner.conductor.pods import Container

Object = dict[str, Any]


def waits_for(subject: Subject) -> str:
    """Say what a service that is not ready waits for: the probe, the container, the scheduler."""
    for pod in subject.pods:
        if pods.is_ready(pod) or pods.is_going(pod):
            continue
        for container in pods.containers(pod):
            if container.waiting:
                said = f": {quote(container.waiting_message)}" if container.waiting_message else ""
                return f"{container.title} waits ({container.waiting}){said}"
            if container.init and container.running_since:
                return f"{container.title} is still running"
            if container.running_since and not container.ready:
                return _probe(subject, pod, container)
        found = pods.condition(pod, "PodScheduled")
        if found is None or found.get("status") == "False":
            said = quote((found or {}).get("message") or "")
            return f"pod {pods.name(pod)} waits for a node{': ' if said else ''}{said}"
        mounts = [
            event for event in subject.events
            if (event.get("involvedObject") or {}).get("uid") == pods.uid(pod)
        ]  # fmt: skip
        said = f": {quote(mounts[-1].get('message') or '')}" if mounts else ""
        return f"pod {pods.name(pod)} is {pods.phase(pod)}{said}"
    refused = list(refusals(subject))
    if refused:
        return f"its pods cannot be made: {quote(refused[-1])}"
    if not subject.workloads and not subject.pods:
        return "nothing of it is there yet"
    return "its pods are not there yet" if not subject.pods else "its controller has not said ready"


def _probe(subject: Subject, pod: Object, container: Container) -> str:
    spec: Object = next(
        (c for c in pod["spec"].get("containers") or [] if c.get("name") == container.name), {}
    )
    for field in ("startupProbe", "readinessProbe"):
        if probe := spec.get(field):
            last = [
                str(event.get("message"))
                for event in subject.events
                if event.get("reason") == "Unhealthy"
                and (event.get("involvedObject") or {}).get("uid") == pods.uid(pod)
            ]
            said = f": {quote(last[-1])}" if last else ""
            return f"the {field} of {container.title} ({_check(probe)}) does not succeed{said}"
    return f"{container.title} runs but is not ready"


def _check(probe: Object) -> str:
    match probe:
        case {"httpGet": {**get}}:
            return f"GET {get.get('path', '/')} on port {get.get('port')}"
        case {"tcpSocket": {**tcp}}:
            return f"TCP port {tcp.get('port')}"
        case {"grpc": {**grpc}}:
            return f"gRPC on port {grpc.get('port')}"
        case {"exec": {"command": command}}:
            return " ".join(str(part) for part in command)[:100]
        case _:
            return "?"
