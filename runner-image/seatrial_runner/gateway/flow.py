"""
One way of a connection: what is read at one end is written at the other.

Without a fault nothing is kept: what is read is sent in the same breath, and what the receiver does
not take stops the reading. With faults, pieces wait in a bounded queue for their moment.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum
from time import monotonic
from typing import Protocol

from seatrial_runner.gateway import effects, refusals
from seatrial_runner.gateway.board import Cell
from seatrial_runner.gateway.corruption import Corruption
from seatrial_runner.gateway.live import LiveFault, Met, Plan
from seatrial_runner.gateway.reactor import IN, OUT, Handler, Reactor, Timer

# What is read at once, and so what may wait on a way without a fault. One for the whole process:
# nothing stays in it from one call to the next. Less than the kernel sends in one piece, which is
# 64 KiB with headers: the few bytes that were left would cost as much, and might wait for 40 ms.
_BUFFER = bytearray(60 * 1024)
_VIEW = memoryview(_BUFFER)
# What may wait on a way with faults; less when all ways together hold much.
_MOST = 4 * 1024 * 1024
_MOST_CROWDED = 32 * 1024
_CROWDED = 48 * 1024 * 1024
_LEAST = 4096
# What a piece costs beside its bytes: many small ones must not fill the memory either.
_PIECE_COST = 256
# A limited rate comes in pieces of so many seconds' worth.
_PIECE_S = 0.02
_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: on, no time


class Mark(Enum):
    """What comes after the last byte."""

    END = "end"
    RESET = "reset"


Delays = tuple[tuple[LiveFault, float], ...]
Piece = tuple[bytes | memoryview | Mark, float, Delays]  # what, when it came, who delays it


class Crowd:
    """How much all ways of this process hold back."""

    def __init__(self) -> None:
        self.held = 0


class Owner(Met, Protocol):
    """The connection."""

    def abort(self) -> None:
        """Reset both ends."""

    def finished(self) -> None:
        """Take note that a way is done."""


class End:
    """One end of a connection: a socket, and what is waited for at it."""

    __slots__ = ("_mask", "_reactor", "fd", "handler", "sock", "wants_in", "wants_out")

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        self._reactor = reactor
        self.sock = sock
        self.fd = sock.fileno()
        self.handler: Handler | None = None
        self.wants_in = True
        self.wants_out = False
        self._mask = 0

    def update(self) -> None:
        """
        Wait for what is wanted.

        NB: who wants nothing must not be registered at all, or the kernel would tell without end
        that the peer is gone.
        """
        mask = (IN if self.wants_in else 0) | (OUT if self.wants_out else 0)
        if mask == self._mask:
            return
        if not mask:
            self._reactor.forget(self.fd)
        elif not self._mask:
            assert self.handler is not None
            self._reactor.watch(self.fd, mask, self.handler)
        else:
            self._reactor.change(self.fd, mask)
        self._mask = mask

    def close(self, *, reset: bool) -> None:
        """Close the socket; the peer is told of an error with ``reset``."""
        self._reactor.forget(self.fd)
        if reset and self._reactor.closed_ports:
            moment = refusals.next_resets(monotonic())
            self._reactor.at(moment, lambda: close_socket(self.sock, reset=True))
        else:
            close_socket(self.sock, reset=reset)


def close_socket(sock: socket.socket, *, reset: bool) -> None:
    """Close; with ``reset`` the peer gets a RST instead of a FIN."""
    if reset:
        with contextlib.suppress(OSError):  # it is broken already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    sock.close()


class Flow:
    """One way of a connection."""

    __slots__ = (
        "_corruptions", "_crowd", "_dice", "_end_seen", "_next_send", "_owner", "_plain",
        "_plan", "_queue", "_queued", "_reactor", "_recv_into", "_send", "_sink", "_source",
        "_timer", "_way", "broken", "done",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        way: effects.Direction,
        source: End,
        sink: End,
        reactor: Reactor,
        crowd: Crowd,
    ) -> None:
        self._owner = owner
        self._way = way
        self._source = source
        self._sink = sink
        self._reactor = reactor
        self._crowd = crowd
        self._recv_into: Callable[[bytearray], int] = source.sock.recv_into
        self._send: Callable[[bytes | memoryview], int] = sink.sock.send
        self._plan: Plan | None = None
        self._plain = True  # no plan, nothing waits, no end seen
        self._queue: deque[Piece] = deque()
        self._queued = 0  # bytes, and the cost of pieces
        self._end_seen = False
        self.done = False  # the end has been passed on, or there is nobody to pass it on to
        self.broken = False  # done, because the sink broke
        self._timer: Timer | None = None
        self._next_send = 0.0
        self._dice: dict[LiveFault, random.Random] = {}
        self._corruptions: dict[LiveFault, Corruption] = {}

    # From the reactor ----------------------------------------------------------------------------

    def readable(self) -> None:
        """Something has come, or the source has ended."""
        if not self._plain:
            self._read_with_plan()
            return
        try:
            count = self._recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self._owner.abort()
            return
        if not count:
            self._end(Mark.END)
            return
        try:
            sent = self._send(_VIEW[:count])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._sink_broke()
            return
        if sent != count:
            self._put(bytes(_VIEW[sent:count]), ())
            self._sink.wants_out = True
            self._settle()

    def writable(self) -> None:
        """The sink takes more."""
        self._sink.wants_out = False
        self._pump()

    # From the connection -------------------------------------------------------------------------

    def set_plan(self, plan: Plan | None) -> None:
        """Disturb from now on like this; what waits does so only for faults that are still on."""
        if plan is self._plan or self.done:
            return
        self._plan = plan
        if plan is None or plan.rate is None:
            self._next_send = 0.0
        self._dice = {fault: dice for fault, dice in self._dice.items() if fault.on}
        self._corruptions = {f: each for f, each in self._corruptions.items() if f.on}
        self._pump()

    def close(self) -> None:
        """Forget everything; the connection is over."""
        self.done = True
        self._cancel_timer()
        self._hold(-self._queued)
        self._queue.clear()

    # Inside --------------------------------------------------------------------------------------

    def _read_with_plan(self) -> None:
        plan = self._plan
        if self._end_seen or not self._source.wants_in:
            return
        if plan is not None and plan.holds:
            for fault in plan.holds:
                fault.meets_once(self._owner, Cell.HELD)
            self._source.wants_in = False
            self._source.update()
            return
        room = self._limit() - self._queued
        if room <= 0:
            self._settle()
            return
        try:
            count = self._source.sock.recv_into(_BUFFER, min(room, len(_BUFFER)))
        except BlockingIOError:
            return
        except OSError:
            self._end(Mark.RESET)
            return
        if not count:
            self._end(Mark.END)
            return
        data = bytes(_VIEW[:count])
        if plan is None:
            self._put(data, ())
        elif plan.drops:
            for fault in plan.drops:
                fault.meets(self._owner, Cell.DROPPED, count)
            return
        else:
            self._put(self._corrupted(plan, data), self._draw(plan, count))
        self._pump()

    def _end(self, mark: Mark) -> None:
        """The source has ended: pass that on in its turn."""
        self._end_seen = True
        plan = self._plan
        delays: Delays = ()
        if plan is not None:
            for fault in plan.closes:
                fault.meets(self._owner, Cell.CLOSES)
            delays = self._draw(plan, 0)
            delays += tuple((fault, _close_s(fault)) for fault in plan.closes)
        self._put(mark, delays)
        self._pump()

    def _put(self, what: bytes | Mark, delays: Delays) -> None:
        if not isinstance(what, Mark):
            self._hold(len(what) + _PIECE_COST)
        self._queue.append((what, monotonic(), delays))

    def _hold(self, amount: int) -> None:
        self._queued += amount
        self._crowd.held += amount

    def _draw(self, plan: Plan, count: int) -> Delays:
        """Draw how long each fault delays what has just come."""
        drawn = []
        for fault in plan.delays:
            effect = fault.effect
            assert isinstance(effect, effects.Latency)
            if count:
                fault.meets(self._owner, Cell.DELAYED, count)
            if not effect.needs_chance:
                drawn.append((fault, effect.delay_s))
                continue
            dice = self._dice.get(fault)
            if dice is None:
                dice = self._dice[fault] = fault.chance(self._owner, self._way)
            drawn.append((fault, effect.draw(dice)))
        return tuple(drawn)

    def _corrupted(self, plan: Plan, data: bytes) -> bytes:
        for fault in plan.corrupts:
            corruption = self._corruptions.get(fault)
            if corruption is None:
                effect = fault.effect
                assert isinstance(effect, effects.Corrupt)
                chance = fault.chance(self._owner, self._way)
                corruption = self._corruptions[fault] = Corruption(effect.share, chance)
            data, count = corruption.apply(data)
            if count:
                fault.meets(self._owner, Cell.CORRUPTED, count)
        return data

    def _pump(self) -> None:
        """Send what is due, and wait for the rest."""
        self._cancel_timer()
        plan, queue = self._plan, self._queue
        while queue and not self._sink.wants_out:
            if plan is not None and plan.holds:
                break
            what, came, delays = queue[0]
            due = came + sum(seconds for fault, seconds in delays if fault.on)
            if not isinstance(what, Mark):
                due = max(due, self._next_send)
            if due > monotonic():
                self._timer = self._reactor.at(due, self._pump)
                break
            if isinstance(what, Mark):
                if plan is not None and plan.drops:
                    break  # the end vanishes too; it is seen when the fault is over
                queue.popleft()
                self._pass_on(what)
                return
            if not self._send_piece(what, came, delays):
                return
        self._settle()

    def _send_piece(self, what: bytes | memoryview, came: float, delays: Delays) -> bool:
        """Send the first of the queue, or a part of it; tell whether the sink is still there."""
        plan = self._plan
        piece = what
        if plan is not None and plan.rate is not None:
            piece = memoryview(what)[: max(1, int(plan.rate * _PIECE_S))]
        try:
            sent = self._send(piece)
        except BlockingIOError:
            self._sink.wants_out = True
            return True
        except OSError:
            self._sink_broke()
            return False
        self._hold(-sent)
        if sent == len(what):
            self._queue.popleft()
            self._hold(-_PIECE_COST)
        else:
            self._queue[0] = (memoryview(what)[sent:], came, delays)
        if sent < len(piece):
            self._sink.wants_out = True
        if plan is not None and plan.rate is not None:
            self._next_send = max(monotonic(), self._next_send) + sent / plan.rate
            for fault in plan.paces:
                fault.meets(self._owner, Cell.PACED, sent)
        return True

    def _pass_on(self, mark: Mark) -> None:
        self.done = True
        if mark is Mark.RESET:
            self._owner.abort()
            return
        with contextlib.suppress(OSError):  # it has gone; the other way will see how
            self._sink.sock.shutdown(socket.SHUT_WR)
        self._settle()
        self._owner.finished()

    def _sink_broke(self) -> None:
        """
        Nobody takes what comes: take no more of it.

        What the receiver had sent before it went may still be on its way; the other way passes that
        on, and then what ended it.
        """
        self.close()
        self.broken = True
        self._end_seen = True
        self._sink.wants_out = False
        self._settle()
        self._owner.finished()

    def _limit(self) -> int:
        plan = self._plan
        if plan is None:
            return 0 if self._queue else len(_BUFFER)
        most = _MOST if self._crowd.held < _CROWDED else _MOST_CROWDED
        if plan.rate is None:
            return most
        return min(most, max(_LEAST, int(plan.rate * (plan.delay_s + 5 * _PIECE_S))))

    def _settle(self) -> None:
        """Wait at both ends for what can be gone on with."""
        plan = self._plan
        self._plain = plan is None and not self._queue and not self._end_seen
        self._source.wants_in = not self._end_seen and self._queued < self._limit()
        self._source.update()
        self._sink.update()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _close_s(fault: LiveFault) -> float:
    assert isinstance(fault.effect, effects.SlowClose)
    return fault.effect.delay_s
