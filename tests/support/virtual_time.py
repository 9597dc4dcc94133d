"""An event loop whose clock jumps to the next timer, so that no test waits."""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

Result = TypeVar("Result")

GATE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
# While a forked worker is at work, time passes ten times as fast as in the world.
_SLICE_S = 0.005
_PACE = 10


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its ``time`` starts at 0 and moves only when everyone waits."""

    def __init__(self) -> None:
        self.seconds = 0.0
        # Nobody but us is at the other end of our sockets: when nothing has come, nothing will.
        self.alone = False
        selector = _JumpingSelector(self)
        super().__init__(selector)

    def time(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        """The wall clock: 12:00 at the start."""
        return GATE + timedelta(seconds=self.seconds)


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if (
            len(self.get_map()) > 1 and not self._is_alone()
        ):  # more than the loop's own wake-up pipe: a worker's channel
            step = _SLICE_S if timeout is None else min(_SLICE_S, timeout / _PACE)
            ready = super().select(step)
            self._loop.seconds += 0.0 if ready else step * _PACE + 1e-9
            return ready
        if timeout is None:
            raise AssertionError("everyone waits, and nothing will ever happen")
        # A little more than asked: rounding must not leave the timer a hair's breadth away.
        self._loop.seconds += timeout + 1e-9
        return []

    def _is_alone(self) -> bool:
        """Tell whether all that is waited at are the loop's own wake-up pipe and TCP sockets."""
        own = self._loop._ssock.fileno()  # type: ignore[attr-defined]  # nobody says which it is
        fds = [key.fd for key in self.get_map().values()]
        return self._loop.alone and all(fd == own or _is_tcp(fd) for fd in fds)


def _is_tcp(fd: int) -> bool:
    """Tell a TCP socket from a worker's channel."""
    sock = socket.socket(fileno=fd)
    try:
        return sock.family == socket.AF_INET
    finally:
        sock.detach()


def in_virtual_time(course: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(course)


def loop() -> VirtualTimeLoop:
    """The running loop."""
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    return running
