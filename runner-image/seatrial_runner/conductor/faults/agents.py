"""Agents: ephemeral containers in pods under test, where the faults inside them are ordered."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from typing import Any

from seatrial.api import families
from seatrial.api.agents import Declared, ephemeral_container
from seatrial.api.errors import ClusterError
from seatrial.api.names import AGENT_PORT, AGENT_PREFIX, ENV_CONTROL_TOKEN

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.control_client import ControlClient, UnreachableError
from seatrial_runner.conductor.faults.sources import address
from seatrial_runner.conductor.faults.targets import has_labels
from seatrial_runner.conductor.seen import PODS
from seatrial_runner.conductor.stage import Stage

Json = dict[str, Any]

_LOOK_AGAIN_S = 1.0
_AGAIN_S = 0.1
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_MOST = 20  # in a pod's life; each stays in its spec
_STRATEGIC = "application/strategic-merge-patch+json"


class Agents:
    """
    All agents of the run.

    What is known of one stands in its pod: a conductor that comes back finds them there, with the
    tokens that it needs.
    """

    def __init__(self, stage: Stage, image: str, *, port: int = AGENT_PORT) -> None:
        self._stage = stage
        self._image = image
        self._port = port
        self._places: dict[str, AgentPlace] = {}

    def place(self, key: str) -> AgentPlace:
        """Give the place of a pod, by ``key_of`` it."""
        if key not in self._places:
            self._places[key] = AgentPlace(self._stage, self._image, key, port=self._port)
        return self._places[key]


def key_of(pod: Json) -> str:
    """Name a pod so that its successor of the same name is another."""
    return f"{pods.name(pod)}/{pods.uid(pod)}"


def main_container(pod: Json) -> str:
    """Give the container that is hit: the one kubectl takes too."""
    annotated = (pod["metadata"].get("annotations") or {}).get(_DEFAULT_CONTAINER)
    return str(annotated or pod["spec"]["containers"][0]["name"])


def container_id(pod: Json) -> str:
    """
    Give the ID of the container that is hit, if the pod's containers share their processes.

    Empty if not: the agent shares those of that container alone. The ID of before a restart, which
    is what stands in the status until it runs again, would keep the agent from finding it.
    """
    if not pod["spec"].get("shareProcessNamespace"):
        return ""
    status = pods.container_status(pod, main_container(pod)) or {}
    return str(status.get("containerID") or "").rpartition("/")[2]


class AgentPlace:
    """The agent of one pod: put in when it is needed, and again when it has ended."""

    def __init__(self, stage: Stage, image: str, key: str, *, port: int) -> None:
        self._stage = stage
        self._image = image
        self._name, _, self._uid = key.partition("/")
        self._port = port
        self._making = asyncio.Lock()
        self._added = 0
        self.client = ControlClient(f"the agent in pod {self._name}", self._where, self._token)

    @property
    def is_gone(self) -> bool:
        """Tell whether the pod, or the agent in it, is no more."""
        pod = self._pod()
        return pod is None or _running(pod) is None

    @property
    def pod_is_gone(self) -> bool:
        """Tell whether the pod is no more, or about to go."""
        pod = self._pod()
        return pod is None or pods.is_going(pod)

    async def ready(self, *, within_s: float) -> None:
        """
        Return when an agent takes orders; put one in if there is none.

        Raises:
            UnreachableError: There is none within that time; the message says why.
        """
        async with self._making:
            give_up = self._stage.monotonic() + within_s
            await self._put_in()
            while self.is_gone or not await self.client.serves():
                if self._stage.monotonic() > give_up:
                    raise UnreachableError(
                        f"{self.client.what} did not serve within {within_s:g} s"
                        f"{self._what_keeps_it()}"
                    )
                # Its container is seen to run, or it is asked again a moment later.
                await self._stage.seen.wait(_LOOK_AGAIN_S if self.is_gone else _AGAIN_S)
                await self._put_in()

    async def _put_in(self) -> None:
        pod = self._pod()
        if pod is None:
            raise UnreachableError(f"pod {self._name} is gone")
        if _present(pod) is not None or self._is_on_its_way(pod):
            return
        container = main_container(pod)
        number = _next_number(pod)
        if number > _MOST:
            raise UnreachableError(f"{self.client.what} has ended {_MOST} times: see its logs")
        new = ephemeral_container(
            f"{AGENT_PREFIX}-{number}",
            image=self._image,
            pull_policy="IfNotPresent",
            token=secrets.token_urlsafe(32),
            container=container,
            container_id=container_id(pod),
            declared=declared_for(self._stage, pod),
        )
        path = f"{PODS.path(self._stage.namespace, self._name)}/ephemeralcontainers"
        # By name: those that are there stay. The UID refuses a pod that has taken its place.
        body = {"metadata": {"uid": self._uid}, "spec": {"ephemeralContainers": [new]}}
        try:
            await self._stage.api.patch(path, body, content_type=_STRATEGIC)
        except ClusterError as error:
            raise UnreachableError(f"no agent in pod {self._name}: {error}") from error
        self._added = number

    def _is_on_its_way(self, pod: Json) -> bool:
        """Tell whether the watch has yet to tell of the one that was put in last."""
        return self._added >= _next_number(pod)

    def _pod(self) -> Json | None:
        pod = self._stage.seen.get(PODS, self._name)
        if pod is None or pods.uid(pod) != self._uid or pods.is_over(pod):
            return None
        return pod

    def _where(self) -> tuple[str, int] | None:
        pod = self._pod()
        found = address(pod) if pod is not None else None
        return (found, self._port) if found is not None else None

    async def _token(self) -> str:
        pod = self._pod()
        container = _present(pod) if pod is not None else None
        for each in (container or {}).get("env") or []:
            if each["name"] == ENV_CONTROL_TOKEN:
                return str(each["value"])
        raise UnreachableError(f"there is no agent in pod {self._name}")

    def _what_keeps_it(self) -> str:
        pod = self._pod()
        for each in ((pod or {}).get("status") or {}).get("ephemeralContainerStatuses") or []:
            waiting = (each.get("state") or {}).get("waiting") or {}
            if each["name"].startswith(AGENT_PREFIX) and waiting.get("reason"):
                return f": {waiting['reason']} {waiting.get('message') or ''}".rstrip()
        return ""


def declared_for(stage: Stage, pod: Json) -> list[Declared]:
    """Give the faults that the run declares for such pods: of that service, with those labels."""
    service = pods.service(pod)
    return [
        Declared(kind=kind, params=dict(fault[kind]))
        for fault in stage.run["faults"]
        if (kind := families.kind_of(fault)) in families.POD
        and service in (None, fault["target"]["service"])
        and has_labels(pod, fault["target"].get("podLabels") or {})
    ]


def _ours(items: Iterable[Json] | None) -> list[Json]:
    return [each for each in items or [] if each["name"].startswith(f"{AGENT_PREFIX}-")]


def _present(pod: Json) -> Json | None:
    """Give the agent's container that has not ended, from the pod's spec."""
    ended = {
        each["name"]
        for each in _ours((pod.get("status") or {}).get("ephemeralContainerStatuses"))
        if "terminated" in (each.get("state") or {})
    }
    every = _ours(pod["spec"].get("ephemeralContainers"))
    return next((each for each in reversed(every) if each["name"] not in ended), None)


def _running(pod: Json) -> Json | None:
    for each in _ours((pod.get("status") or {}).get("ephemeralContainerStatuses")):
        if "running" in (each.get("state") or {}):
            return each
    return None


def _next_number(pod: Json) -> int:
    """Give a number that no container of the pod has had: none of their names is free again."""
    numbers = [
        int(each["name"].rpartition("-")[2])
        for each in _ours(pod["spec"].get("ephemeralContainers"))
        if each["name"].rpartition("-")[2].isdigit()
    ]
    return max(numbers, default=0) + 1
