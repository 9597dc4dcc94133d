"""Accepts connections, and answers what comes with them as a handler says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from seatrial_runner.httpserver.exchange import Exchange
from seatrial_runner.httpserver.messages import Handler
from seatrial_runner.httpserver.places import Places
from seatrial_runner.httpserver.room import Room

MAX_BODY = 8 * 1024 * 1024


class HttpServer:
    """Answers each request as ``handler`` says, JSON or a Reply; never with a traceback."""

    def __init__(
        self,
        handler: Handler,
        admits: Callable[[str], bool] = lambda _: True,
        *,
        max_body: int = MAX_BODY,
    ) -> None:
        """
        Make a server.

        Args:
            handler: Answers a request, or raises ProblemError.
            admits: Whether the body of a request with this Authorization is to be read at all.
                Whoever has no token must not fill our memory.
            max_body: Bytes of a body; a longer one is answered with 400.
        """
        self._handler = handler
        self._admits = admits
        self._max_body = max_body
        self._room = Room()
        self._places = Places()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; give the port."""
        return self._started(await asyncio.start_server(self._accept, host, port))

    async def start_on(self, listening: socket.socket) -> int:
        """Serve a socket that somebody else has bound; give the port."""
        return self._started(await asyncio.start_server(self._accept, sock=listening))

    def _started(self, server: asyncio.Server) -> int:
        self._server = server
        if self._server.sockets[0].family is socket.AF_UNIX:
            return 0
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def finish(self, at_most_s: float) -> None:
        """Wait until what has come is answered, but no longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._room.idle.wait()

    async def stop(self) -> None:
        """Stop listening, and end what is still being answered."""
        if self._server is not None:
            self._server.close()
        await self._places.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        exchange = Exchange(reader, writer, self._handler, self._admits, self._max_body, self._room)
        try:
            if self._places.take(task, _peer(writer), exchange):
                await exchange.serve()
        except (OSError, asyncio.CancelledError):
            pass  # the client is gone or too slow, has lost its place, or we are stopping
        finally:
            self._places.give_back(task)
            writer.transport.abort()


def _peer(writer: asyncio.StreamWriter) -> str:
    """Give the address of who called; empty for a socket of this machine."""
    name = writer.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""
