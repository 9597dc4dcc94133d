"""One playing of a fault: intent, effect, end, recovery."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from seatrial.api.duration import format_duration
from seatrial.api.errors import (
    ClusterError,
    FaultError,
    NoEffectError,
    NotInjectedError,
    NotRevertedError,
)
from seatrial.api.journal import ServiceDoc

from seatrial_runner.clock import parse
from seatrial_runner.conductor.faults.account import Account, Flaw
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

_LOOK_AGAIN_S = 1.0
_ONE_CHECK_S = 0.5  # in less, a system that is well may not be seen to be
_HURRIED_S = 10.0  # to undo it: less than the operator waits for us after an abort
_T = TypeVar("_T")
_SEEN_WITHIN_S = 2.0  # of a fault that a test stops before its effect was seen


class _HurriedError(Exception):
    """All is to end at once; why."""


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
        self.account = Account(stage, fault, services, kind, test=test, number=number, flaw=flaw)
        self._ending = asyncio.Event()
        self._ended_by = "deadline"
        self._hurried = asyncio.Event()
        self._why_hurried = ""
        self._undone_at: float | None = None  # before our time, by our monotonic clock
        self.in_effect = asyncio.Event()  # also set when it is known that it will not be
        self.reverted = asyncio.Event()  # likewise

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
            self.account.settle()
            self.in_effect.set()
            self.reverted.set()

    async def see_end(self, intent: Intent) -> None:
        """Complete the proof of a fault that an earlier conductor has applied."""
        self.in_effect.set()
        if reverted := self.account.state["reverted"]:
            ago = max(self._stage.now() - parse(reverted), timedelta(0))
            self._undone_at = self._stage.monotonic() - ago.total_seconds()
        try:
            if lasts_s(self._fault) is None:
                await self._revert_by_controller(intent, None)
                return
            if self.account.state["effective"] is None:
                # An agent may still tell of it. What only probes could see, nobody sees any more.
                effect = asyncio.create_task(self._see_effect(intent))
                await asyncio.wait((effect,), timeout=_SEEN_WITHIN_S)
                await self._effect_was_seen(effect)
            await self._see_end_of_undone(intent)
        finally:
            self.account.settle()
            self.reverted.set()

    # Beginning -----------------------------------------------------------------------------------

    async def _inject(self) -> Intent | None:
        account = self.account
        account.asked()
        try:
            intent = self._kind.aim(self._aim())
            await self._kind.look(self._hands, intent)
        except (NotInjectedError, ClusterError) as error:
            let_go(self._hands, self._fault["name"])
            account.failed("NotInjected", str(error))
            return None
        account.aimed(intent)
        await self._stage.journal.save()  # NB: nothing may happen before it is in the ConfigMap
        if self._hurried.is_set():
            account.cut_short(self._why_hurried)
            return None
        account.carried_out()
        try:
            applying = self._kind.apply(self._hands, intent)
            # An order may be given up halfway: it is taken back, and ends by itself.
            await (self._unless_hurried(applying) if self._kind.keeps_time else applying)
            await self._unless_hurried(self._kind.take_effect(self._hands, intent))
        except (FaultError, ClusterError, _HurriedError) as error:
            await self._take_back(intent, error)
            return None
        account.applied(intent)
        if missed := intent.undo.get("missed"):
            account.flawed("NotInjected", missed)
        self.in_effect.set()
        return intent

    def _aim(self) -> Aim:
        seed = self.account.state["seed"]
        assert seed is not None  # set when the fault began
        target = self._services[0] if self._fault.get("target") else None
        return Aim(
            self._fault,
            target,
            self._stage.seen,
            seed_of_round(seed, self.account.number),
            self._stage.at(),
            self._stage.run["services"],
            self._hands.held,
        )

    async def _take_back(self, intent: Intent, why: Exception) -> None:
        """Undo what may have been done of a fault that has not taken effect."""
        try:
            await self._unless_too_late(self._kind.undo(self._hands, intent))
        except (ClusterError, FaultError) as error:
            self.account.failed("NotReverted", f"{why}; and it could not be undone: {error}")
            return
        let_go(self._hands, self._fault["name"])
        if isinstance(why, _HurriedError):
            self.account.cut_short(str(why))
        else:
            self.account.state.pop("toUndo", None)
            self.account.failed("NotInjected", str(why))

    async def _see_effect(self, intent: Intent) -> None:
        try:
            moment = await self._kind.see_effect(self._hands, intent)
        except NoEffectError as error:
            self.account.flawed("NoEffect", str(error))
            return
        # An agent sees the effect before its answer has reached us, and by its own node's clock.
        state = self.account.state
        moment = max(moment, state["applied"] or moment)
        moment = min(moment, state["reverted"] or moment)  # by an earlier conductor
        state["effective"] = moment
        self.account.note("fault.effective", seen=moment)

    # A fault that lasts --------------------------------------------------------------------------

    async def _last(self, intent: Intent, effect: asyncio.Task[None]) -> None:
        ended = await self._hold(intent, effect)
        if ended is not None and ended.early:
            self.account.flawed("EndedEarly", ended.early)
            self._stage.lost(f"Fault {self._fault['name']} ended before its time: {ended.early}.")
        by, at = (ended.by, ended.at) if ended is not None else (self._ended_by, "")
        if ended is None or not ended.undone:
            at = ""
            try:
                evidence = await self._undo(intent)
            except (ClusterError, FaultError) as error:
                self.account.failed("NotReverted", f"it could not be undone: {error}")
                return
            if evidence is not None and evidence.undone_by:
                by, at = evidence.undone_by, evidence.undone_at
                self.account.in_time(by, at)
        await self._effect_was_seen(effect)
        self.account.reverted(by, at=at or None)
        self.reverted.set()
        await self._see_end_of_undone(intent)

    async def _hold(self, intent: Intent, effect: asyncio.Task[None]) -> Ended | None:
        """Return when the fault is to end; with what ended it, if that was not our doing."""
        ending = asyncio.create_task(self._ending.wait())
        watch = asyncio.create_task(self._kind.watch(self._hands, intent, self.account.take))
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

    async def _undo(self, intent: Intent) -> Evidence | None:
        evidence = await self._unless_too_late(self._kind.undo(self._hands, intent))
        if evidence is not None:
            self.account.take(evidence)
        return evidence

    async def _unless_too_late(self, undoing: Coroutine[Any, Any, _T]) -> _T:
        """Undo it; in a hurry, do not wait for long: pods may take minutes to go."""
        task = asyncio.create_task(undoing)
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await asyncio.wait((task, hurried), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((task,), timeout=_HURRIED_S)
            if not task.done():
                raise NotRevertedError(
                    f"its end was not seen {_HURRIED_S:g} s after: {self._why_hurried}"
                )
            return task.result()
        finally:
            hurried.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _effect_was_seen(self, effect: asyncio.Task[None]) -> None:
        """Take note, at a fault's end, if its effect has not been seen."""
        await asyncio.sleep(0)  # what has been seen until now counts
        effect.cancel()
        await asyncio.gather(effect, return_exceptions=True)
        state = self.account.state
        if state["effective"] is not None:
            return
        missing = self._kind.without_effect(self._fault, state["hits"] - self.account.hits_before)
        if missing:
            self.account.flawed("NoEffect", missing)
        else:
            # Nobody may have told when it was first met, or that was at an earlier time.
            state["effective"] = max(state["firstHit"] or "", state["applied"] or "")

    async def _see_end_of_undone(self, intent: Intent) -> None:
        within_s = recovery_within_s(self._fault)
        # NB: also for what we have undone ourselves. Until the watch tells of it, the objects look
        # as if the fault's number of pods were all that is wanted, and all of them were there.
        if await self._is_undone(intent, within_s):
            await self._see_recovery(within_s)
        elif not self._hurried.is_set():
            within = format_duration(timedelta(seconds=within_s))
            self.account.failed("NotReverted", f"its end was not seen within {within}")

    # A fault that is over at once ----------------------------------------------------------------

    async def _revert_by_controller(
        self, intent: Intent, effect: asyncio.Task[None] | None
    ) -> None:
        within_s = recovery_within_s(self._fault)
        if not await self._is_undone(intent, within_s):
            if not self._hurried.is_set():
                self.account.failed("NotReverted", self._not_replaced(intent, within_s))
            return
        if effect is not None:
            await effect  # what has been replaced has been taken away before
        elif self.account.state["effective"] is None:
            self.account.state["effective"] = self._stage.at()  # at the latest
        self.account.reverted("controller")
        self.reverted.set()
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
        left_s = within_s
        if self._undone_at is not None:
            left_s -= self._stage.monotonic() - self._undone_at
        is_late = left_s < _ONE_CHECK_S
        looking_s = within_s if is_late else left_s
        recovery = recovers(self._stage, self._fault, self._services, within_s=looking_s)
        try:
            missing = await self._unless_hurried(recovery)
            if is_late and missing is None:
                within = format_duration(timedelta(seconds=within_s))
                self._recovery_was_not_seen(
                    f"no conductor saw whether the system was well {within} after the fault's end"
                )
            else:
                self.account.recovered(missing)
        except _HurriedError:
            self._recovery_was_not_seen(self._why_hurried)

    def _recovery_was_not_seen(self, why: str) -> None:
        self.account.state["message"] = why
        # Also that of a conductor before us, which is none of this account.
        self._stage.windows.close(self._fault["name"], self._stage.now())

    async def _unless_hurried(self, course: Coroutine[Any, Any, _T]) -> _T:
        """
        Follow a course to its end.

        Raises:
            _HurriedError: We are in a hurry before that; it is cancelled.
        """
        task = asyncio.create_task(course)
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await asyncio.wait((task, hurried), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _HurriedError(self._why_hurried)
            return task.result()
        finally:
            hurried.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _is_undone(self, intent: Intent, within_s: float) -> bool:
        give_up = self._stage.monotonic() + within_s
        while not self._kind.is_undone(intent, self._services, self._stage.seen):
            left = give_up - self._stage.monotonic()
            if left <= 0 or self._hurried.is_set():
                return False
            await self._stage.seen.wait(min(left, _LOOK_AGAIN_S))
        return True
