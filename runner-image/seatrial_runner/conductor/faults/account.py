"""What the summary, the journal and the windows say of one playing of a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from seatrial.api.duration import format_duration
from seatrial.api.journal import FaultState, ServiceDoc
from seatrial.api.undoing import MAX_OBJECTS

from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.faults.kinds import Evidence, Intent, Json, Kind
from seatrial_runner.conductor.faults.timeline import lasts_s
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.windows import Window

_MAX_TARGETS = 20
_MAX_KEYS = 2048  # characters
# What fails from now on may still be the fault's doing: its window stays open.
_STILL_THERE = ("NotReverted", "NotRecovered")
# States of a fault that is not proven, the worst first: of several, it keeps that.
_WORST_FIRST = (
    "NotRecovered", "NotReverted", "NotInjected", "NoEffect", "EndedEarly", "Skipped",
)  # fmt: skip


@dataclass(frozen=True)
class Flaw:
    """Why a fault is not proven: a state, and what is missing."""

    state: str
    message: str


def worse(one: Flaw | None, other: Flaw | None) -> Flaw | None:
    """Give the one that proves less; of two alike, the first."""
    flaws = [flaw for flaw in (one, other) if flaw is not None]
    return min(flaws, key=lambda flaw: _WORST_FIRST.index(flaw.state), default=None)


def broken(fault: str, connections: int) -> str:
    """Say that what happened to these connections shows nothing of the fault."""
    one = connections == 1
    return (
        f"While fault {fault} was on, {connections} connection{'' if one else 's'} broke because a"
        f" process of the gateway ended; what {'it' if one else 'they'} would have shown is not"
        " known."
    )


def unread(connections: int) -> str:
    """Say why requests may have passed a fault of HTTP, and what to do."""
    count = "1 connection" if connections == 1 else f"{connections} connections"
    return (
        f"{count} passed it meanwhile in which no HTTP can be read, because of TLS or another"
        " protocol. Ask the service without TLS in this run, or aim at its port that speaks HTTP"
        " (target.port); latency, reset and the other faults of the network hit TLS as well."
    )


class Account:
    """
    The account of one playing.

    Args:
        services: What the fault hits.
        number: Which time it is, from 1.
        test: The test it is bound to, or that started it; empty if there is none.
        flaw: What is missing of the times before.
    """

    def __init__(
        self,
        stage: Stage,
        fault: Json,
        services: Sequence[ServiceDoc],
        kind: Kind,
        *,
        test: str,
        number: int,
        flaw: Flaw | None,
    ) -> None:
        self._stage = stage
        self._fault = fault
        self._services = services
        self._kind = kind
        self.number = number
        self.test = test
        self.flaw = flaw
        self.window: Window | None = None
        self._broken = 0  # connections, by the death of a process of the gateway
        self._unread = 0  # connections that were no HTTP
        self._since = stage.now()
        self._applied = stage.journal.steady()
        self.hits_before = self.state["hits"]

    @property
    def state(self) -> FaultState:
        """What the summary says of the fault, to be changed in place."""
        name = self._fault["name"]
        return next(each for each in self._stage.journal.summary["faults"] if each["name"] == name)

    @property
    def counts_itself(self) -> bool:
        """Tell whether hits are told by whoever carries the fault out."""
        return self._kind.counts_itself

    def expose(self, test: str) -> None:
        """Note that a test runs while the fault can be met."""
        if self.window is None or (self.counts_itself and self.window.undone is not None):
            return  # what was counted had come before
        if self.window.end is None:
            exposed = self.state["exposedTests"]
            if test not in exposed:
                exposed.append(test)

    def asked(self) -> None:
        """Begin: nothing is known of this time."""
        self.state.update(
            {
                "requested": self._stage.at(),
                "applied": None,
                "effective": None,
                "reverted": None,
                "revertedBy": None,
                "recovered": None,
                "message": "",
            }
        )

    def aimed(self, intent: Intent) -> None:
        """Note the intent."""
        state = self.state
        state["state"] = "Requested"
        state["targets"] = intent.targets[:_MAX_TARGETS]
        if self._fault.get("evict") is not None:
            self._stage.taken.update(each["uid"] for each in intent.targets)
        self._tell_operator(intent, self._kind.within_s(intent))
        self.note(
            "fault.requested",
            test=self.test,
            seed=state["seed"],
            targets=intent.targets,
            undo=intent.undo,
        )

    def carried_out(self) -> None:
        """Note that it is carried out from now on; what fails may be its doing."""
        self._since = self._stage.now()

    def _tell_operator(self, intent: Intent, until_applied_s: float) -> None:
        """Say in the summary how the fault is undone and when, should we be silent by then."""
        lasts, objects = lasts_s(self._fault), self._kind.changed(intent)
        if lasts is None or not 0 < len(objects) <= MAX_OBJECTS:
            return
        if sum(len(key) for each in objects for key in each.get("keys") or ()) > _MAX_KEYS:
            return  # the summary is small
        until = self._stage.journal.steady() + timedelta(seconds=until_applied_s + lasts)
        self.state["toUndo"] = {
            "until": rfc3339(until),
            "mark": intent.undo["mark"],
            "objects": objects,
        }

    def applied(self, intent: Intent) -> None:
        """Note that it is in effect."""
        state, now = self.state, self._stage.now()
        state["state"] = "Active"
        state["times"] += 1
        state["targets"] = intent.targets[:_MAX_TARGETS]
        state["applied"] = self._stage.at()
        self._applied = self._stage.journal.steady()
        self._tell_operator(intent, 0.0)
        hosts = frozenset(host for service in self._services for host in service["hosts"])
        # To the millisecond, as requests are written, or one sent at once would seem to be earlier.
        begin = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self.window = self._stage.windows.open(self._fault["name"], hosts, begin, since=self._since)
        for test in sorted(self._stage.running):
            self.expose(test)
        self.note("fault.applied")
        self._stage.journal.save_soon()

    def take(self, evidence: Evidence) -> None:
        """Take in what whoever carries the fault out has counted, if that is what counts."""
        if not self._kind.counts_itself:
            return
        self._broken = max(self._broken, evidence.broken)
        self._unread = max(self._unread, evidence.unread)
        state = self.state
        hits = self.hits_before + evidence.hits
        first = evidence.first_hit if state["firstHit"] is None else None
        if hits <= state["hits"] and first is None:
            return
        if state["hits"] == self.hits_before and evidence.hits:
            self.note("fault.hit", first=evidence.first_hit, counts=evidence.counts)
        state["hits"] = max(hits, state["hits"])
        if first is not None:
            # What it met before its answer had reached us met it, too.
            state["firstHit"] = max(first, state["applied"] or first)
        self._stage.journal.changed()

    def in_time(self, by: str, at: str) -> None:
        """Take note if somebody has undone it before its time; ``at`` is what they were told."""
        lasts = lasts_s(self._fault)
        assert lasts is not None
        lacks = lasts - (parse(at) - self._applied).total_seconds()
        if lacks > 0:
            missing = format_duration(timedelta(seconds=round(lacks, 3)))
            self.flawed("EndedEarly", f"the {by} undid it {missing} before its time")

    def reverted(self, by: str, *, at: str | None = None) -> None:
        """Note that it is undone, and by whom; the first time counts."""
        state = self.state
        state.pop("toUndo", None)
        if state["reverted"] is None:
            state["reverted"] = reverted = at or self._stage.at()
            if self.window is not None:
                self.window.undone = parse(reverted)
            if state["effective"] is not None:
                # A probe knows what it has seen when its last byte is back: that may be later.
                state["effective"] = min(state["effective"], reverted)
            state["revertedBy"] = by
            self.note("fault.reverted", by=by, targets=state["targets"])
            if self._broken:
                self._stage.lost(broken(self._fault["name"], self._broken))
        state["state"] = "Reverted"
        self._stage.journal.save_soon()

    def recovered(self, missing: str | None) -> None:
        """Note that the system is well again, or what is missing for that."""
        if missing is not None:
            self.failed("NotRecovered", missing)
            return
        # Also those of earlier times, of which this was not seen: the system is well now.
        self._stage.windows.close(self._fault["name"], self._stage.now())
        state = self.state
        state["state"] = "Recovered"
        state["recovered"] = self._stage.at()
        if self._unread and not state["hits"]:
            state["message"] = unread(self._unread)
        self.note("fault.recovered", hits=state["hits"])
        self._stage.journal.save_soon()

    def close(self) -> None:
        """Note that what fails from now on is not its doing."""
        if self.window is not None and self.window.end is None:
            self.window.end = self._stage.now()

    def cut_short(self, why: str) -> None:
        """Note that all ended before it was in effect, and that nothing of it is left."""
        # Still requested: a conductor that comes after this one plays it.
        self.state.pop("toUndo", None)
        self.state["message"] = why

    def failed(self, outcome: Any, message: str) -> None:
        """Note what is missing, of a fault for which nothing better can come."""
        if outcome not in _STILL_THERE:
            self.close()
        self.flawed(outcome, message)
        self.state["state"] = outcome
        self.state["message"] = message[:1024]

    def flawed(self, outcome: str, message: str) -> None:
        """Note what is missing; the rest of the fault is played, and told, all the same."""
        self.flaw = worse(self.flaw, Flaw(outcome, message))
        self.note("fault.failed", state=outcome, message=message)
        self._stage.journal.save_soon()

    def fell_short(self, message: str) -> None:
        """Note that the fault has not happened as often as it should."""
        self.flawed("NotInjected", message)
        self.settle()

    def settle(self) -> None:
        """Say what the fault came to: the worst of all times it has happened."""
        over = ("Recovered", "Reverted", *_WORST_FIRST)
        if self.flaw is not None and self.state["state"] in over:
            self.state["state"] = self.flaw.state  # type: ignore[typeddict-item]  # one of these
            self.state["message"] = self.flaw.message[:1024]

    def note(self, kind: str, **fields: Any) -> None:
        """Write into the journal."""
        self._stage.journal.note(kind, fault=self._fault["name"], round=self.number, **fields)
