"""The book of orders: what was ordered, until when, how it ended, and what it met."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from weakref import WeakValueDictionary

from seatrial.api.control import FaultOrder, FaultReport
from seatrial.api.errors import FaultError, NotInjectedError

from seatrial_runner.clock import rfc3339
from seatrial_runner.control.carrier import Carrier, Evidence

logger = logging.getLogger("seatrial.control")

MAX_ACTIVE = 200
KEPT = 1000  # faults that have ended; of older ones nothing is known any more
# An end that fails is tried again, at first after this time.
_AGAIN_S = 0.2
_AGAIN_AT_MOST_S = 5.0

EndedBy = Literal["deadline", "request"]


@dataclass
class _Record:
    name: str
    order: FaultOrder
    applied: datetime
    effective: datetime | None
    deadline: float
    timer: asyncio.TimerHandle | None = None
    ended: datetime | None = None
    ended_by: EndedBy | None = None
    evidence: Evidence = field(default_factory=Evidence)


class Ledger:
    """
    Keeps the book, and hands each order to the carrier.

    ``monotonic`` is ``time.monotonic``, which the carrier's deadlines are of.
    """

    def __init__(
        self,
        carrier: Carrier,
        *,
        boot: str,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self.boot = boot
        self._carrier = carrier
        self._now = now
        self._monotonic = monotonic
        self._active: dict[str, _Record] = {}
        self._ended: OrderedDict[str, _Record] = OrderedDict()
        self._half: set[str] = set()  # names of orders that failed; a part may be in effect
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    async def put(self, name: str, order: FaultOrder) -> FaultReport:
        """
        Carry an order out; the same one again moves its deadline, another one replaces it.

        Raises:
            ValueError: The order makes no sense.
            FaultError: It cannot be done here.
        """
        deadline = self._monotonic() + order["forS"]
        async with self._lock(name):
            record = self._active.get(name)
            if record is not None and _same(record.order, order) and not self._is_over(record):
                await self._carrier.renew(name, order, deadline)
                record.deadline = deadline
                self._set_timer(record)
                return await self._report(record)
            if record is not None:
                await self._end(record, "deadline" if self._is_over(record) else "request")
            record = await self._begin(name, order, deadline)
            if record.effective is None:
                return await self._report(record)
            # What a fault has met that has only begun is not worth the time of asking Envoy.
            return self._told(record, Evidence())

    async def delete(self, name: str) -> FaultReport:
        """
        End a fault.

        Raises:
            KeyError: It was never ordered.
            FaultError: It may still be there; it is tried again.
        """
        async with self._lock(name):
            record = self._active.get(name)
            if record is not None:
                await self._end(record, "deadline" if self._is_over(record) else "request")
            return await self._report(record or self._ended[name])

    async def lost(self, name: str) -> None:
        """
        Note that a fault has ended early: what carried it out is gone, such as Envoy.

        Its report then says ``ended``, by nobody.
        """
        async with self._lock(name):
            if (record := self._active.get(name)) is not None:
                await self._end(record, "deadline" if self._is_over(record) else None)

    async def delete_all(self) -> None:
        """
        End every fault.

        Raises:
            ExceptionGroup: Of FaultErrors; these may still be there, and are tried again.
        """
        names = list(self._active)
        done = await asyncio.gather(*(self.delete(name) for name in names), return_exceptions=True)
        failed = [each for each in done if isinstance(each, Exception)]
        if failed:
            raise ExceptionGroup(f"{len(failed)} of {len(names)} faults may still be there", failed)

    async def report(self, name: str) -> FaultReport:
        """
        Say what became of an order.

        Raises:
            KeyError: It was never ordered.
        """
        return await self._report(self._active.get(name) or self._ended[name])

    async def reports(self) -> list[FaultReport]:
        """Say what became of all, in the order in which they ended; those in effect come last."""
        records = (*self._ended.values(), *self._active.values())
        return [await self._report(record) for record in records]

    async def close(self) -> None:
        """Stop keeping deadlines: the process ends, and what it carries with it."""
        for record in self._active.values():
            if record.timer is not None:
                record.timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin(self, name: str, order: FaultOrder, deadline: float) -> _Record:
        if len(self._active) >= MAX_ACTIVE:
            raise NotInjectedError(f"{MAX_ACTIVE} faults are in effect: end one before")
        await self._undo_half(name)  # or it would be undone with what is left of that order
        applied = self._now()
        try:
            effective = await self._carrier.put(name, order, deadline)
        except (ValueError, FaultError):
            raise
        except BaseException:
            # Nobody knows how far it came; what is half done must not stay.
            self._half.add(name)
            self._spawn(self._keep_undoing(name))
            raise
        record = _Record(name, order, applied, effective, deadline)
        self._active[name] = record
        self._ended.pop(name, None)
        self._set_timer(record)
        return record

    async def _undo_half(self, name: str) -> None:
        if name in self._half:
            await self._carrier.delete(name)
            self._half.discard(name)

    async def _keep_undoing(self, name: str) -> None:
        pause = _AGAIN_S
        async with self._lock(name):
            while True:
                try:
                    await self._undo_half(name)
                    return
                except Exception:
                    logger.exception("a fault that failed is not undone", extra={"fault": name})
                await asyncio.sleep(pause)
                pause = min(2 * pause, _AGAIN_AT_MOST_S)

    async def _end(self, record: _Record, by: EndedBy | None) -> None:
        await self._carrier.delete(record.name)
        ended = self._now()  # to learn what it has met takes some milliseconds more
        record.evidence = await self._carrier.evidence(record.name)
        record.ended, record.ended_by = ended, by
        if record.timer is not None:
            record.timer.cancel()
        del self._active[record.name]
        self._ended[record.name] = record
        self._ended.move_to_end(record.name)
        while len(self._ended) > KEPT:
            self._ended.popitem(last=False)

    def _set_timer(self, record: _Record) -> None:
        if record.timer is not None:
            record.timer.cancel()
        wait = max(0.0, record.deadline - self._monotonic())
        record.timer = asyncio.get_running_loop().call_later(wait, self._ring, record)

    def _ring(self, record: _Record) -> None:
        if self._is_over(record):
            self._spawn(self._end_at_deadline(record))
        else:  # a loop's timers may be a millisecond early
            self._set_timer(record)

    async def _end_at_deadline(self, record: _Record) -> None:
        pause = _AGAIN_S
        while True:
            async with self._lock(record.name):
                # Renewed, replaced or ended while we waited for our turn.
                if self._active.get(record.name) is not record or not self._is_over(record):
                    return
                try:
                    await self._end(record, "deadline")
                    return
                except Exception:
                    logger.exception("a fault is past its time", extra={"fault": record.name})
            await asyncio.sleep(pause)
            pause = min(2 * pause, _AGAIN_AT_MOST_S)

    async def _report(self, record: _Record) -> FaultReport:
        if record.ended is not None:
            return self._told(record, record.evidence)
        return self._told(record, await self._carrier.evidence(record.name))

    def _told(self, record: _Record, evidence: Evidence) -> FaultReport:
        left = record.deadline - self._monotonic()
        over = record.ended is not None
        return FaultReport(
            name=record.name,
            kind=record.order["kind"],
            state="ended" if over else "active",
            boot=self.boot,
            applied=rfc3339(record.applied),
            effective=_written(record.effective or evidence.effective),
            remainingS=0.0 if over else round(max(left, 0.0), 3),
            ended=_written(record.ended),
            endedBy=record.ended_by,
            why=evidence.why,
            hits=evidence.hits,
            firstHit=_written(evidence.first_hit),
            lastHit=_written(evidence.last_hit),
            counts=dict(evidence.counts),
        )

    def _is_over(self, record: _Record) -> bool:
        return self._monotonic() >= record.deadline

    def _lock(self, name: str) -> asyncio.Lock:
        # Weak: nobody's lock is forgotten, whatever names are asked for.
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _same(one: FaultOrder, other: FaultOrder) -> bool:
    """Tell whether two orders ask for the same, however long."""
    return {**one, "forS": 0.0} == {**other, "forS": 0.0}


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
