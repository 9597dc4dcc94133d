"""Watches over the system under test while tests run: restarts, and an environment that breaks."""

from __future__ import annotations

from typing import Any

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.gate import report_services
from seatrial_runner.conductor.readiness import pods_of, service_state
from seatrial_runner.conductor.stage import Stage

_LOOK_AGAIN_S = 5.0


async def keep_vigil(stage: Stage) -> str:
    """
    Note each restart of a container, keep the services' states up to date, and return what broke
    the environment if something does.

    A crash of the system under test is what tests are there to find: it is noted, no more. An
    evicted pod or a lost node is not the system's doing, unless a fault has evicted it.
    """
    known: dict[tuple[str, str], int] = {}
    _new_restarts(stage, known)  # what restarted before the gate opened is no news
    while True:
        for broken in _broken(stage):
            return broken
        for entry in _new_restarts(stage, known):
            stage.journal.note("pod.restarted", **entry)
        report_services(stage, [service_state(s, stage.seen) for s in stage.run["services"]])
        await stage.seen.wait(_LOOK_AGAIN_S)


def _broken(stage: Stage) -> list[str]:
    return [
        f"The environment broke: pod {pods.name(pod)} of service {service['name']} was taken away"
        f" by the cluster ({why})."
        for service in stage.run["services"]
        for pod in pods_of(service, stage.seen)
        if pods.uid(pod) not in stage.taken and (why := pods.disruption(pod)) is not None
    ]


def _new_restarts(stage: Stage, known: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
    """Give what has restarted since the last look, and remember the counts."""
    entries = []
    first_look = not known
    for service in stage.run["services"]:
        for pod in pods_of(service, stage.seen):
            for container in pods.containers(pod):
                key = (pods.uid(pod), container.name)
                if container.restarts > known.get(key, 0) and not first_look:
                    entries.append(_restart(service["name"], pod, container))
                known[key] = container.restarts
    return entries


def _restart(service: str, pod: dict[str, Any], container: pods.Container) -> dict[str, Any]:
    end = container.last_terminated or {}
    return {
        "service": service,
        "pod": pods.name(pod),
        "container": container.name,
        "restarts": container.restarts,
        "exitCode": end.get("exitCode"),
        "reason": end.get("reason") or "",
    }
