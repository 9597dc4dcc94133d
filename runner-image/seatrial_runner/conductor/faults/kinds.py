"""What the kinds of faults have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from seatrial.api.errors import NotInjectedError
from seatrial.api.journal import ChangedDoc, ServiceDoc, TargetState
from seatrial.api.undoing import OPERATOR

from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.checked import Checked
from seatrial_runner.conductor.seen import WORKLOADS, Seen

if TYPE_CHECKING:
    from seatrial_runner.conductor.faults.agents import Agents
    from seatrial_runner.conductor.faults.places import GatewayPlace

Json = dict[str, Any]
_WRITTEN_S = 30.0


@dataclass(frozen=True)
class Aim:
    """What a fault is about to hit."""

    fault: Json
    target: ServiceDoc | None  # None: of a resource that brings its own selector
    seen: Seen
    seed: int  # the same for every try of this fault in this run
    stamp: str  # the present moment
    services: Sequence[ServiceDoc] = ()  # all of the run
    held: dict[str, str] = field(default_factory=dict)  # what other faults change, by their name

    @property
    def service(self) -> ServiceDoc:
        """The service that is hit, of a kind that must have one."""
        assert self.target is not None  # the schema has checked it
        return self.target


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
class Evidence:
    """What whoever carries a fault out has told of it until now."""

    hits: int = 0
    first_hit: str | None = None
    counts: dict[str, int] = field(default_factory=dict)  # what was done: bytes, connections, ...
    undone_by: str = ""  # who had undone it before us, and
    undone_at: str = ""  # when

    @property
    def broken(self) -> int:
        """How many connections broke with a process of the gateway, and not by the fault."""
        return self.counts.get("lostConnections", 0)

    @property
    def unread(self) -> int:
        """How many connections passed an ``http`` fault because they are no HTTP."""
        return self.counts.get("unreadConnections", 0)


@dataclass(frozen=True)
class Ended:
    """The end of a fault that came without our doing."""

    by: str  # deadline, or what else ended it
    at: str
    early: str = ""  # why it ended before its time; empty: it did not
    undone: bool = True  # False: it has still to be undone


@dataclass(frozen=True)
class Hands:
    """What a fault acts with."""

    api: ApiServer
    namespace: str
    seen: Seen
    save_logs: Callable[[str], Awaitable[None]]  # of a pod that is about to go
    at: Callable[[], str]  # the present moment, as the journal writes it
    services: Sequence[ServiceDoc] = ()
    faults: Mapping[str, Json] = field(default_factory=dict)  # the spec's, by name
    gateway: GatewayPlace | None = None  # of runs that have one
    agents: Agents | None = None  # of runs that declare faults inside pods
    checked: Checked = field(default_factory=Checked)
    held: dict[str, str] = field(default_factory=dict)  # object -> fault that will bring it back


Tell = Callable[[Evidence], None]


class Kind(Protocol):
    """One kind of fault."""

    # Hits are counted by whoever carries it out; else they are the requests that tests have sent.
    counts_itself: bool
    # Whoever carries it out ends it at its deadline; else we do.
    keeps_time: bool

    def aim(self, aim: Aim) -> Intent:
        """
        Choose what will be hit.

        Raises:
            NotInjectedError: There is nothing to hit; the message says what is missing.
        """

    async def look(self, hands: Hands, intent: Intent) -> None:
        """
        Read what has to be known of the targets; nothing is changed yet.

        Raises:
            NotInjectedError: It cannot be done; the message says what is missing.
        """

    async def apply(self, hands: Hands, intent: Intent) -> None:
        """
        Do it. Never cut off: of a write in the middle, nobody knows what comes of it.

        Raises:
            NotInjectedError: Nothing happened.
            ClusterError: The API server refused.
        """

    async def take_effect(self, hands: Hands, intent: Intent) -> None:
        """
        Return when it is in effect, as far as whoever carries it out can tell; may be cancelled.

        Raises:
            NotInjectedError: It does not take effect.
            ClusterError: Nobody can tell.
        """

    async def see_effect(self, hands: Hands, intent: Intent) -> str:
        """
        Return the moment when the effect was seen from outside; cancelled when the fault ends.

        Raises:
            NoEffectError: It is certain that there is none.
        """

    def without_effect(self, fault: Json, hits: int) -> str:
        """
        Say, of a fault that ended before its effect was seen, what was looked for in vain.

        Empty if nothing could be looked for, and what has met the fault is evidence enough.
        """

    async def watch(self, hands: Hands, intent: Intent, tell: Tell) -> Ended:
        """Tell what happens while the fault lasts; return only when it has ended by itself."""

    async def undo(self, hands: Hands, intent: Intent) -> Evidence | None:
        """
        Undo it; harmless if it is undone already. Nothing to do for what a controller undoes.

        Returns:
            The last that is known of it, of a kind that counts itself; and who was there before us.

        Raises:
            NotRevertedError, ClusterError: It may still be there.
        """

    def is_undone(self, intent: Intent, services: Sequence[ServiceDoc], seen: Seen) -> bool:
        """Tell whether it is undone, and note in the targets what took their place."""

    def changed(self, intent: Intent) -> list[ChangedDoc]:
        """List the objects that the operator can undo, if we cannot; empty if it cannot either."""

    def within_s(self, intent: Intent) -> float:
        """Give how long it can take, at the most, until it is in effect."""


class ThroughApi:
    """
    What holds for a fault that is made through the API server.

    ``take_effect`` returns when the API server's own view, or its watch, shows the effect.
    """

    counts_itself = False
    keeps_time = False

    async def look(self, hands: Hands, intent: Intent) -> None:
        """Nothing to read: what is seen all the time is enough."""

    async def take_effect(self, hands: Hands, intent: Intent) -> None:
        """Nothing to wait for: the API server has answered."""

    async def see_effect(self, hands: Hands, intent: Intent) -> str:
        """Give the present moment: ``take_effect`` has seen it."""
        return hands.at()

    def without_effect(self, fault: Json, hits: int) -> str:
        """Say that what was asked for was not seen."""
        return "its effect was not seen before its end"

    async def watch(self, hands: Hands, intent: Intent, tell: Tell) -> Ended:
        """Nothing ends it but we."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    def changed(self, intent: Intent) -> list[ChangedDoc]:
        """None: its controller undoes it."""
        return []

    def within_s(self, intent: Intent) -> float:
        """Give the time that is enough for a write."""
        return _WRITTEN_S


class ByAnother:
    """What holds for a fault that somebody else carries out, and ends at its deadline."""

    async def look(self, hands: Hands, intent: Intent) -> None:
        """Nothing to read: whoever carries it out looks itself."""

    async def take_effect(self, hands: Hands, intent: Intent) -> None:
        """Nothing to wait for: whoever carries it out has answered."""

    def is_undone(self, intent: Intent, services: Sequence[ServiceDoc], seen: Seen) -> bool:
        """Nothing to wait for: ``undo`` has seen its end, or been told of it."""
        return True

    def changed(self, intent: Intent) -> list[ChangedDoc]:
        """None: whoever carries it out keeps its deadline."""
        return []

    def within_s(self, intent: Intent) -> float:
        """Not asked: nothing of it is the operator's to undo."""
        return 0.0


def undone_before(noted: Sequence[str]) -> Evidence | None:
    """
    Tell of an undoing that the operator was the first to do.

    Args:
        noted: For each object, when the operator has undone it; empty where it was us.
    """
    if not noted or not all(noted):
        return None
    return Evidence(undone_by=OPERATOR, undone_at=max(noted))


def hold(aim: Aim, what: str) -> None:
    """
    Take an object for the fault alone, until ``let_go``.

    Two that changed the same would bring back what the other one has made of it.

    Raises:
        NotInjectedError: Another fault has it.
    """
    name = aim.fault["name"]
    other = aim.held.setdefault(what, name)
    if other != name:
        raise NotInjectedError(
            f"{what} is changed by fault {other} at that moment: have this one begin after it,"
            f" when: {{fault: {other}}}"
        )


def held_pod(uid: str) -> str:
    """Name a pod that a fault takes away, from its choice on: the watch tells of it later."""
    return f"Pod {uid}"


def let_go(hands: Hands, fault: str) -> None:
    """Give back what a fault held."""
    for what in [each for each, name in hands.held.items() if name == fault]:
        del hands.held[what]


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
