"""The server of the control interface: everything around a carrier."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from time import monotonic

from seatrial_runner import clock
from seatrial_runner.control.carrier import Carrier
from seatrial_runner.control.ledger import Ledger
from seatrial_runner.control.routes import Routes, TakeSources
from seatrial_runner.httpserver import HttpServer

_MAX_BODY = 1024 * 1024


def _is_ready() -> str:
    return ""


class ControlServer:
    """Serves the control interface for a carrier."""

    def __init__(
        self,
        carrier: Carrier,
        token: str,
        *,
        ready: Callable[[], str] = _is_ready,
        take_sources: TakeSources | None = None,
    ) -> None:
        """
        Make a server.

        Args:
            carrier: Carries the orders out.
            token: What a client must know; at least 16 characters.
            ready: Gives an empty text, or why ``/healthz`` is to say 503.
            take_sources: Is told who is behind which address; the gateway's.

        Raises:
            ValueError: The token is too short: one that was forgotten must not open the door.
        """
        if len(token) < 16:
            raise ValueError("the token of the control interface has fewer than 16 characters")
        self.boot = secrets.token_hex(8)
        self._ledger = Ledger(carrier, boot=self.boot, now=clock.now, monotonic=monotonic)
        routes = Routes(token, self._ledger, carrier, ready=ready, take_sources=take_sources)
        self._http = HttpServer(routes, routes.admits, max_body=_MAX_BODY)

    async def start(self, host: str, port: int) -> int:
        """Listen; give the port."""
        return await self._http.start(host, port)

    async def start_on(self, listening: socket.socket) -> int:
        """Serve a socket that somebody else has bound; give the port."""
        return await self._http.start_on(listening)

    async def end_all(self) -> None:
        """
        End every fault.

        Raises:
            ExceptionGroup: Of FaultErrors; these may still be there.
        """
        await self._ledger.delete_all()

    async def lost(self, name: str) -> None:
        """Note that a fault has ended early, because what carried it out is gone."""
        await self._ledger.lost(name)

    async def stop(self) -> None:
        """Stop serving and keeping deadlines. What is still in effect stays so: see ``end_all``."""
        await self._http.stop()
        await self._ledger.close()
