"""One playing of a fault: intent, effect, end, recovery."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from seatrial.api.duration import format_duration
from seatrial.api.errors import ClusterError, FaultError, NoEffectError, NotInjectedError
from seatrial.api.journal import FaultState, ServiceDoc

from seatrial_runner.conductor.faults.kinds import (
    Aim,
    Ended,
    Evidence,
    Hands,
    Intent,
    Json,
    Kind,
    let_go,
)
from seatrial_runner.conductor.faults.recovery import recovers
from seatrial_runner.conductor.faults.timeline import lasts_s, recovery_within_s, seed_of_round
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.windows import Window

_MAX_TARGETS = 20
_LOOK_AGAIN_S = 1.0
_SEEN_WITHIN_S = 2.0  # of a fault that a test stops before its effect was seen
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


class Round:
    """
    One playing of one fault.

    Args:
        services: What it hits: the target's service, or all of them where a resource has none.
        number: Which time it is, from 1.
        test: The test it is bound to, or that started it; empty if there is none.
        flaw: What is missing of the times before.
    """

    def __init__(
        self,
        stage: Stage,
        hands: Hands,
        fault: Json,
        services: Sequence[ServiceDoc],
        kind: Kind,
        *,
        test: str = "",
        number: int = 1,
        flaw: Flaw | None = None,
    ) -> None:
        self._stage = stage
        self._hands = hands
        self._fault = fault
        self._services = services
        self._kind = kind
        self.number = number
        self._ending = asyncio.Event()
        self._ended_by = "deadline"
        self._hurried = asyncio.Event()
        self._why_hurried = ""
        self.test = test
        self.flaw = flaw
        self.window: Window | None = None
        self._since = stage.now()
        self.hits_before = self.state["hits"]
        self.in_effect = asyncio.Event()  # also set when it is known that it will not be
        self.reverted = asyncio.Event()  # likewise

    @property
    def state(self) -> FaultState:
        """What the summary says of the fault, to be changed in place."""
        name = self._fault["name"]
        return next(each for each in self._stage.journal.summary["faults"] if each["name"] == name)

    @property
    def counts_itself(self) -> bool:
        """Tell whether hits are told by whoever carries the fault out."""
        return self._kind.counts_itself

    def end(self, by: str) -> None:
        """End a fault that lasts; harmless for one that is over."""
        if not self._ending.is_set():
            self._ended_by = by
            self._ending.set()

    def hurry(self, why: str) -> None:
        """End it, and do not wait for recovery."""
        self._why_hurried = why
        self._hurried.set()
        self.end("conductor")
        self._stage.seen.notify()

    def expose(self, test: str) -> None:
        """Note that a test runs while the fault is in effect."""
        if self.window is not None and self.window.end is None:
            exposed = self.state["exposedTests"]
            if test not in exposed:
                exposed.append(test)

    async def play(self) -> None:
        """Play the fault to its end; what goes wrong is in its state."""
        effect: asyncio.Task[None] | None = None
        try:
            intent = await self._inject()
            if intent is None:
                return
            effect = asyncio.create_task(self._see_effect(intent))
            if lasts_s(self._fault) is not None:
                await self._last(intent, effect)
            else:
                await self._revert_by_controller(intent, effect)
        finally:
            if effect is not None:
                effect.cancel()
            self._settle_state()
            self.in_effect.set()
            self.reverted.set()

    async def see_end(self, intent: Intent) -> None:
        """Complete the proof of a fault that an earlier conductor has applied."""
        self.in_effect.set()
        try:
            if lasts_s(self._fault) is not None:
                await self._see_end_of_undone(intent)
            else:
                await self._revert_by_controller(intent, None)
        finally:
            self._settle_state()
            self.reverted.set()

    # Beginning -----------------------------------------------------------------------------------

    async def _inject(self) -> Intent | None:
        state, journal = self.state, self._stage.journal
        state.update(
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
        try:
            intent = self._kind.aim(self._aim())
        except NotInjectedError as error:
            let_go(self._hands, self._fault["name"])
            self._failed("NotInjected", str(error))
            return None
        state["state"] = "Requested"
        state["targets"] = intent.targets[:_MAX_TARGETS]
        if self._fault.get("evict") is not None:
            self._stage.taken.update(each["uid"] for each in intent.targets)
        journal.note(
            "fault.requested",
            fault=self._fault["name"],
            round=self.number,
            test=self.test,
            seed=state["seed"],
            targets=intent.targets,
            undo=intent.undo,
        )
        await journal.save()  # NB: nothing may happen before this is in the ConfigMap
        self._since = self._stage.now()
        try:
            await self._kind.apply(self._hands, intent)
        except (FaultError, ClusterError) as error:
            await self._take_back(intent, str(error))
            return None
        self._applied(intent)
        return intent

    def _aim(self) -> Aim:
        seed = self.state["seed"]
        assert seed is not None  # set when the fault began
        target = self._services[0] if self._fault.get("target") else None
        return Aim(
            self._fault,
            target,
            self._stage.seen,
            seed_of_round(seed, self.number),
            self._stage.at(),
            self._stage.run["services"],
            self._hands.held,
        )

    async def _take_back(self, intent: Intent, why: str) -> None:
        """Undo what may have been done of a fault that has not taken effect."""
        try:
            await self._kind.undo(self._hands, intent)
        except (ClusterError, FaultError) as error:
            self._failed("NotReverted", f"{why}; and it could not be undone: {error}")
        else:
            self._failed("NotInjected", why)

    def _applied(self, intent: Intent) -> None:
        state, now = self.state, self._stage.now()
        state["state"] = "Active"
        state["times"] += 1
        state["targets"] = intent.targets[:_MAX_TARGETS]
        state["applied"] = self._stage.at()
        hosts = frozenset(host for service in self._services for host in service["hosts"])
        # To the millisecond, as requests are written, or one sent at once would seem to be earlier.
        begin = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self.window = self._stage.windows.open(self._fault["name"], hosts, begin, since=self._since)
        for test in sorted(self._stage.running):
            self.expose(test)
        self._note("fault.applied")
        self._stage.journal.save_soon()
        self.in_effect.set()

    async def _see_effect(self, intent: Intent) -> None:
        try:
            moment = await self._kind.see_effect(self._hands, intent)
        except NoEffectError as error:
            self._flawed("NoEffect", str(error))
            return
        # An agent sees the effect before its answer has reached us, and by its own node's clock.
        moment = max(moment, self.state["applied"] or moment)
        self.state["effective"] = moment
        self._note("fault.effective", seen=moment)

    def _take(self, evidence: Evidence) -> None:
        """Take in what whoever carries the fault out has counted, if that is what counts."""
        if not self._kind.counts_itself:
            return
        state = self.state
        hits = self.hits_before + evidence.hits
        if hits <= state["hits"]:
            return
        if state["hits"] == self.hits_before:
            self._note("fault.hit", first=evidence.first_hit, counts=evidence.counts)
        state["hits"] = hits
        if state["firstHit"] is None and evidence.first_hit is not None:
            # What it met before its answer had reached us met it, too.
            state["firstHit"] = max(evidence.first_hit, state["applied"] or evidence.first_hit)
        self._stage.journal.changed()

    # A fault that lasts --------------------------------------------------------------------------

    async def _last(self, intent: Intent, effect: asyncio.Task[None]) -> None:
        ended = await self._hold(intent, effect)
        if ended is not None and ended.early:
            self._flawed("EndedEarly", ended.early)
            self._stage.lost(f"Fault {self._fault['name']} ended before its time: {ended.early}.")
        if (ended is None or not ended.undone) and not await self._undo(intent):
            return
        await self._effect_was_seen(effect)
        self._reverted(
            ended.by if ended is not None else self._ended_by,
            at=ended.at if ended is not None and ended.undone else None,
        )
        await self._see_end_of_undone(intent)

    async def _hold(self, intent: Intent, effect: asyncio.Task[None]) -> Ended | None:
        """Return when the fault is to end; with what ended it, if that was not our doing."""
        ending = asyncio.create_task(self._ending.wait())
        watch = asyncio.create_task(self._kind.watch(self._hands, intent, self._take))
        hurried = asyncio.create_task(self._hurried.wait())
        first = asyncio.FIRST_COMPLETED
        try:
            lasts = None if self._kind.keeps_time else lasts_s(self._fault)
            await asyncio.wait((ending, watch), timeout=lasts, return_when=first)
            if ending.done() and self._ended_by == "test":
                # A test may need it for less time than a probe needs to see it.
                await asyncio.wait(
                    (effect, watch, hurried), timeout=_SEEN_WITHIN_S, return_when=first
                )
            return watch.result() if watch.done() else None
        finally:
            ending.cancel()
            hurried.cancel()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _undo(self, intent: Intent) -> bool:
        try:
            evidence = await self._kind.undo(self._hands, intent)
        except (ClusterError, FaultError) as error:
            self._failed("NotReverted", f"it could not be undone: {error}")
            return False
        if evidence is not None:
            self._take(evidence)
        return True

    async def _effect_was_seen(self, effect: asyncio.Task[None]) -> None:
        """Take note, at a fault's end, if its effect has not been seen."""
        await asyncio.sleep(0)  # what has been seen until now counts
        effect.cancel()
        await asyncio.gather(effect, return_exceptions=True)
        state = self.state
        if state["effective"] is not None:
            return
        missing = self._kind.without_effect(self._fault, state["hits"] - self.hits_before)
        if missing:
            self._flawed("NoEffect", missing)
        else:
            state["effective"] = state["firstHit"]

    async def _see_end_of_undone(self, intent: Intent) -> None:
        within_s = recovery_within_s(self._fault)
        # NB: also for what we have undone ourselves. Until the watch tells of it, the objects look
        # as if the fault's number of pods were all that is wanted, and all of them were there.
        if await self._is_undone(intent, within_s):
            await self._see_recovery(within_s)
        elif not self._hurried.is_set():
            within = format_duration(timedelta(seconds=within_s))
            self._failed("NotReverted", f"its end was not seen within {within}")

    # A fault that is over at once ----------------------------------------------------------------

    async def _revert_by_controller(
        self, intent: Intent, effect: asyncio.Task[None] | None
    ) -> None:
        within_s = recovery_within_s(self._fault)
        if not await self._is_undone(intent, within_s):
            if not self._hurried.is_set():
                self._failed("NotReverted", self._not_replaced(intent, within_s))
            return
        if effect is not None:
            await effect  # what has been replaced has been taken away before
        self._reverted("controller")
        await self._see_recovery(within_s)

    def _not_replaced(self, intent: Intent, within_s: float) -> str:
        missing = [each["name"] for each in intent.targets if not each["replacedBy"]]
        within = format_duration(timedelta(seconds=within_s))
        return (
            f"the controller of service {self._services[0]['name']} has not replaced"
            f" {', '.join(missing[:5]) or 'its pods'} within {within}"
        )

    # The end -------------------------------------------------------------------------------------

    async def _see_recovery(self, within_s: float) -> None:
        """Wait until the system is well again, or until we are in a hurry."""
        recovery = asyncio.create_task(
            recovers(self._stage, self._fault, self._services, within_s=within_s)
        )
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await asyncio.wait((recovery, hurried), return_when=asyncio.FIRST_COMPLETED)
            if recovery.done():
                self._recovered(recovery.result())
            else:
                self.state["message"] = self._why_hurried
                self._close()
        finally:
            recovery.cancel()
            hurried.cancel()

    async def _is_undone(self, intent: Intent, within_s: float) -> bool:
        give_up = self._stage.monotonic() + within_s
        while not self._kind.is_undone(intent, self._services, self._stage.seen):
            left = give_up - self._stage.monotonic()
            if left <= 0 or self._hurried.is_set():
                return False
            await self._stage.seen.wait(min(left, _LOOK_AGAIN_S))
        return True

    def _reverted(self, by: str, *, at: str | None = None) -> None:
        state = self.state
        if state["reverted"] is None:
            state["reverted"] = reverted = at or self._stage.at()
            if state["effective"] is not None:
                # A probe knows what it has seen when its last byte is back: that may be later.
                state["effective"] = min(state["effective"], reverted)
            state["revertedBy"] = by
            self._note("fault.reverted", by=by, targets=state["targets"])
        state["state"] = "Reverted"
        self._stage.journal.save_soon()
        self.reverted.set()

    def _recovered(self, missing: str | None) -> None:
        if missing is not None:
            self._failed("NotRecovered", missing)
            return
        self._close()
        state = self.state
        state["state"] = "Recovered"
        state["recovered"] = self._stage.at()
        self._note("fault.recovered", hits=state["hits"])
        self._stage.journal.save_soon()

    def _close(self) -> None:
        if self.window is not None and self.window.end is None:
            self.window.end = self._stage.now()

    def _failed(self, outcome: Any, message: str) -> None:
        """Note what is missing, of a fault for which nothing better can come."""
        if outcome not in _STILL_THERE:
            self._close()
        self._flawed(outcome, message)
        self.state["state"] = outcome
        self.state["message"] = message[:1024]

    def _flawed(self, outcome: str, message: str) -> None:
        """Note what is missing; the rest of the fault is played, and told, all the same."""
        self.flaw = worse(self.flaw, Flaw(outcome, message))
        self._note("fault.failed", state=outcome, message=message)
        self._stage.journal.save_soon()

    def fell_short(self, message: str) -> None:
        """Note that the fault has not happened as often as it should."""
        self._flawed("NotInjected", message)
        self._settle_state()

    def _settle_state(self) -> None:
        """Say what the fault came to: the worst of all times it has happened."""
        if self.flaw is not None and self.state["state"] in ("Recovered", *_WORST_FIRST):
            self.state["state"] = self.flaw.state  # type: ignore[typeddict-item]  # one of these
            self.state["message"] = self.flaw.message[:1024]

    def _note(self, kind: str, **fields: Any) -> None:
        self._stage.journal.note(kind, fault=self._fault["name"], round=self.number, **fields)
