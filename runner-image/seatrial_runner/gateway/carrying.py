"""Everything a worker carries: its listeners, connections and faults."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from time import monotonic

from seatrial.api.control import GatewayDoc
from seatrial.api.names import CHECK_PORTS, PROBE_PORTS

from seatrial_runner.gateway import effects
from seatrial_runner.gateway.board import Board
from seatrial_runner.gateway.connection import Connection
from seatrial_runner.gateway.flow import Crowd
from seatrial_runner.gateway.listener import Listener, address_of
from seatrial_runner.gateway.live import LiveFault, Plan, names_by_address
from seatrial_runner.gateway.reactor import IN, OUT, Reactor

_CONDUCTOR = "conductor"
# How often a connection that waits for a place looks for one.
_LOOK_S = 0.003
_NOBODY: frozenset[str] = frozenset()
_CHUNK = 64 * 1024


class Carrying:
    """One worker's share of the traffic."""

    def __init__(
        self,
        doc: GatewayDoc,
        sockets: list[socket.socket],
        reactor: Reactor,
        board: Board,
        worker: int,
        token: str,
    ) -> None:
        self.reactor = reactor
        self.board = board
        self.token = token
        self.crowd = Crowd()
        self.faults: dict[str, LiveFault] = {}
        self._worker = worker
        self._loads = board.loads()
        self._loads[worker] = 0
        self._listeners = [
            Listener(each, sock, reactor, board, worker, self._accepted)
            for each, sock in zip(doc["listeners"], sockets, strict=True)
        ]
        # With the client's address, and whether it comes from a port of checks.
        self._connections: dict[Connection, tuple[str, bool]] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._waiting: dict[Connection, None] = {}
        self._plans: dict[tuple[tuple[LiveFault, ...], effects.Direction], Plan | None] = {}

    # What the controller says --------------------------------------------------------------------

    def lead(self, upstreams: dict[str, str]) -> None:
        """Tell the addresses of the Services behind; listeners that have one accept."""
        for listener in self._listeners:
            host, port = listener.doc["upstreamHost"], listener.doc["port"]
            if host in upstreams:
                listener.lead_to(address_of(upstreams[host], port))

    def set_sources(self, sources: dict[str, list[str]]) -> None:
        """Tell who is behind which address."""
        self._names = names_by_address(sources)
        for connection, (address, as_check) in self._connections.items():
            if not connection.probe:
                connection.names = self._names.get(address, _NOBODY)
                connection.check = as_check and _CONDUCTOR in connection.names
        self._replan()

    def put(self, fault: LiveFault) -> None:
        """Put a fault into effect in place of the one of its name, live connections included."""
        self.remove(fault.name)
        if fault.deadline <= monotonic():
            return
        self.faults[fault.name] = fault
        fault.timer = self.reactor.at(fault.deadline, lambda: self._ring(fault))
        for listener in self._listeners:
            doc = listener.doc
            sources = fault.sources_on(doc["service"], doc["portName"])
            if sources is not None:
                listener.add(fault, sources)
        self._replan(fault)

    def renew(self, name: str, deadline: float) -> bool:
        """Move the deadline of a fault; tell whether it is there."""
        fault = self.faults.get(name)
        if fault is None:
            return False
        fault.deadline = deadline
        if fault.timer is not None:
            fault.timer.cancel()
        fault.timer = self.reactor.at(deadline, lambda: self._ring(fault))
        return True

    def remove(self, name: str) -> None:
        """End a fault; what it held back goes on."""
        fault = self.faults.pop(name, None)
        if fault is None:
            return
        fault.on = False
        if fault.timer is not None:
            fault.timer.cancel()
        concerned = {listener for listener in self._listeners if fault in listener.faults}
        for listener in concerned:
            listener.remove(fault)
        self._plans = {key: plan for key, plan in self._plans.items() if fault not in key[0]}
        self._replan_on(concerned)
        for connection in self._connections:
            connection.forget(fault)

    def keep_only(self, names: Iterable[str]) -> None:
        """End every fault that is not among these."""
        for name in set(self.faults) - set(names):
            self.remove(name)

    def _ring(self, fault: LiveFault) -> None:
        if self.faults.get(fault.name) is fault and monotonic() >= fault.deadline:
            self.remove(fault.name)

    # What connections ask ------------------------------------------------------------------------

    def faults_of(self, connection: Connection) -> tuple[LiveFault, ...]:
        """Give the faults that a connection meets."""
        return tuple(
            fault
            for fault, sources in connection.listener.faults.items()
            if sources.has(connection.names) and fault.chooses(connection)
        )

    def plan_of(self, faults: tuple[LiveFault, ...], way: effects.Direction) -> Plan | None:
        """Give what these faults do on a way; the same object each time."""
        if not faults:
            return None
        key = (faults, way)
        if key not in self._plans:
            self._plans[key] = Plan.of(faults, way)
        return self._plans[key]

    def wait(self, connection: Connection) -> None:
        """Let a connection advance as soon as there is a place for it."""
        if not self._waiting:
            self.reactor.at(monotonic() + _LOOK_S, self._look_for_places)
        self._waiting[connection] = None

    def over(self, connection: Connection) -> None:
        """Forget a connection."""
        if self._connections.pop(connection, None) is not None:
            self._loads[self._worker] -= 1

    def echo(self) -> socket.socket:
        """Give one end of a connection to somebody who sends everything back."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        _Echo(self.reactor, theirs)
        return ours

    # Inside --------------------------------------------------------------------------------------

    def _accepted(self, listener: Listener, sock: socket.socket, address: str, port: int) -> None:
        names = self._names.get(address, _NOBODY)
        connection = Connection(self, listener, sock, names)
        as_check = port in CHECK_PORTS
        connection.check = as_check and _CONDUCTOR in names
        self._connections[connection] = address, as_check
        self._loads[self._worker] += 1
        connection.begin(may_be_probe=port in PROBE_PORTS and _CONDUCTOR in names)

    def _replan(self, fault: LiveFault | None = None) -> None:
        self._replan_on({each for each in self._listeners if fault is None or fault in each.faults})

    def _replan_on(self, listeners: set[Listener]) -> None:
        for connection in list(self._connections):
            if connection.listener in listeners:
                connection.replan()

    def _look_for_places(self) -> None:
        """Let those who wait advance in their order; behind one that cannot, nobody asks again."""
        full = set()
        for connection in list(self._waiting):
            if connection.full in full:
                continue
            if connection.waits:
                connection.advance()
            if connection.waits:
                full.add(connection.full)
            else:
                del self._waiting[connection]
        if self._waiting:
            self.reactor.at(monotonic() + _LOOK_S, self._look_for_places)


class _Echo:
    """Sends back what comes, at the pace at which it is taken."""

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        self._reactor = reactor
        self._sock = sock
        self._rest = b""
        reactor.watch(sock.fileno(), IN, self._on_event)

    def _on_event(self, events: int) -> None:
        try:
            data = self._rest or self._sock.recv(_CHUNK)
            if not data:
                self._close()
                return
            self._rest = data
            self._rest = data[self._sock.send(data) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        self._reactor.change(self._sock.fileno(), OUT if self._rest else IN)

    def _close(self) -> None:
        self._reactor.forget(self._sock.fileno())
        self._sock.close()
