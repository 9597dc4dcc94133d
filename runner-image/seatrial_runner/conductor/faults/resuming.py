"""What a conductor does with the faults that an earlier one has left."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from seatrial.api import families
from seatrial.api.errors import ClusterError, FaultError
from seatrial.api.journal import FaultState

from seatrial_runner.clock import parse
from seatrial_runner.conductor.faults.account import Flaw, broken, worse
from seatrial_runner.conductor.faults.kinds import Evidence, Hands, Intent, Json
from seatrial_runner.conductor.faults.table import kind_of
from seatrial_runner.conductor.faults.timeline import (
    Trigger,
    bound_to,
    lasts_s,
    moment,
    not_as_often,
    repeats,
)
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.journal import Entry, new_summary

_OPEN = ("Requested", "Active")
_TO_BE_SEEN = ("Requested", "Active", "Reverted")
_LOOK_AGAIN_S = 1.0
# Objects that are as before by then, or it is told.
_UNDONE_S = 60.0


class Resuming:
    """Undoes what an earlier conductor left open, and knows where each fault goes on."""

    def __init__(self, stage: Stage, hands: Hands) -> None:
        self._stage = stage
        self._hands = hands
        self._where: dict[str, tuple[int, Flaw | None]] = {}
        self._played_again: list[str] = []

    def where(self, fault: Json) -> tuple[int, Flaw | None]:
        """
        Tell with which round a fault goes on, once, and what is missing of those before.

        A manual fault that is started again begins anew, and lacks what it has lacked until then.
        """
        number, flaw = self._where.pop(fault["name"], (1, None))
        if moment(fault).trigger is Trigger.MANUAL:
            flaw = self._flaw(fault["name"])
        return number, flaw

    async def resume(self, faults: Mapping[str, Json]) -> list[tuple[str, Intent]]:
        """
        Undo what is open; give the faults whose end has still to be seen, with their intents.

        A fault that has still tests to meet is set back instead, so that it is played again.
        """
        # All at once: one that cannot be reached must not keep the others on.
        resumed = await asyncio.gather(
            *(
                self._resume_one(fault, self._state(name), entry)
                for (name, fault), entry in zip(
                    faults.items(), self._last_intents(faults), strict=True
                )
            )
        )
        return [
            (name, intent)
            for name, intent in zip(faults, resumed, strict=True)
            if intent is not None
        ]

    async def _resume_one(self, fault: Json, state: FaultState, entry: Entry) -> Intent | None:
        """Undo a fault if it is open; give its intent if its end has still to be seen."""
        stage, name = self._stage, fault["name"]
        self._restore_windows(name, state, entry)
        intent = Intent(targets=entry.get("targets", []), undo=entry.get("undo", {}))
        if fault.get("evict") is not None:
            stage.taken.update(each["uid"] for each in intent.targets)
        if state["state"] not in _TO_BE_SEEN:
            self._go_on_after(fault, state)
            return None
        intent.targets = state["targets"] or intent.targets
        is_open = state["state"] in _OPEN and lasts_s(fault) is not None
        if is_open and not await self._undo(fault, intent, state):
            return None
        number = int(entry.get("round", 1))
        if self._has_tests_to_meet(fault) or state["applied"] is None:
            self._set_back(fault, state, number)
            return None
        self._where[name] = (number, self._flaw(name, before=number + 1))
        return intent

    def _restore_windows(self, name: str, state: FaultState, last: Entry) -> None:
        """Know all times that it was carried out: what failed in an earlier one names it, too."""
        stage, applied, end = self._stage, state["applied"], state["recovered"]
        for since, begin, until in self._times_before(name, is_told=applied is not None):
            stage.windows.restore(name, begin, until, since=since)
        if applied is not None or state["state"] == "Requested":
            begin = parse(applied) if applied else stage.now()
            since = parse(last["at"]) if last else begin
            stage.windows.restore(name, begin, parse(end) if end else None, since=since)

    def well_again(self) -> None:
        """Take note that what fails from now on is no more the doing of what is played again."""
        # NB: nor did the first request of a test that begins in this millisecond meet it.
        end = self._stage.now() - timedelta(milliseconds=1)
        for name in self._played_again:
            self._stage.windows.close(name, end)

    def _times_before(self, name: str, *, is_told: bool) -> list[tuple[datetime, ...]]:
        """
        Give when each time of a fault was asked for, in effect and over.

        But for one of which the summary tells.
        """
        times: list[tuple[datetime, ...]] = []
        asked: datetime | None = None
        begin: datetime | None = None
        for entry in self._stage.journal.entries:
            if entry.get("fault") != name:
                continue
            kind, at = entry["kind"], parse(entry["at"])
            if kind == "fault.applied":
                begin = at
            elif kind in ("fault.recovered", "fault.requested") and begin is not None:
                times.append((asked or begin, begin, at))
                begin = None
            if kind == "fault.requested":
                asked = at
        if begin is not None and not is_told:
            times.append((asked or begin, begin, self._stage.now()))
        elif begin is None and is_told:
            times = times[:-1]
        return times

    async def _undo(self, fault: Json, intent: Intent, state: FaultState) -> bool:
        name, kind = fault["name"], kind_of(fault)
        try:
            evidence = await kind.undo(self._hands, intent)
        except (ClusterError, FaultError) as error:
            self._fail(state, "NotReverted", f"it could not be undone after a restart: {error}")
            return False
        give_up = self._stage.monotonic() + _UNDONE_S
        services = self._stage.run["services"]
        target = (fault.get("target") or {}).get("service")
        mine = [each for each in services if target in (None, each["name"])]
        while not kind.is_undone(intent, mine, self._stage.seen):
            if self._stage.monotonic() > give_up:
                self._fail(state, "NotReverted", "its end was not seen after a restart")
                return False
            await self._stage.seen.wait(_LOOK_AGAIN_S)
        state.pop("toUndo", None)
        if state["applied"] is None:
            return True  # it was not in effect, and may have been undone before
        state["state"] = "Reverted"
        if evidence is not None and evidence.undone_by:
            state["reverted"], state["revertedBy"] = evidence.undone_at, evidence.undone_by
            by, at = evidence.undone_by, evidence.undone_at
            self._stage.journal.note("fault.reverted", fault=name, by=by, seen=at)
            self._stage.lost(f"Fault {name} was undone by the {by} while the conductor was away.")
            return True
        state["reverted"] = self._stage.at()
        state["revertedBy"] = "conductor"
        told: Json = {}
        if evidence is not None:
            told = {"hits": evidence.hits, "counts": evidence.counts}
        if kind.counts_itself:
            self._take(fault, state, evidence)
        self._stage.journal.note("fault.reverted", fault=name, by="conductor", **told)
        self._stage.lost(f"Fault {name} was ended early, because the conductor was restarted.")
        if evidence is not None and evidence.broken:
            self._stage.lost(broken(name, evidence.broken))
        return True

    def _take(self, fault: Json, state: FaultState, evidence: Evidence | None) -> None:
        """Take in what has met a fault of late; it may be evidence enough of its effect."""
        applied = state["applied"]
        if applied is None:
            return
        if evidence is None or self._may_be_ours(fault):
            evidence = Evidence()
        state["hits"] = max(state["hits"], evidence.hits)
        if evidence.first_hit is not None and state["firstHit"] is None:
            state["firstHit"] = max(evidence.first_hit, applied)
        # Of an earlier time that it has happened, hits show nothing of this one.
        hits = max(evidence.hits, int((state["firstHit"] or "") >= applied))
        if state["effective"] is None and not kind_of(fault).without_effect(fault, hits):
            seen = max(state["firstHit"] or applied, applied)
            state["effective"] = min(seen, state["reverted"] or seen)

    def _may_be_ours(self, fault: Json) -> bool:
        """
        Tell whether what was counted may be of a conductor's own making, and not of a test.

        A closed port does not tell probes from clients, nor the gateway what comes through libpq.
        How many these were, the conductor before has taken with it; what it has written is right.
        """
        run, kind = self._stage.run, families.kind_of(fault)
        untils = [(each.get("recovery") or {}).get("until") or {} for each in run["faults"]]
        asks = any(each.get("sql") for each in [*(run.get("probes") or []), *untils])
        return kind == "refuse" or (asks and kind in families.GATEWAY)

    def _fail(self, state: FaultState, outcome: str, message: str) -> None:
        state["state"] = outcome  # type: ignore[typeddict-item]  # one of these
        state["message"] = message[:1024]
        self._stage.journal.note(
            "fault.failed", fault=state["name"], state=outcome, message=message
        )

    def _go_on_after(self, fault: Json, state: FaultState) -> None:
        """Have a fault that is repeated go on with its next round, if it can still meet a test."""
        number, asked, what = self._last_round(fault["name"]), repeats(fault), bound_to(fault)
        if not 0 < number < asked.times:
            return
        if not self._has_tests_to_meet(fault):
            if what and state["state"] == "Recovered":
                self._fail(state, "NotInjected", not_as_often(number, asked, what=what))
            return
        self._where[fault["name"]] = (number + 1, self._flaw(fault["name"], before=number + 1))
        state["state"] = "Pending"

    def _last_round(self, name: str) -> int:
        """Tell which time was the last one, also if it found no target."""
        told = ("fault.requested", "fault.failed")
        mine = (e for e in self._stage.journal.entries if e["kind"] in told and e["fault"] == name)
        return max((int(entry.get("round", 0)) for entry in mine), default=0)

    def _set_back(self, fault: Json, state: FaultState, number: int) -> None:
        """Have a round be played again; what came of those before it stays."""
        self._played_again.append(state["name"])
        fresh = new_summary(self._stage.run, at=self._stage.at())["faults"]
        new = next(each for each in fresh if each["name"] == state["name"])
        kept: Json = {"seed": state["seed"]}
        if number > 1:
            self._where[fault["name"]] = (number, self._flaw(fault["name"], before=number))
            kept |= {"times": number - 1, "hits": state["hits"], "firstHit": state["firstHit"]}
            kept |= {"exposedTests": state["exposedTests"]}
        if moment(fault).trigger is Trigger.MANUAL and (flaw := self._flaw(fault["name"])):
            # No test may start it again.
            kept |= {"state": flaw.state, "message": flaw.message[:1024]}
        state.pop("toUndo", None)
        state.update({**new, **kept})  # type: ignore[typeddict-item]  # fields of FaultState

    def _flaw(self, name: str, *, before: float = math.inf) -> Flaw | None:
        """Give what is missing of the rounds before one."""
        flaw = None
        for entry in self._stage.journal.entries:
            mine = entry["kind"] == "fault.failed" and entry["fault"] == name
            if mine and int(entry.get("round", 0)) < before:
                flaw = worse(flaw, Flaw(entry["state"], entry["message"]))
        return flaw

    def _has_tests_to_meet(self, fault: Json) -> bool:
        when = moment(fault)
        if when.trigger is Trigger.MANUAL:
            return False
        tests = self._stage.journal.summary["tests"]
        return any(
            test["outcome"] in ("Pending", "Running") and when.test in ("", test["name"])
            for test in tests
        )

    def _last_intents(self, faults: Iterable[str]) -> list[Entry]:
        """Give the last intent of each fault, empty if there is none."""
        found = {
            entry["fault"]: entry
            for entry in self._stage.journal.entries
            if entry["kind"] == "fault.requested"
        }
        return [found.get(name, {}) for name in faults]

    def _state(self, name: str) -> FaultState:
        return next(each for each in self._stage.journal.summary["faults"] if each["name"] == name)
