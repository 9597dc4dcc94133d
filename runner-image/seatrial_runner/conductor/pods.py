"""Facts about a pod object, as the API server gives it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from seatrial.api.names import LABEL_SERVICE, LABEL_TEST

Object = dict[str, Any]


@dataclass(frozen=True)
class Container:
    """The status of one container of a pod."""

    name: str
    init: bool
    image: str
    ready: bool
    restarts: int
    waiting: str  # reason; empty if it does not wait
    waiting_message: str
    running_since: str | None
    terminated: Object | None  # the present state, if it has ended
    last_terminated: Object | None  # of the attempt before

    @property
    def crashes(self) -> int:
        """How often it has ended badly, as far as the kubelet says."""
        ended = self.terminated is not None and self.terminated.get("exitCode") != 0
        return self.restarts + 1 if ended or self.waiting == "CrashLoopBackOff" else self.restarts

    @property
    def last_end(self) -> Object | None:
        """How it ended the last time, if it ever did."""
        return self.terminated or self.last_terminated

    @property
    def title(self) -> str:
        """Name it in a sentence."""
        return f"init container {self.name}" if self.init else f"container {self.name}"


def containers(pod: Object) -> Iterator[Container]:
    """Give the containers that have a status, init containers first."""
    status = pod.get("status") or {}
    for key, init in (("initContainerStatuses", True), ("containerStatuses", False)):
        for each in status.get(key) or []:
            state, last = each.get("state") or {}, each.get("lastState") or {}
            yield Container(
                name=each["name"],
                init=init,
                image=each.get("image") or "",
                ready=bool(each.get("ready")),
                restarts=int(each.get("restartCount", 0)),
                waiting=(state.get("waiting") or {}).get("reason") or "",
                waiting_message=(state.get("waiting") or {}).get("message") or "",
                running_since=(state.get("running") or {}).get("startedAt"),
                terminated=state.get("terminated"),
                last_terminated=last.get("terminated"),
            )


def container(pod: Object, name: str) -> Container | None:
    """Give one container by name."""
    return next((each for each in containers(pod) if each.name == name), None)


def container_status(pod: Object, name: str) -> Object | None:
    """Give the status of one of the pod's main containers, as the API server has it."""
    every = (pod.get("status") or {}).get("containerStatuses") or []
    return next((each for each in every if each["name"] == name), None)


def name(pod: Object) -> str:
    """Give the pod's name."""
    return str(pod["metadata"]["name"])


def uid(pod: Object) -> str:
    """Give the pod's UID."""
    return str(pod["metadata"].get("uid") or "")


def phase(pod: Object) -> str:
    """Give the pod's phase."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def condition(item: Object, kind: str) -> Object | None:
    """Give a condition of an object by type."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), None)


def condition_is(item: Object, kind: str, status: str) -> bool:
    """Tell whether an object has a condition with that status."""
    found = condition(item, kind)
    return found is not None and found.get("status") == status


def is_ready(pod: Object) -> bool:
    """Tell whether the pod takes part in its Services."""
    return not is_going(pod) and condition_is(pod, "Ready", "True")


def is_going(pod: Object) -> bool:
    """Tell whether the pod is being deleted."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_over(pod: Object) -> bool:
    """Tell whether all of the pod's containers have ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def service(pod: Object) -> str | None:
    """Give the service the pod belongs to."""
    label: str | None = (pod["metadata"].get("labels") or {}).get(LABEL_SERVICE)
    return label


def test(pod: Object) -> str | None:
    """Give the test the pod belongs to."""
    label: str | None = (pod["metadata"].get("labels") or {}).get(LABEL_TEST)
    return label


def owner(pod: Object) -> Object | None:
    """Give the reference to the pod's controller."""
    owners = pod["metadata"].get("ownerReferences") or []
    return next((each for each in owners if each.get("controller")), None)


def restarts(pod: Object) -> int:
    """Count the restarts of all containers."""
    return sum(each.restarts for each in containers(pod))


def disruption(pod: Object) -> str | None:
    """Say why the cluster took the pod away: eviction, preemption, a lost node; else None."""
    found = condition(pod, "DisruptionTarget")
    if found is not None and found.get("status") == "True":
        return f"{found.get('reason') or 'disrupted'}: {found.get('message') or 'no message'}"
    status = pod.get("status") or {}
    if status.get("reason") in (
        "Evicted",
        "NodeLost",
        "NodeShutdown",
        "Terminated",
        "UnexpectedAdmissionError",
    ):
        return f"{status['reason']}: {status.get('message') or 'no message'}"
    return None
