"""Who is behind which address: what the gateway tells sources of traffic apart by. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from seatrial.api.families import FROM_TESTS
from seatrial.api.journal import ServiceDoc
from seatrial.api.names import COMPONENT_CONDUCTOR, LABEL_COMPONENT

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.readiness import pods_of
from seatrial_runner.conductor.seen import PODS, Seen

FROM_CONDUCTOR = "conductor"


def sources_of(services: Iterable[ServiceDoc], seen: Seen) -> dict[str, list[str]]:
    """
    Give the addresses of each service's pods, of the tests (the conductor is one), and its own.

    Pods that are going are there until they are gone: they may still ask.
    """
    conductor = [pod for pod in seen.all(PODS) if _component(pod) == COMPONENT_CONDUCTOR]
    tests = [pod for pod in seen.all(PODS) if pods.test(pod) is not None]
    return {
        **{service["name"]: _addresses(pods_of(service, seen)) for service in services},
        FROM_TESTS: _addresses([*tests, *conductor]),
        FROM_CONDUCTOR: _addresses(conductor),
    }


def component_pods(seen: Seen, component: str) -> list[dict[str, Any]]:
    """Give the pods of one of our own parts."""
    return [pod for pod in seen.all(PODS) if _component(pod) == component]


def address(pod: dict[str, Any]) -> str | None:
    """Give a pod's address, once it has one."""
    found: str | None = (pod.get("status") or {}).get("podIP")
    return found or None


def _component(pod: dict[str, Any]) -> str | None:
    label: str | None = (pod["metadata"].get("labels") or {}).get(LABEL_COMPONENT)
    return label


def _addresses(found: Iterable[dict[str, Any]]) -> list[str]:
    every: set[str] = set()
    for pod in found:
        status = pod.get("status") or {}
        if pods.is_over(pod):
            continue  # its address may be another's by now
        every.update(each["ip"] for each in status.get("podIPs") or [] if each.get("ip"))
        if status.get("podIP"):
            every.add(status["podIP"])
    return sorted(every)
