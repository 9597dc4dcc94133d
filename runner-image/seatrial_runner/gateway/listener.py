"""A port that the gateway carries: accepts, and knows where its connections lead."""

from __future__ import annotations

import errno
import itertools
import random
import socket
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from seatrial.api.control import ListenerDoc
from seatrial.api.names import CHECK_PORTS

from seatrial_runner.gateway import effects
from seatrial_runner.gateway.board import Board
from seatrial_runner.gateway.live import LiveFault, Sources
from seatrial_runner.gateway.reactor import IN, Reactor

BACKLOG = 4096
# As many are accepted before others are heard again.
_AT_ONCE = 16
# A worker that has more connections than another leaves it the next one, but no longer than this.
_POLITE_S = 0.001
_CLOSED_S = 0.005

Accepted = Callable[["Listener", socket.socket, str, int], None]
Address = tuple[int, Any]  # family, and what connect takes


class Listener:
    """Accepts the connections of one port, together with the other workers."""

    def __init__(
        self,
        doc: ListenerDoc,
        sock: socket.socket,
        reactor: Reactor,
        board: Board,
        worker: int,
        accepted: Accepted,
    ) -> None:
        self.doc = doc
        self.faults: dict[LiveFault, Sources] = {}
        self._sock = sock
        self._fd = sock.fileno()
        self._reactor = reactor
        self._board = board
        self._loads = board.loads()
        self._worker = worker
        self._accepted = accepted
        self._upstream: Address | None = None
        self._closers: set[LiveFault] = set()
        self._has_waited = False

    def lead_to(self, address: Address) -> None:
        """Carry connections there; begins to accept."""
        begins = self._upstream is None
        self._upstream = address
        if begins and not self._closers:
            self._open()

    def dial(self, names: frozenset[str], *, check: bool) -> tuple[socket.socket, int]:
        """
        Begin to connect to where a client with these names is led.

        Envoy's log, and the agent in a pod, are to tell a check from a client's: it comes from a
        port of checks there, too.

        Returns:
            The socket, and the error number: 0 if it is connected already.
        """
        family, address = self._upstream_of(names)
        ports = _ports_of_checks() if check else iter(())
        while True:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            port = next(ports, None)
            if port is None:
                return sock, sock.connect_ex(address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("", port))
                error = sock.connect_ex(address)
            except OSError as problem:
                error = problem.errno or errno.EADDRINUSE
            if error not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                return sock, error
            sock.close()

    def _upstream_of(self, names: frozenset[str]) -> Address:
        """Give where the connection of a client with these names leads."""
        envoy = self.doc["envoy"]
        if envoy is not None:
            fitting = (port for name, port in envoy["sources"].items() if name in names)
            return socket.AF_INET, ("127.0.0.1", next(fitting, envoy["port"]))
        assert self._upstream is not None
        return self._upstream

    def add(self, fault: LiveFault, sources: Sources) -> None:
        """Let a fault concern connections of this port."""
        self.faults[fault] = sources
        if isinstance(fault.effect, effects.Refuse) and sources.everyone and fault.share >= 1.0:
            self._closers.add(fault)
            self._reactor.closed_ports += 1
            self._close()

    def remove(self, fault: LiveFault) -> None:
        """End that."""
        self.faults.pop(fault, None)
        if fault in self._closers:
            self._closers.discard(fault)
            self._reactor.closed_ports -= 1
            if not self._closers and self._upstream is not None:
                self._open()

    # All workers, and whoever made it, share the socket. Shut down, it refuses for all of them, as
    # if nobody listened; to listen again opens it for all.

    def _close(self) -> None:
        self._reactor.forget(self._fd)
        # NB: a second shutdown, of what no longer listens, would stay: connections would be born
        # with their ends shut when it listens again.
        with self._board.locked():
            if self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                self._sock.shutdown(socket.SHUT_RD)

    def _open(self) -> None:
        self._sock.listen(BACKLOG)
        self._watch()

    def _watch(self) -> None:
        if not self._closers:
            self._reactor.forget(self._fd)
            self._reactor.watch(self._fd, IN, self._on_arrival)

    def _on_arrival(self, events: int) -> None:
        waited, self._has_waited = self._has_waited, False
        if not waited and self._is_ahead():
            self._has_waited = True
            self._pause(_POLITE_S)
            return
        for _ in range(_AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except OSError:
                # Another worker has shut it down, and we shall hear why; or there is no
                # descriptor left.
                self._pause(_CLOSED_S)
                return
            sock.setblocking(False)
            self._accepted(self, sock, plain_address(address[0]), address[1])
            if not waited and self._is_ahead():
                return

    def _is_ahead(self) -> bool:
        """Tell whether this worker has more connections than another one, where that matters."""
        mine = self._loads[self._worker]
        return any(load >= 0 and mine > load + load // 8 for load in self._loads)

    def _pause(self, seconds: float) -> None:
        self._reactor.forget(self._fd)
        self._reactor.at(monotonic() + seconds, self._watch)


def _ports_of_checks() -> Iterator[int]:
    """Give all of them, from any one on."""
    begin = random.randrange(len(CHECK_PORTS))
    return itertools.chain(CHECK_PORTS[begin:], CHECK_PORTS[:begin])


def plain_address(text: str) -> str:
    """Give an address as Kubernetes writes it: IPv4 that came through an IPv6 socket as IPv4."""
    if text.startswith("::ffff:"):
        return text[7:]
    return text


def bind(port: int) -> socket.socket:
    """
    Bind a port for both families, or IPv4 where there is no other; whoever accepts listens.

    Raises:
        OSError: It cannot be had.
    """
    try:
        sock = _bound(socket.AF_INET6, "::", port)
    except OSError:
        sock = _bound(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - for the whole namespace
    return sock


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def address_of(host: str, port: int) -> Address:
    """Give what ``connect`` takes for an address in digits."""
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, port)
