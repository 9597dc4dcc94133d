"""Requests to Envoy go over connections that stay, and over new ones where these have gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from seatrial_runner.gateway.asking import Asking

EMPTY = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nOK\n\r\n0\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK"


class Server:
    """Gives its answers one after another; after an empty one it closes the connection."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.asked: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.answers.pop(0)
                if not answer:
                    return
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def asking(server: Server) -> AsyncIterator[Asking]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        it = Asking(lambda: asyncio.open_connection("127.0.0.1", port))
        yield it
        it.close()


async def test_one_connection_does_for_all_requests() -> None:
    server = Server(EMPTY, CHUNKED, WHOLE, EMPTY)
    async with asking(server) as it:
        statuses = [await it.ask("GET", f"/{number}") for number in range(4)]

    assert (statuses, server.connections) == ([404, 200, 200, 404], 1)
    assert server.asked[3].startswith(b"GET /3 HTTP/1.1\r\n")


async def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    server = Server(EMPTY, b"", WHOLE)
    async with asking(server) as it:
        statuses = [await it.ask("POST", "/"), await it.ask("POST", "/")]

    assert (statuses, server.connections) == ([404, 200], 2)


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"])
async def test_a_new_connection_without_an_answer_is_an_error(answer: bytes) -> None:
    async with asking(Server(answer)) as it:
        with pytest.raises(OSError, match=r"closed|none of HTTP"):
            await it.ask("GET", "/")


async def test_an_answer_that_nobody_waits_for_is_not_taken_for_the_next() -> None:
    server = Server(EMPTY[:20], WHOLE)
    async with asking(server) as it:
        waiting = asyncio.create_task(it.ask("GET", "/"))
        while not server.asked:  # noqa: ASYNC110 - what a played server hears has no event
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await it.ask("GET", "/") == 200

    assert server.connections == 2
