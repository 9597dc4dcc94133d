"""Drives every fault from its moment to the proof that the system is well again."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, cast

from seatrial.api.errors import FaultError
from seatrial.api.journal import FaultState

from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.faults.kinds import Hands, Intent, Json
from seatrial_runner.conductor.faults.kinds import Kind as FaultKind
from seatrial_runner.conductor.faults.round import Round, kind_of
from seatrial_runner.conductor.faults.timeline import Trigger, lasts_s, moment, never_came
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.journal import new_summary

_UNSEEN = (
    "test {test} was over before it was seen to run: it is too short, or it ran while the"
    " conductor was restarted"
)
_LOOK_AGAIN_S = 1.0
_OPEN = ("Requested", "Active")
_TO_BE_SEEN = ("Requested", "Active", "Reverted")


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
        self._rounds: dict[str, Round] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._began = stage.monotonic()
        self._test_began: dict[str, float] = {}
        self._proof_is_new = False

    # Moments -------------------------------------------------------------------------------------

    async def gate_opened(self, *, ago_s: float = 0.0) -> None:
        """Begin what begins with the gate; return when what has no offset is in effect."""
        self._began = self._stage.monotonic() - ago_s
        await self._begin(Trigger.GATE, "", self._began)

    async def begin_with(self, test: str) -> None:
        """Begin what is bound to a test; return when what has no offset is in effect."""
        self._stage.running.add(test)
        self._test_began[test] = self._stage.monotonic()
        for round_ in self._rounds.values():
            round_.expose(test)
        await self._begin(Trigger.TEST, test, self._test_began[test])

    async def _begin(self, trigger: Trigger, test: str, since: float) -> None:
        at_once = []
        for fault in self._faults.values():
            when = moment(fault)
            if when.trigger is not trigger or when.test != test or not self._pending(fault):
                continue
            if when.at_once:
                at_once.append(self._play(fault, test))
            else:
                self._timers[fault["name"]] = asyncio.create_task(
                    self._play_at(since + when.after_s, fault, test)
                )
        for round_ in at_once:
            await round_.in_effect.wait()

    async def _play_at(self, deadline: float, fault: Json, test: str) -> None:
        await asyncio.sleep(max(deadline - self._stage.monotonic(), 0.0))
        self._play(fault, test)

    async def end_with(self, test: str) -> None:
        """
        End what is bound to a test, or was started by it; return when the system is well again.

        The next test must not meet what this one was to meet.
        """
        self._stage.running.discard(test)
        ran_s = self._stage.monotonic() - self._test_began.get(test, self._stage.monotonic())
        bound = [f for f in self._faults.values() if moment(f).test == test]
        for fault in bound:
            self._stop_timer(fault["name"])
            if self._pending(fault) and test in self._test_began:
                self._give_up(fault, *never_came(fault, ran_s=ran_s))
            elif self._pending(fault):
                self._give_up(fault, "NotInjected", _UNSEEN.format(test=test))
        mine = [name for name, round_ in self._rounds.items() if round_.test == test]
        for name in mine:
            self._rounds[name].end("test")
        await self._wait_for(mine)

    async def settle(self) -> None:
        """After the last test: give up what never came, wait until all others are over."""
        ran_s = self._stage.monotonic() - self._began
        for name, fault in self._faults.items():
            self._stop_timer(name)
            if self._pending(fault):
                self._give_up(fault, *never_came(fault, ran_s=ran_s))
            elif name in self._rounds and moment(fault).trigger is Trigger.MANUAL:
                self._rounds[name].end("conductor")
        await self._wait_for(list(self._tasks))

    async def abandon(self, why: str) -> None:
        """End for good: give up what is pending, undo what is open, wait for no recovery."""
        for fault in self._faults.values():
            if self._pending(fault):
                self._give_up(fault, "Skipped", why)
        await self.undo_open(why)

    async def undo_open(self, why: str) -> None:
        """Undo whatever is open, at once and without waiting for recovery."""
        for name in self._faults:
            self._stop_timer(name)
        for round_ in self._rounds.values():
            round_.hurry(why)
        await self._wait_for(list(self._tasks))

    async def _wait_for(self, names: list[str]) -> None:
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        if tasks:
            await asyncio.gather(*tasks)

    # Orders of tests -----------------------------------------------------------------------------

    def fault(self, name: str) -> Json | None:
        """Give a fault's state."""
        return cast("Json", self._state(name)) if name in self._faults else None

    async def start(self, fault: str, *, test: str) -> Json:
        """
        Start a manual fault; return its state once it is in effect.

        Raises:
            FaultError: There is none of that name, it is not manual or not over yet, or nothing
                happened.
        """
        declared = self._faults.get(fault)
        if declared is None:
            raise FaultError(f"there is no fault {fault[:60]!r} in spec.faults")
        if moment(declared).trigger is not Trigger.MANUAL:
            raise FaultError(
                f"fault {fault} begins by itself; give it when: {{manual: {{}}}} to start it"
            )
        running = self._tasks.get(fault)
        if running is not None and not running.done():
            raise FaultError(f"fault {fault} is not over yet: stop it first, and wait for recovery")
        round_ = self._play(declared, test)
        await round_.in_effect.wait()
        state = self._state(fault)
        if state["state"] == "NotInjected":
            raise FaultError(f"fault {fault} was not injected: {state['message']}")
        return cast("Json", state)

    async def stop(self, fault: str) -> Json:
        """
        End a manual fault; return its state once it is undone.

        Raises:
            FaultError: There is none of that name, or it was never started.
        """
        round_ = self._rounds.get(fault)
        if round_ is None:
            state = self.fault(fault)
            if state is not None and state["applied"] is not None:
                return state  # ended by the conductor before this one
            raise FaultError(f"fault {fault[:60]!r} was not started, so it cannot be stopped")
        round_.end("test")
        await round_.reverted.wait()
        return cast("Json", self._state(fault))

    async def recovered(self, fault: str) -> Json:
        """Return a fault's state once the system is well again, or did not become so in time."""
        await self._wait_for([fault])
        return cast("Json", self._state(fault))

    def met(self, at: datetime, host: str) -> None:
        """Count a request of a test in the windows of all faults it falls into."""
        for window in self._stage.windows.meet(at, host):
            state = self._state(window.fault)
            self._proof_is_new |= not state["hits"]
            if window.total == 1:
                self._stage.journal.note(
                    "fault.hit", fault=window.fault, host=host, sent=rfc3339(at)
                )
            round_ = self._rounds.get(window.fault)
            if round_ is not None and round_.window is window:
                state["hits"] = round_.hits_before + window.hits
                first = window.first_hit
                if first is not None and round_.hits_before == 0:
                    state["firstHit"] = rfc3339(first)
            else:  # told late, of a window that is over or of an earlier conductor
                state["hits"] += 1
                state["firstHit"] = min(rfc3339(at), state["firstHit"] or rfc3339(at))
            self._stage.journal.changed()

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
        intents = self._intents()
        for name, fault in self._faults.items():
            state = self._state(name)
            if state["applied"] is not None:
                end = state["recovered"]
                self._stage.windows.restore(
                    name, parse(state["applied"]), parse(end) if end else None
                )
            if state["state"] not in _TO_BE_SEEN:
                continue
            intent = intents.get(name, Intent(targets=[]))
            intent.targets = state["targets"] or intent.targets
            if state["state"] in _OPEN:
                await self._undo_left(fault, intent, state)
            self._stage.windows.close(name, self._stage.now())
            if self._has_tests_to_meet(fault) or state["applied"] is None:
                self._reset(state)
            else:
                self._watch_end(fault, intent)

    async def _undo_left(self, fault: Json, intent: Intent, state: FaultState) -> None:
        if lasts_s(fault) is None:
            return
        kind, service = kind_of(fault), self._stage.service(fault["target"]["service"])
        await kind.undo(self._hands, intent)
        assert service is not None  # the operator has checked it
        while not kind.is_undone(intent, service, self._stage.seen):
            await self._stage.seen.wait(_LOOK_AGAIN_S)
        state["reverted"] = self._stage.at()
        state["revertedBy"] = "conductor"
        self._stage.journal.note("fault.reverted", fault=fault["name"], by="conductor")
        self._stage.lost(
            f"Fault {fault['name']} was ended early, because the conductor was restarted."
        )

    def _has_tests_to_meet(self, fault: Json) -> bool:
        when = moment(fault)
        if when.trigger is Trigger.MANUAL:
            return False
        tests = self._stage.journal.summary["tests"]
        return any(
            test["outcome"] in ("Pending", "Running") and when.test in ("", test["name"])
            for test in tests
        )

    def _intents(self) -> dict[str, Intent]:
        return {
            entry["fault"]: Intent(targets=entry.get("targets", []), undo=entry.get("undo", {}))
            for entry in self._stage.journal.entries
            if entry["kind"] == "fault.requested"
        }

    def _watch_end(self, fault: Json, intent: Intent) -> None:
        round_ = self._round(fault, "")
        self._tasks[fault["name"]] = asyncio.create_task(round_.see_end(intent))

    def _reset(self, state: FaultState) -> None:
        fresh = new_summary(self._stage.run, at=self._stage.at())["faults"]
        state.update(next(each for each in fresh if each["name"] == state["name"]))

    # Details -------------------------------------------------------------------------------------

    def _play(self, fault: Json, test: str) -> Round:
        round_ = self._round(fault, test)
        self._tasks[fault["name"]] = asyncio.create_task(round_.play())
        return round_

    def _round(self, fault: Json, test: str) -> Round:
        service = self._stage.service(fault["target"]["service"])
        assert service is not None  # the operator has checked it
        kind: FaultKind = kind_of(fault)
        round_ = Round(self._stage, self._hands, fault, service, kind, test)
        self._rounds[fault["name"]] = round_
        return round_

    def _state(self, name: str) -> FaultState:
        return next(each for each in self._stage.journal.summary["faults"] if each["name"] == name)

    def _pending(self, fault: Json) -> bool:
        return self._state(fault["name"])["state"] == "Pending" and not self._is_played(fault)

    def _is_played(self, fault: Json) -> bool:
        task = self._tasks.get(fault["name"])
        return task is not None and not task.done()

    def _stop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _give_up(self, fault: Json, outcome: str, why: str) -> None:
        state = self._state(fault["name"])
        state["state"] = cast("Any", outcome)
        state["message"] = why
        self._stage.journal.note("fault.failed", fault=fault["name"], state=outcome, message=why)
