"""One HTTP/1.1 connection of a client: h11 over an asyncio stream."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    import ssl

_CHUNK = 64 * 1024
# A peer that is gone without a word (its node, or a translation of addresses in between, has
# forgotten us) is found out after 25 s: whoever only listens, as a watch does, would never know.
_KEPT_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
# A list of all pods of a big run is some MiB; more than this is no answer to us.
MAX_BODY = 64 * 1024 * 1024


@dataclass(frozen=True)
class Address:
    """Where a server is. ``host`` is an IP address wherever threads must not start (see fork)."""

    host: str
    port: int
    tls: ssl.SSLContext | None


@dataclass(frozen=True)
class Response:
    """Status and headers of an answer; its body is read from the connection."""

    status: int
    date: str = ""  # the server's time, as the header has it


class Connection:
    """
    A connection that carries one exchange after another.

    Raises:
        OSError: It could not be opened, or broke.
        EOFError: The server closed it in the middle, or sent what is no HTTP.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h11 = h11.Connection(our_role=h11.CLIENT)

    @classmethod
    async def open(cls, address: Address) -> Connection:
        """Connect, with TLS if the address has a context."""
        streams = await asyncio.open_connection(address.host, address.port, ssl=address.tls)
        for option in _KEPT_ALIVE:
            streams[1].get_extra_info("socket").setsockopt(*option)
        return cls(*streams)

    async def send(
        self, method: str, target: str, headers: list[tuple[str, str]], content: bytes
    ) -> Response:
        """Send a request and give the head of its answer."""
        out = self._h11.send(h11.Request(method=method, target=target, headers=headers)) or b""
        if content:
            out += self._h11.send(h11.Data(data=content)) or b""
        out += self._h11.send(h11.EndOfMessage()) or b""
        self._writer.write(out)
        await self._writer.drain()
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                dates = [value.decode("ascii") for name, value in event.headers if name == b"date"]
                return Response(event.status_code, "".join(dates[:1]))

    async def read_all(self, most: int = MAX_BODY) -> bytes:
        """Give the body of the answer; EOFError if it is longer."""
        body = bytearray()
        async for data in self._data():
            body += data
            if len(body) > most:
                raise EOFError(f"the answer is longer than {most} bytes")
        return bytes(body)

    async def lines(self) -> AsyncIterator[bytes]:
        """Give the lines of the body as they come."""
        rest = b""
        async for data in self._data():
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                if line:
                    yield line
            if len(rest) > MAX_BODY:
                raise EOFError(f"a line is longer than {MAX_BODY} bytes")

    def reusable(self) -> bool:
        """Make ready for the next exchange; False if the server will not have one."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return self.alive()

    def alive(self) -> bool:
        """Tell whether the server has not closed it, as far as is known."""
        return not self._reader.at_eof()

    def close(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    async def _data(self) -> AsyncIterator[bytes]:
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)

    async def _event(self) -> h11.Event:
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                self._h11.receive_data(await self._reader.read(_CHUNK))
        except h11.RemoteProtocolError as error:
            raise EOFError(str(error)) from error
        if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            raise EOFError("the server closed the connection")
        assert not isinstance(event, type)
        return event
