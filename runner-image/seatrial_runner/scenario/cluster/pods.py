"""The pods of a service, as steps choose among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from seatrial.api.names import AGENT_PREFIX, LABEL_SERVICE
from seatrial.api.step_objects import BY_KIND

from seatrial_runner.scenario.cluster.rollout import condition_holds
from seatrial_runner.scenario.world import Cluster, ClusterStepError

Json = dict[str, Any]

POD = BY_KIND["Pod"]
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def pods_of(cluster: Cluster, service: str, seconds: Callable[[], float]) -> list[Json]:
    """Give the pods of a service, those that are going included."""
    return cluster.find(POD, {LABEL_SERVICE: service}, seconds=seconds())


def ready_pod(cluster: Cluster, service: str, seconds: Callable[[], float]) -> Json:
    """
    Give the first of a service's ready pods, by name.

    Raises:
        ClusterStepError: There is none.
    """
    pods = pods_of(cluster, service, seconds)
    for pod in pods:
        if not pod["metadata"].get("deletionTimestamp") and condition_holds(pod, "Ready"):
            return pod
    there = f"; it has {len(pods)} that are not" if pods else ""
    raise ClusterStepError(f"service {service} has no ready pod{there}")


def one_pod(cluster: Cluster, name: str, seconds: Callable[[], float]) -> Json:
    """
    Give a pod by name.

    Raises:
        ClusterStepError: There is none that a step may see.
    """
    pod = cluster.get(POD, name, seconds=seconds())
    if pod is None:
        raise ClusterStepError(f"there is no pod {name!r} of the system under test")
    return pod


def containers(pod: Json) -> Iterator[str]:
    """Name the containers of a pod, the one meant without a name first."""
    names = [str(each["name"]) for each in pod["spec"]["containers"]]
    first = (pod["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
    if first in names:
        yield str(first)
    yield from (name for name in names if name != first and not name.startswith(AGENT_PREFIX))


def container_of(pod: Json, wanted: str | None) -> str:
    """
    Give the container that is meant.

    Raises:
        ClusterStepError: The pod has none of that name.
    """
    known = list(containers(pod))
    if wanted is None:
        return known[0]
    if wanted not in known:
        text = f"pod {pod['metadata']['name']} has no container {wanted!r}: it has"
        raise ClusterStepError(f"{text} {', '.join(known)}", permanent=True)
    return wanted


def restarts(pod: Json, container: str) -> int:
    """Count how often a container has been started again."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(int(each.get("restartCount", 0)) for each in statuses if each["name"] == container)
