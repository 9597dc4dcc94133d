"""
The loop of a worker: file descriptors and timers, and nothing else.

Not asyncio: a worker is forked by the handful, and must cost little memory and start in a moment;
what its transports would do for us, buffering, is what must not happen here.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import select
from collections.abc import Callable
from time import monotonic

logger = logging.getLogger("seatrial.gateway")

IN = select.EPOLLIN
OUT = select.EPOLLOUT
GONE = select.EPOLLRDHUP  # the peer has closed its direction, or all

Handler = Callable[[int], None]
_FOREVER_S = 60.0
_TIDY_AT = 1024


class Timer:
    """Something that is to be called at a moment."""

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Forget it; more than once is no harm."""
        self.call = None


class Reactor:
    """Calls who waits for a file descriptor or a moment."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._number = itertools.count()
        self._tidy_at = _TIDY_AT
        self._stopped = False
        self.closed_ports = 0  # while there are any, connections are broken together: see refusals

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """
        Call ``handler`` with the events of a file descriptor.

        NB: it may also be called for nothing: in one round, a descriptor may be closed, and its
        number given to another. Whoever is called finds out by trying.
        """
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Wait for other events; one that is watched already."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Watch it no more; before it is closed. One that is not watched is no error."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, when: float, call: Callable[[], None]) -> Timer:
        """Call at a moment of ``time.monotonic``, or in the next round if it has passed."""
        timer = Timer(when, call)
        if len(self._timers) > self._tidy_at:
            self._forget_cancelled()
        heapq.heappush(self._timers, (when, next(self._number), timer))
        return timer

    def _forget_cancelled(self) -> None:
        """Most timers are for what hardly ever happens, far ahead, and are cancelled at once."""
        self._timers = [entry for entry in self._timers if entry[2].call is not None]
        heapq.heapify(self._timers)
        self._tidy_at = max(_TIDY_AT, 2 * len(self._timers))

    def stop(self) -> None:
        """End ``run`` after this round."""
        self._stopped = True

    def run(self) -> None:
        """Go on until ``stop``. What a handler raises is logged, and ends nobody else."""
        poll, handlers = self._epoll.poll, self._handlers
        while not self._stopped:
            for fd, events in poll(self._wait_s()):
                handler = handlers.get(fd)
                if handler is not None:
                    try:
                        handler(events)
                    except Exception:
                        logger.exception("a handler failed", extra={"fd": fd})
            if self._timers:
                self._call_timers()
        self._epoll.close()

    def _wait_s(self) -> float:
        timers = self._timers
        while timers and timers[0][2].call is None:
            heapq.heappop(timers)
        if not timers:
            return _FOREVER_S
        return max(0.0, timers[0][0] - monotonic())

    def _call_timers(self) -> None:
        now = monotonic()
        due = []
        # Only those that are due now: one that sets itself again must not keep us here.
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            call, timer.call = timer.call, None
            if call is not None:
                try:
                    call()
                except Exception:
                    logger.exception("a timer failed")
