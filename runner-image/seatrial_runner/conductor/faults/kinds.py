"""What the kinds of faults have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from seatrial.api.journal import ServiceDoc, TargetState

from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.seen import WORKLOADS, Seen

Json = dict[str, Any]


@dataclass(frozen=True)
class Aim:
    """What a fault is about to hit."""

    fault: Json
    service: ServiceDoc
    seen: Seen
    seed: str  # the same for every try of this fault in this run
    stamp: str  # the present moment


@dataclass
class Intent:
    """
    What is going to be done: written to the journal before anything happens.

    ``undo`` holds all that is needed to undo it, or to see that it is undone, by a conductor that
    knows nothing but the journal.
    """

    targets: list[TargetState]
    undo: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Hands:
    """What a fault acts with."""

    api: ApiServer
    namespace: str
    seen: Seen
    save_logs: Callable[[str], Awaitable[None]]  # of a pod that is about to go


class Kind(Protocol):
    """One kind of fault."""

    def aim(self, aim: Aim) -> Intent:
        """
        Choose what will be hit.

        Raises:
            NotInjectedError: There is nothing to hit; the message says what is missing.
        """

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """
        Do it, and return when it is in effect.

        Raises:
            NotInjectedError: Nothing happened.
            ClusterError: The API server refused.
        """

    async def undo(self, hands: Hands, intent: Intent) -> None:
        """Undo it; harmless if it is undone already. Nothing to do for what a controller undoes."""

    def is_undone(self, intent: Intent, service: ServiceDoc, seen: Seen) -> bool:
        """Tell whether it is undone, and note in the targets what took their place."""


SCALABLE = ("Deployment", "StatefulSet")


def scalable(service: ServiceDoc) -> list[tuple[str, str]]:
    """Give kind and name of the service's workloads that have replicas."""
    return [(doc["kind"], doc["name"]) for doc in service["workloads"] if doc["kind"] in SCALABLE]


def workload_path(hands: Hands, kind: str, name: str) -> str:
    """Give the API path of a workload."""
    return WORKLOADS[kind].path(hands.namespace, name)


def target(kind: str, name: str, uid: str) -> TargetState:
    """Make a target that nothing has replaced yet."""
    return {"kind": kind, "name": name, "uid": uid, "replacedBy": None}
