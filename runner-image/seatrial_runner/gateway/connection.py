"""A connection that the gateway carries: from the client's arrival to the end of both ways."""

from __future__ import annotations

import errno
import hmac
import socket
from collections.abc import Callable
from enum import IntEnum
from time import monotonic
from typing import TYPE_CHECKING

from seatrial_runner.gateway import effects
from seatrial_runner.gateway.board import Cell
from seatrial_runner.gateway.flow import End, Flow
from seatrial_runner.gateway.live import LiveFault
from seatrial_runner.gateway.probes import Greeting, read_greeting
from seatrial_runner.gateway.reactor import GONE, IN, OUT, Timer

if TYPE_CHECKING:
    from seatrial_runner.gateway.carrying import Carrying
    from seatrial_runner.gateway.listener import Listener

CONNECT_S = 10.0
_GREETING_S = 10.0
_PEEKED = 512


class Stage(IntEnum):
    """How far a connection has come."""

    GREETING = 0  # it may be a probe: what it says first will tell
    ARRIVED = 1  # it may have to wait before it is connected to the service
    CONNECTING = 2
    OPEN = 3
    OVER = 4


class Connection:
    """One connection of a client, and the one to the service behind it."""

    __slots__ = (
        "_born", "_carrying", "_client", "_faults", "_resets", "_service", "_timer", "check",
        "full", "listener", "met", "names", "places", "probe", "request", "response", "stage",
        "tickets", "to_envoy",
    )  # fmt: skip

    def __init__(
        self, carrying: Carrying, listener: Listener, sock: socket.socket, names: frozenset[str]
    ) -> None:
        self._carrying = carrying
        self.listener = listener
        self.names = names
        self.probe = False
        self.check = False  # of the conductor: it meets faults, and is not counted
        self.to_envoy = False  # of a probe: it asks Envoy, not us
        self.stage = Stage.ARRIVED
        self.met: set[LiveFault] = set()
        self.tickets: dict[LiveFault, int] = {}
        self.places: dict[LiveFault, Cell] = {}  # of connection limits
        self.full: LiveFault | None = None  # the limit that it waits for
        self.request: Flow | None = None
        self.response: Flow | None = None
        self._born = monotonic()
        self._client = End(carrying.reactor, sock)
        self._service: End | None = None
        self._faults: tuple[LiveFault, ...] = ()
        self._resets: dict[LiveFault, Timer] = {}
        self._timer: Timer | None = None

    # Arrival -------------------------------------------------------------------------------------

    def begin(self, *, may_be_probe: bool) -> None:
        """Go as far as the faults let it."""
        if may_be_probe:
            self.stage = Stage.GREETING
            self._carrying.reactor.watch(self._client.fd, IN, self._on_greeting)
            self._set_timer(_GREETING_S, self.close)
            return
        if self.listener.faults:
            self.replan()
        if self.stage is Stage.ARRIVED:
            self.advance()

    def _on_greeting(self, events: int) -> None:
        try:
            seen = self._client.sock.recv(_PEEKED, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        greeting = read_greeting(seen)
        reactor = self._carrying.reactor
        if greeting is Greeting.INCOMPLETE and seen:
            # What has been seen stays readable: look again a little later, not at once.
            reactor.forget(self._client.fd)
            again = monotonic() + 0.005
            reactor.at(again, self._watch_greeting)
            return
        reactor.forget(self._client.fd)
        self._cancel_timer()
        if not isinstance(greeting, Greeting):
            if not hmac.compare_digest(greeting.token.encode(), self._carrying.token.encode()):
                self.abort()
                return
            self._client.sock.recv(greeting.length)
            self.probe = True
            self.to_envoy = greeting.to_envoy
            self.names = frozenset((greeting.source,))
        self.stage = Stage.ARRIVED
        self.begin(may_be_probe=False)

    def _watch_greeting(self) -> None:
        if self.stage is Stage.GREETING:
            self._carrying.reactor.watch(self._client.fd, IN, self._on_greeting)

    # Faults --------------------------------------------------------------------------------------

    def replan(self) -> None:
        """Look which faults concern it now."""
        if self.stage in (Stage.GREETING, Stage.OVER):
            return
        faults = self._carrying.faults_of(self)
        if faults == self._faults:
            return
        before, self._faults = self._faults, faults
        for fault in before:
            if fault not in faults:
                self._leave(fault)
        for fault in faults:
            if fault not in before:
                self._enter(fault)
            if self.over:
                return
        if self.request is not None and self.response is not None:
            self.request.set_plan(self._carrying.plan_of(faults, "request"))
            self.response.set_plan(self._carrying.plan_of(faults, "response"))
        elif self.stage is Stage.ARRIVED:
            self.advance()

    def _enter(self, fault: LiveFault) -> None:
        match fault.effect:
            case effects.Reset(after_s):
                when = self._born + after_s
                if when <= monotonic():
                    self._reset_by(fault)
                else:
                    reactor = self._carrying.reactor
                    self._resets[fault] = reactor.at(when, lambda: self._reset_by(fault))
            case effects.ConnectionLimit() if self.stage > Stage.ARRIVED:
                # It is open: it holds a place, whether there was one or not.
                cell = self._place_cell
                fault.cells[cell] += 1
                self.places[fault] = cell

    def _leave(self, fault: LiveFault) -> None:
        if timer := self._resets.pop(fault, None):
            timer.cancel()
        if cell := self.places.pop(fault, None):
            fault.cells[cell] -= 1

    def forget(self, fault: LiveFault) -> None:
        """Keep nothing of a fault that is over, whether it has hit this connection or not."""
        self.met.discard(fault)
        self.tickets.pop(fault, None)

    def _reset_by(self, fault: LiveFault) -> None:
        fault.meets(self, Cell.RESET)
        self.abort()

    @property
    def _place_cell(self) -> Cell:
        return Cell.PROBES if self.probe else Cell.OPEN

    @property
    def over(self) -> bool:
        """Tell whether it has ended."""
        return self.stage is Stage.OVER

    @property
    def waits(self) -> bool:
        """Tell whether it waits for a place."""
        return self.stage is Stage.ARRIVED and self.full is not None

    # On the way to the service -------------------------------------------------------------------

    def advance(self) -> None:
        """Connect to the service, if no fault is in the way."""
        held = False
        for fault in self._faults:
            match fault.effect:
                case effects.Refuse():
                    fault.meets(self, Cell.REFUSED)
                    self.abort()
                    return
                case effects.ConnectionLimit(most):
                    if not self._has_place(fault, most):
                        self._wait_for_place(fault)
                        return
                case effects.Partition():
                    fault.meets_once(self, Cell.HELD)
                    held = True
        self.full = None
        if held:
            self._watch_for_leaving()
        else:
            self._connect()

    def _has_place(self, fault: LiveFault, most: int) -> bool:
        if fault in self.places:
            return True
        board = self._carrying.board
        # A probe waits where anybody would, and for other probes, but takes nobody's place.
        if board.total(fault.slot, Cell.OPEN) >= most:
            return False
        cell = self._place_cell
        if not board.take_place(fault.slot, fault.worker, cell, most):
            return False
        self.places[fault] = cell
        return True

    def _wait_for_place(self, fault: LiveFault) -> None:
        if self.full is None:
            self._watch_for_leaving()
            fault.meets_once(self, Cell.WAITED)
            self._carrying.wait(self)
        self.full = fault

    def _watch_for_leaving(self) -> None:
        """A client that has gone while it waited must not be carried to the service."""
        reactor, fd = self._carrying.reactor, self._client.fd
        reactor.forget(fd)
        reactor.watch(fd, GONE, self._on_leaving)

    def _on_leaving(self, events: int) -> None:
        try:
            if self._client.sock.recv(1, socket.MSG_PEEK):
                # It has said all it has to say, and waits for an answer.
                self._carrying.reactor.forget(self._client.fd)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    def _connect(self) -> None:
        self._carrying.reactor.forget(self._client.fd)
        self.stage = Stage.CONNECTING
        if self.probe and not self.to_envoy:
            self._open(self._carrying.echo())
            return
        if self.probe and self.listener.doc["envoy"] is None:
            self.abort()  # a probe must never reach the service
            return
        try:
            sock, error = self.listener.dial(self.names, check=self.check)
        except OSError:
            self.abort()  # there is no descriptor left
            return
        self._service = End(self._carrying.reactor, sock)
        if error == errno.EINPROGRESS:
            self._carrying.reactor.watch(sock.fileno(), OUT, self._on_connected)
            self._set_timer(CONNECT_S, self.abort)
        elif error:
            self.abort()
        else:
            self._open(sock)

    def _on_connected(self, events: int) -> None:
        assert self._service is not None
        sock = self._service.sock
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.abort()  # the client sees a reset, as near as we can come to a refusal
            return
        try:
            sock.getpeername()
        except OSError:
            return  # called for nothing: it is not connected yet
        self._carrying.reactor.forget(sock.fileno())
        self._cancel_timer()
        self._open(sock)

    def _open(self, sock: socket.socket) -> None:
        carrying = self._carrying
        client, service = self._client, End(carrying.reactor, sock)
        self._service = service
        self.stage = Stage.OPEN
        request = Flow(self, "request", client, service, carrying.reactor, carrying.crowd)
        response = Flow(self, "response", service, client, carrying.reactor, carrying.crowd)
        self.request, self.response = request, response
        client.handler = _handler(request, response)
        service.handler = _handler(response, request)
        client.update()
        service.update()
        if self._faults:
            request.set_plan(carrying.plan_of(self._faults, "request"))
            response.set_plan(carrying.plan_of(self._faults, "response"))

    # The end -------------------------------------------------------------------------------------

    def finished(self) -> None:
        """One way is done; close when both are."""
        request, response = self.request, self.response
        assert request is not None
        assert response is not None
        if request.done and response.done and self.stage is not Stage.OVER:
            self._over(reset=request.broken or response.broken)

    def abort(self) -> None:
        """Reset both ends at once."""
        self._over(reset=True)

    def close(self) -> None:
        """Close both ends at once."""
        self._over(reset=False)

    def _over(self, *, reset: bool) -> None:
        if self.stage is Stage.OVER:
            return
        self.stage = Stage.OVER
        self._cancel_timer()
        for fault in self._faults:
            self._leave(fault)
        for flow in (self.request, self.response):
            if flow is not None:
                flow.close()
        self._client.close(reset=reset)
        if self._service is not None:
            self._service.close(reset=reset)
        self._carrying.over(self)

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer = self._carrying.reactor.at(monotonic() + seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _handler(reads: Flow, writes: Flow) -> Callable[[int], None]:
    """Make what the reactor calls for an end at which one way begins and the other ends."""
    readable, writable = reads.readable, writes.writable

    def handle(events: int) -> None:
        if events & ~OUT:
            readable()
        if events & OUT:
            writable()

    return handle
