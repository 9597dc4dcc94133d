"""A server for tests of proxies: it shows the bytes that came, and answers bytes as it is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Answerer = Callable[["Came", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Came:
    """A request of HTTP/1 as it came."""

    head: bytes
    body: bytes
    connection: int  # which of the connections, counted from 0

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def header_lines(self) -> list[str]:
        return self.head.decode().split("\r\n")[1:-2]


@dataclass
class HttpOrigin:
    """Serves HTTP/1.1 on loopback; ends a connection when the client does, or asks for it."""

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    answers: dict[str, bytes | Answerer] = field(default_factory=dict)  # by path
    came: list[Came] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> HttpOrigin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if re.search(rb"expect: 100-continue", head, re.I):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                came = Came(head, await _body(reader, head), number)
                self.came.append(came)
                answer = self.answers.get(came.path, self.answer)
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(came, writer)
                if _is_the_last(head):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # NB: cancelled at the loop's end; a task of streams that was would be logged
        finally:
            self._writers.discard(writer)
            writer.close()


def _is_the_last(head: bytes) -> bool:
    one_of_1_0 = b" HTTP/1.0\r\n" in head
    return one_of_1_0 or re.search(rb"\nconnection: *close\r", head, re.I) is not None


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if found := re.search(rb"content-length: *(\d+)", head, re.I):
        return await reader.readexactly(int(found[1]))
    if re.search(rb"transfer-encoding: *chunked", head, re.I):
        body = b""
        while (line := await reader.readuntil(b"\r\n")) != b"0\r\n":
            body += (await reader.readexactly(int(line, 16) + 2))[:-2]
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return body
    return b""


async def exchange(port: int, request: bytes) -> bytes:
    """Send bytes, and read until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()
