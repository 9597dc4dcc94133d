"""One playing of a fault: intent, effect, end, recovery."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from seatrial.api.duration import format_duration
from seatrial.api.errors import ClusterError, NotInjectedError
from seatrial.api.journal import FaultState, ServiceDoc

from seatrial_runner.conductor.faults.kill import Kill
from seatrial_runner.conductor.faults.kinds import Aim, Hands, Intent, Json, Kind
from seatrial_runner.conductor.faults.recovery import recovers
from seatrial_runner.conductor.faults.restart import Restart
from seatrial_runner.conductor.faults.scale import Scale
from seatrial_runner.conductor.faults.timeline import lasts_s, recovery_within_s
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.windows import Window

_MAX_TARGETS = 20
_LOOK_AGAIN_S = 1.0
# What fails from now on may still be the fault's doing: its window stays open.
_STILL_THERE = ("NotReverted", "NotRecovered")


def kind_of(fault: Json) -> Kind:
    """Give the module that can do a fault."""
    if fault.get("kill") is not None:
        return Kill()
    return Restart() if fault.get("restart") is not None else Scale()


class Round:
    """
    One playing of one fault.

    Args:
        test: The test it is bound to, or that started it; empty if there is none.
    """

    def __init__(
        self,
        stage: Stage,
        hands: Hands,
        fault: Json,
        service: ServiceDoc,
        kind: Kind,
        test: str,
    ) -> None:
        self._stage = stage
        self._hands = hands
        self._fault = fault
        self._service = service
        self._kind = kind
        self._ending = asyncio.Event()
        self._ended_by = "deadline"
        self._hurried = asyncio.Event()
        self._why_hurried = ""
        self.test = test
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
        try:
            intent = await self._inject()
            if intent is not None:
                await self._hold(intent)
                await self._revert(intent)
        finally:
            self.in_effect.set()
            self.reverted.set()

    async def see_end(self, intent: Intent) -> None:
        """Complete the proof of a fault that an earlier conductor has applied."""
        self.in_effect.set()
        try:
            await self._revert(intent, already=True)
        finally:
            self.reverted.set()

    async def _inject(self) -> Intent | None:
        state, journal = self.state, self._stage.journal
        state.update(
            {"requested": self._stage.at(), "message": "", "reverted": None, "recovered": None}
        )
        seed = f"{self._stage.run['uid']}/{self._fault['name']}"
        aim = Aim(self._fault, self._service, self._stage.seen, seed, self._stage.at())
        try:
            intent = self._kind.aim(aim)
        except NotInjectedError as error:
            self._failed("NotInjected", str(error))
            return None
        state["state"] = "Requested"
        state["targets"] = intent.targets[:_MAX_TARGETS]
        journal.note(
            "fault.requested",
            fault=self._fault["name"],
            test=self.test,
            targets=intent.targets,
            undo=intent.undo,
        )
        await journal.save()  # NB: nothing may happen before this is in the ConfigMap
        self._since = self._stage.now()
        try:
            await self._kind.apply(self._hands, intent)
        except (NotInjectedError, ClusterError) as error:
            await self._take_back(intent, str(error))
            return None
        self._applied(intent)
        return intent

    async def _take_back(self, intent: Intent, why: str) -> None:
        """Undo what may have been done of a fault that has not taken effect."""
        try:
            await self._kind.undo(self._hands, intent)
        except ClusterError as error:
            self._failed("NotReverted", f"{why}; and it could not be undone: {error}")
        else:
            self._failed("NotInjected", why)

    def _applied(self, intent: Intent) -> None:
        state, now = self.state, self._stage.now()
        state["state"] = "Active"
        state["targets"] = intent.targets[:_MAX_TARGETS]
        state["applied"] = self._stage.at()
        hosts = frozenset(self._service["hosts"])
        # To the millisecond, as requests are written, or one sent at once would seem to be earlier.
        begin = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self.window = self._stage.windows.open(self._fault["name"], hosts, begin, since=self._since)
        for test in sorted(self._stage.running):
            self.expose(test)
        self._stage.journal.note("fault.applied", fault=self._fault["name"])
        self._stage.journal.save_soon()
        self.in_effect.set()

    async def _hold(self, intent: Intent) -> None:
        lasts = lasts_s(self._fault)
        if lasts is None:
            return
        try:
            async with asyncio.timeout(lasts):
                await self._ending.wait()
        except TimeoutError:
            self._ended_by = "deadline"

    async def _revert(self, intent: Intent, *, already: bool = False) -> None:
        lasting = lasts_s(self._fault) is not None
        if lasting:
            if not already and not await self._undo(intent):
                return
            self._reverted(self._ended_by)
        within_s = recovery_within_s(self._fault)
        # NB: also for what we have undone ourselves. Until the watch tells of it, the objects look
        # as if the fault's number of pods were all that is wanted, and all of them were there.
        if not await self._is_undone(intent, within_s):
            if not self._hurried.is_set():
                self._failed("NotReverted", self._not_undone(intent, within_s))
            return
        if not lasting:
            self._reverted("controller")
        await self._see_recovery(within_s)

    async def _undo(self, intent: Intent) -> bool:
        try:
            await self._kind.undo(self._hands, intent)
        except ClusterError as error:
            self._failed("NotReverted", f"it could not be undone: {error}")
            return False
        return True

    def _not_undone(self, intent: Intent, within_s: float) -> str:
        missing = [each["name"] for each in intent.targets if not each["replacedBy"]]
        within = format_duration(timedelta(seconds=within_s))
        return (
            f"the controller of service {self._service['name']} has not replaced"
            f" {', '.join(missing[:5]) or 'its pods'} within {within}"
        )

    async def _see_recovery(self, within_s: float) -> None:
        """Wait until the system is well again, or until we are in a hurry."""
        recovery = asyncio.create_task(
            recovers(self._stage, self._fault, self._service, within_s=within_s)
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
        while not self._kind.is_undone(intent, self._service, self._stage.seen):
            left = give_up - self._stage.monotonic()
            if left <= 0 or self._hurried.is_set():
                return False
            await self._stage.seen.wait(min(left, _LOOK_AGAIN_S))
        return True

    def _reverted(self, by: str) -> None:
        state = self.state
        if state["reverted"] is None:
            state["reverted"] = self._stage.at()
            state["revertedBy"] = by
            self._stage.journal.note(
                "fault.reverted",
                fault=self._fault["name"],
                by=by,
                targets=state["targets"],
            )
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
        self._stage.journal.note("fault.recovered", fault=self._fault["name"], hits=state["hits"])
        self._stage.journal.save_soon()

    def _close(self) -> None:
        if self.window is not None and self.window.end is None:
            self.window.end = self._stage.now()

    def _failed(self, outcome: Any, message: str) -> None:
        if outcome not in _STILL_THERE:
            self._close()
        self.state["state"] = outcome
        self.state["message"] = message[:1024]
        self._stage.journal.note(
            "fault.failed", fault=self._fault["name"], state=outcome, message=message
        )
        self._stage.journal.save_soon()
