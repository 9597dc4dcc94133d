"""An event loop whose clock jumps to the next timer, so that no test waits."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import struct
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")

GATE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
# While a forked worker is at work, time passes ten times as fast as in the world: see ``pace``.
_SLICE_S = 0.005
_PACE = 10.0
# The longest that the kernel of a busy machine takes to hand on what was sent on loopback.
_DELIVERY_S = 0.2
_LISTENS = 10


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its ``time`` starts at 0 and moves only when everyone waits."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.set_by_s = 0.0  # the wall clock, by hand
        # Nobody but us is at the other end of our sockets: when nothing has come, nothing will.
        self.alone = False
        # How fast time passes while a forked worker is at work; less where something must not be
        # over before the worker has done its part, however busy the machine is.
        self.pace = _PACE
        selector = _JumpingSelector(self)
        super().__init__(selector)

    def time(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        """The wall clock: 12:00 at the start."""
        return GATE + timedelta(seconds=self.seconds + self.set_by_s)


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop
        self._waited_for: frozenset[Any] = frozenset()

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if (
            len(self.get_map()) > 1 and not self._is_alone()
        ):  # more than the loop's own wake-up pipe: a worker's channel
            pace = self._loop.pace
            step = _SLICE_S if timeout is None else min(_SLICE_S, timeout / pace)
            ready = super().select(step)
            self._loop.seconds += 0.0 if ready else step * pace + 1e-9
            return ready
        underway = self._underway()
        if underway and underway != self._waited_for:
            self._waited_for = underway
            ready = super().select(_DELIVERY_S)
            if ready:
                return ready
        if timeout is None:
            raise AssertionError("everyone waits, and nothing will ever happen")
        # A little more than asked: rounding must not leave the timer a hair's breadth away.
        self._loop.seconds += timeout + 1e-9
        return []

    def _underway(self) -> frozenset[Any]:
        """Find the sockets for which something may be on its way through the kernel.

        The kernel hands over what is sent on loopback at once, or later when the machine is busy:
        then a socket has had less than its other end has sent, or its other end is no more.
        """
        ends = {}
        for key in self.get_map().values():
            with _as_socket(key.fd) as sock:
                if sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM:
                    end = _End.of(sock)
                    ends[end.here, end.there] = end
        return frozenset(
            end
            for (here, there), end in ends.items()
            if end.state != _LISTENS
            and ((there, here) not in ends or ends[there, here].sent > end.received)
        )

    def _is_alone(self) -> bool:
        """Tell whether all that is waited at are the loop's own wake-up pipe and TCP sockets."""
        own = self._loop._ssock.fileno()  # type: ignore[attr-defined]  # nobody says which it is
        fds = [key.fd for key in self.get_map().values()]
        return self._loop.alone and all(fd == own or _is_tcp(fd) for fd in fds)


class _End(NamedTuple):
    """One end of a connection, and how many bytes have gone through it."""

    here: Any
    there: Any
    state: int
    sent: int
    received: int

    @classmethod
    def of(cls, sock: socket.socket) -> _End:
        # struct tcp_info of linux/tcp.h.
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        (received,) = struct.unpack_from("Q", info, 128)
        (sent,) = struct.unpack_from("Q", info, 200)
        try:
            there = sock.getpeername()
        except OSError:
            there = None
        return cls(sock.getsockname(), there, info[0], sent, received)


@contextlib.contextmanager
def _as_socket(fd: int) -> Iterator[socket.socket]:
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def _is_tcp(fd: int) -> bool:
    """Tell a TCP socket from a worker's channel."""
    with _as_socket(fd) as sock:
        return sock.family == socket.AF_INET


def in_virtual_time(course: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(course)


def loop() -> VirtualTimeLoop:
    """The running loop."""
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    return running
