"""Drives every fault from its moment to the proof that the system is well again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, cast

from seatrial.api.errors import FaultError
from seatrial.api.journal import FailureDoc, FaultState, ServiceDoc

from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.faults.kinds import Hands, Intent, Json
from seatrial_runner.conductor.faults.preparing import prepare
from seatrial_runner.conductor.faults.resuming import Resuming
from seatrial_runner.conductor.faults.series import Series
from seatrial_runner.conductor.faults.table import kind_of
from seatrial_runner.conductor.faults.timeline import Trigger, moment, never_came, seed_of
from seatrial_runner.conductor.stage import Stage

_TOO_SHORT = "test {test} was over before it was seen to run: it is too short to begin a fault with"
_MISSED = "test {test} ran to its end while the conductor was restarted, which begins it"


class Director:
    """
    All faults of a run.

    Each is played by a task of its own, so that none waits for another, and no test for more than
    the faults bound to it.
    """

    def __init__(self, stage: Stage, hands: Hands) -> None:
        self._stage = stage
        self._hands = hands
        self._faults: dict[str, Json] = {fault["name"]: fault for fault in stage.run["faults"]}
        self._series: dict[str, Series] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._resuming = Resuming(stage, hands)
        self._began = stage.monotonic()
        self._test_began: dict[str, float] = {}
        self._proof_is_new = False
        self._settling = False
        self._leaving = False  # another conductor goes on with the run
        for state in stage.journal.summary["faults"]:
            state["seed"] = seed_of(
                self._faults[state["name"]], stage.run.get("seed") or stage.run["uid"]
            )

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """Give what has to run as long as the faults do."""
        gateway = self._hands.gateway
        return [gateway.keep_told()] if gateway is not None else []

    async def prepare(self) -> FailureDoc | None:
        """Make ready what the faults need, before the gate opens; or say what cannot be had."""
        return await prepare(self._stage, self._hands)

    # Moments -------------------------------------------------------------------------------------

    async def gate_opened(self, *, ago_s: float = 0.0) -> None:
        """Begin what begins with the gate; return when what has no offset is in effect."""
        self._began = self._stage.monotonic() - ago_s
        self._resuming.well_again()
        await self._begin(Trigger.GATE, "", self._began)
        for name in self._faults:
            reverted = self._state(name)["reverted"]
            # By an earlier conductor; one that has still to happen again is pending.
            if reverted is not None and not self._is_pending(name):
                ago_s = (self._stage.now() - parse(reverted)).total_seconds()
                await self._begin(Trigger.FAULT, name, self._stage.monotonic() - ago_s)

    async def begin_with(self, test: str) -> None:
        """Begin what is bound to a test; return when what has no offset is in effect."""
        self._stage.running.add(test)
        self._test_began[test] = self._stage.monotonic()
        for series in self._series.values():
            series.round.account.expose(test)
        await self._begin(Trigger.TEST, test, self._test_began[test])

    async def _begin(self, trigger: Trigger, of: str, since: float) -> None:
        """Begin what is bound to the gate, to a test or to another fault, by its name."""
        at_once = []
        for name, fault in self._faults.items():
            when = moment(fault)
            bound_to = when.fault if trigger is Trigger.FAULT else when.test
            if when.trigger is not trigger or bound_to != of or not self._is_pending(name):
                continue
            if when.at_once:
                at_once.append(self._play(fault, when.test))
            else:
                self._stop_timer(name)  # of a fault that a test has started again
                self._timers[name] = asyncio.create_task(
                    self._play_at(since + when.after_s, fault, when.test)
                )
        for series in at_once:
            await series.in_effect.wait()

    async def _play_at(self, deadline: float, fault: Json, test: str) -> None:
        await asyncio.sleep(max(deadline - self._stage.monotonic(), 0.0))
        if self._is_pending(fault["name"]) and not self._settling:
            self._play(fault, test)

    async def end_with(self, test: str) -> None:
        """
        End what is bound to a test, or was started by it; return when the system is well again.

        The next test must not meet what this one was to meet.
        """
        self._stage.running.discard(test)
        ran_s = self._stage.monotonic() - self._test_began.get(test, self._stage.monotonic())
        for name, fault in self._faults.items():
            if moment(fault).test != test:
                continue
            self._stop_timer(name)
            if self._is_pending(name) and test in self._test_began:
                self._give_up(name, *never_came(fault, ran_s=ran_s))
            elif self._is_pending(name):
                why = _MISSED if self._stage.journal.start > 1 else _TOO_SHORT
                self._give_up(name, "NotInjected", why.format(test=test))
        mine = [name for name, series in self._series.items() if series.test == test]
        for name in mine:
            self._series[name].end("test", what=f"test {test}")
        await self._wait_for(mine)

    async def settle(self) -> None:
        """After the last test: give up what never came, wait until all others are over."""
        self._settling = True
        ran_s = self._stage.monotonic() - self._began
        for name, fault in self._faults.items():
            self._stop_timer(name)
            if self._is_pending(name):
                self._give_up(name, *never_came(fault, ran_s=ran_s))
            elif name in self._series and moment(fault).trigger is Trigger.MANUAL:
                self._series[name].end("conductor")
            elif name in self._series:
                self._series[name].no_more("the tests")
        await self._wait_for(list(self._tasks))

    async def abandon(self, why: str) -> None:
        """End for good: give up what is pending, undo what is open, wait for no recovery."""
        for name in self._faults:
            if self._is_pending(name):
                self._give_up(name, "Skipped", why)
        await self._undo_all(why)

    async def undo_open(self, why: str) -> None:
        """Undo whatever is open, at once, because this process ends and another goes on."""
        self._leaving = True
        await self._undo_all(why)

    async def _undo_all(self, why: str) -> None:
        self._settling = True
        for name in self._faults:
            self._stop_timer(name)
        for series in self._series.values():
            series.hurry(why)
        await self._wait_for(list(self._tasks))

    async def _wait_for(self, names: list[str]) -> None:
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        if tasks:
            # NB: not gather. Whoever waits may be cancelled, and faults have to come to their end.
            await asyncio.wait(tasks)
            for task in tasks:
                task.result()

    # Orders of tests -----------------------------------------------------------------------------

    def fault(self, name: str) -> Json | None:
        """Give a fault's state."""
        return cast("Json", self._state(name)) if name in self._faults else None

    async def start(self, fault: str, *, test: str) -> Json:
        """
        Start a manual fault; return its state once it is in effect.

        Raises:
            FaultError: There is none of that name, it is not manual or not over yet, the test or
                the run is over, or nothing happened.
        """
        await self._unless_leaving()
        declared = self._faults.get(fault)
        if declared is None:
            raise FaultError(f"there is no fault {fault[:60]!r} in spec.faults")
        if moment(declared).trigger is not Trigger.MANUAL:
            raise FaultError(
                f"fault {fault} begins by itself; give it when: {{manual: {{}}}} to start it"
            )
        if self._is_played(fault):
            raise FaultError(f"fault {fault} is not over yet: stop it first, and wait for recovery")
        asking = self._stage.test(test)
        if self._settling or (asking is not None and asking["finishedAt"] is not None):
            what = "the tests of this run are" if self._settling else f"test {test} is"
            raise FaultError(f"{what} over: nothing would end fault {fault} any more")
        series = self._play(declared, test)
        await series.in_effect.wait()
        state = self._state(fault)
        if state["applied"] is None:
            await self._unless_leaving()
            raise FaultError(f"fault {fault} was not injected: {state['message']}")
        return cast("Json", state)

    async def _unless_leaving(self) -> None:
        """Give no answer if this process ends: whoever asks asks the next conductor again."""
        if self._leaving:
            await asyncio.Event().wait()

    async def stop(self, fault: str) -> Json:
        """
        End a manual fault; return its state once it is undone.

        Raises:
            FaultError: There is none of that name, it is not manual, or it was never started.
        """
        declared = self._faults.get(fault)
        if declared is not None and moment(declared).trigger is not Trigger.MANUAL:
            raise FaultError(f"fault {fault} ends by itself: no test may stop it")
        series = self._series.get(fault)
        if series is None:
            state = self.fault(fault)
            if state is not None and state["applied"] is not None:
                return state  # ended by the conductor before this one
            raise FaultError(f"fault {fault[:60]!r} was not started, so it cannot be stopped")
        series.end("test")
        await series.reverted.wait()
        return cast("Json", self._state(fault))

    async def recovered(self, fault: str) -> Json:
        """Return a fault's state once the system is well again, or did not become so in time."""
        await self._wait_for([fault])
        return cast("Json", self._state(fault))

    async def begins_again(self, test: str) -> None:
        """
        End what an attempt of a test before has left on; return when the system is well.

        It could not be started again otherwise. Whose it is that an earlier conductor has left,
        nobody knows any more.
        """
        left = [
            name
            for name, series in self._series.items()
            if series.test in ("", test) and moment(self._faults[name]).trigger is Trigger.MANUAL
        ]
        for name in left:
            self._series[name].end("test")
        await self._wait_for(left)

    def met(self, at: datetime, host: str, *, test: str = "") -> None:
        """Count a request of a test in the windows of all faults it falls into."""
        ran = self._ran(test) if test else None
        if test and ran is None:
            return
        for window in self._stage.windows.meet(at, host, ran):
            if kind_of(self._faults[window.fault]).counts_itself:
                continue  # the gateway knows which of them met it
            series = self._series.get(window.fault)
            state = self._state(window.fault)
            self._proof_is_new |= not state["hits"]
            if window.total == 1:
                self._stage.journal.note(
                    "fault.hit", fault=window.fault, host=host, sent=rfc3339(at)
                )
            if series is not None and series.round.account.window is window:
                before = series.round.account.hits_before
                state["hits"] = before + window.hits
                first = window.first_hit
                if first is not None and before == 0:
                    state["firstHit"] = rfc3339(first)
            else:  # told late, of a window that is over or of an earlier conductor
                state["hits"] += 1
                state["firstHit"] = min(rfc3339(at), state["firstHit"] or rfc3339(at))
            self._stage.journal.changed()

    def _ran(self, test: str) -> tuple[datetime, datetime] | None:
        """Say from when to when a test has run so far; None if it has not."""
        state = self._stage.test(test)
        if state is None or state["startedAt"] is None:
            return None
        end = state["finishedAt"]
        return parse(state["startedAt"]), parse(end) if end else self._stage.now()

    async def keep_proof(self) -> None:
        """Return when no restart can lose that a fault has met traffic: nobody tells it twice."""
        if self._proof_is_new:
            self._proof_is_new = False
            await self._stage.journal.save()

    # After a restart -----------------------------------------------------------------------------

    async def resume(self) -> None:
        """
        Take over from an earlier conductor: undo what it left open.

        A fault that still has tests to meet is played anew from its beginning; of another, the
        proof is completed with what can still be seen.
        """
        for name, intent in await self._resuming.resume(self._faults):
            series = self._new_series(self._faults[name], "")
            self._tasks[name] = asyncio.create_task(self._see_end(name, series, intent))

    async def _see_end(self, name: str, series: Series, intent: Intent) -> None:
        if self._state(name)["reverted"] is not None:
            await series.see_end(intent)  # what follows it begins with the gate
            return
        follow = asyncio.create_task(self._follow(name, series))
        try:
            await series.see_end(intent)
        finally:
            await follow

    # Details -------------------------------------------------------------------------------------

    def _play(self, fault: Json, test: str) -> Series:
        series = self._new_series(fault, test)
        self._tasks[fault["name"]] = asyncio.create_task(self._play_out(fault["name"], series))
        return series

    async def _play_out(self, name: str, series: Series) -> None:
        """Play a fault to its end; what follows it begins when it has been undone."""
        follow = asyncio.create_task(self._follow(name, series))
        try:
            await series.play()
        finally:
            await follow

    async def _follow(self, name: str, series: Series) -> None:
        await series.reverted.wait()
        if self._settling:
            return
        if self._state(name)["reverted"] is None:
            self._give_up_followers(name)
        else:
            await self._begin(Trigger.FAULT, name, self._stage.monotonic())

    def _give_up_followers(self, name: str) -> None:
        for each, fault in self._faults.items():
            if moment(fault).fault == name and self._is_pending(each):
                self._give_up(each, "Skipped", f"it follows fault {name}, which did not happen")
                self._give_up_followers(each)

    def _new_series(self, fault: Json, test: str) -> Series:
        name = fault["name"]
        first, flaw = self._resuming.where(fault)
        series = Series(
            self._stage,
            self._hands,
            fault,
            self._services_of(fault),
            test=test,
            first=first,
            flaw=flaw,
        )
        self._series[name] = series
        return series

    def _services_of(self, fault: Json) -> list[ServiceDoc]:
        target = fault.get("target")
        if not target:
            return list(self._stage.run["services"])
        service = self._stage.service(target["service"])
        assert service is not None  # the operator has checked it
        return [service]

    def _state(self, name: str) -> FaultState:
        return next(each for each in self._stage.journal.summary["faults"] if each["name"] == name)

    def _is_pending(self, name: str) -> bool:
        return self._state(name)["state"] == "Pending" and not self._is_played(name)

    def _is_played(self, name: str) -> bool:
        task = self._tasks.get(name)
        return task is not None and not task.done()

    def _stop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _give_up(self, name: str, outcome: str, why: str) -> None:
        state = self._state(name)
        state["state"] = cast("Any", outcome)
        state["message"] = why
        self._stage.journal.note("fault.failed", fault=name, state=outcome, message=why)
