"""All times that a fault happens, one after the other, from one beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from seatrial.api.journal import FaultState, ServiceDoc

from seatrial_runner.conductor.faults.account import Flaw
from seatrial_runner.conductor.faults.kinds import Hands, Intent, Json
from seatrial_runner.conductor.faults.round import Round
from seatrial_runner.conductor.faults.table import kind_of
from seatrial_runner.conductor.faults.timeline import bound_to, not_as_often, repeats
from seatrial_runner.conductor.stage import Stage


class Series:
    """
    The rounds of one fault.

    Args:
        services: What it hits.
        test: The test it is bound to, or that started it; empty if there is none.
        first: The number of the round it begins with: more than 1 after a restart.
        flaw: What is missing of the rounds before.
    """

    def __init__(
        self,
        stage: Stage,
        hands: Hands,
        fault: Json,
        services: Sequence[ServiceDoc],
        *,
        test: str = "",
        first: int = 1,
        flaw: Flaw | None = None,
    ) -> None:
        self._stage = stage
        self._hands = hands
        self._fault = fault
        self._services = services
        self._first = first
        self._repeats = repeats(fault)
        self._no_more = asyncio.Event()
        self._what_ended = ""  # and so there are no more rounds; empty: that is as it should be
        self.test = test
        self.in_effect = asyncio.Event()  # once; also set when it is known that it will not be
        self.reverted = asyncio.Event()  # for the last time; likewise
        self.round = self._round(first, flaw)

    @property
    def state(self) -> FaultState:
        """What the summary says of the fault."""
        return self.round.account.state

    def end(self, by: str, *, what: str = "") -> None:
        """
        End the fault, and have it not happen again; harmless for one that is over.

        Args:
            by: Who ends it: test or conductor.
            what: What has ended, if the fault should have happened more often.
        """
        self.no_more(what)
        self.round.end(by)

    def no_more(self, what: str) -> None:
        """Let it end as it would, and have it not happen again."""
        if not self._no_more.is_set():
            self._what_ended = what
            self._no_more.set()

    def hurry(self, why: str) -> None:
        """End it for good, and do not wait for recovery."""
        self.no_more("")
        self.round.hurry(why)

    async def play(self) -> None:
        """Play all rounds; what goes wrong is in the fault's state."""
        began = self._stage.monotonic()
        last = self._repeats.times
        try:
            for number in range(self._first, last + 1):
                if number > self._first:
                    due = began + (number - self._first) * self._repeats.every_s
                    if not await self._goes_on(due):
                        self._fell_short(number - 1)
                        return
                    self.round = self._round(number, self.round.account.flaw)
                await self._play(self.round, self.round.play())
        finally:
            self.in_effect.set()
            self.reverted.set()

    async def see_end(self, intent: Intent) -> None:
        """Complete the proof of a round that an earlier conductor has applied; it was the last."""
        self.in_effect.set()
        self.no_more(bound_to(self._fault))
        try:
            await self._play(self.round, self.round.see_end(intent))
            if self._first < self._repeats.times:
                self._fell_short(self._first)
        finally:
            self.reverted.set()

    async def _play(self, round_: Round, course: Coroutine[Any, Any, None]) -> None:
        playing = asyncio.create_task(course)
        passing = asyncio.create_task(self._pass_on(round_))
        try:
            await playing
            await passing
        finally:
            playing.cancel()
            passing.cancel()
            await asyncio.gather(playing, passing, return_exceptions=True)

    async def _pass_on(self, round_: Round) -> None:
        await round_.in_effect.wait()
        self.in_effect.set()
        await round_.reverted.wait()
        if self._no_more.is_set() or round_.account.number == self._repeats.times:
            self.reverted.set()

    async def _goes_on(self, due: float) -> bool:
        """Wait for the moment of the next round; False if there will be none."""
        try:
            async with asyncio.timeout(max(due - self._stage.monotonic(), 0.0)):
                await self._no_more.wait()
        except TimeoutError:
            return not self._no_more.is_set()
        return False

    def _fell_short(self, happened: int) -> None:
        if self._what_ended:
            message = not_as_often(happened, self._repeats, what=self._what_ended)
            self.round.account.fell_short(message)

    def _round(self, number: int, flaw: Flaw | None) -> Round:
        return Round(
            self._stage,
            self._hands,
            self._fault,
            self._services,
            kind_of(self._fault),
            test=self.test,
            number=number,
            flaw=flaw,
        )
