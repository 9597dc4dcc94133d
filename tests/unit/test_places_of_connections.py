"""One peer that holds connections open keeps nobody else from a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from seatrial_runner.httpserver import HttpServer, Request, exchange, places

HOSTILE, ANOTHER, GOOD = "127.0.0.2", "127.0.0.3", "127.0.0.4"
HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Place:
    """A server, and the connections that tests have opened to it."""

    def __init__(self, port: int, slow: asyncio.Semaphore, answered: asyncio.Event) -> None:
        self.slow = slow  # released with each slow request that has come
        self.answered = answered
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self, peer: str, sends: bytes = b"") -> Stream:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(peer, 0)
        )
        self._writers.append(writer)
        writer.write(sends)
        await writer.drain()
        return reader, writer

    async def asks(self, peer: str) -> bytes:
        """Send a request; give the first line of the answer, or nothing if there is none."""
        reader, _ = await self.connect(peer, HEAD)
        return await first_line(reader)

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def first_line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(20):
            return (await reader.readline()).strip()
    except ConnectionError:
        return b""


async def is_over(stream: Stream) -> bool:
    return await first_line(stream[0]) == b""


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    slow, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def handle(request: Request) -> dict[str, Any]:
        if request.path == ("slow",):
            slow.release()
            await go_on.wait()
        return {}

    server = HttpServer(handle)
    place = Place(await server.start("127.0.0.1", 0), slow, go_on)
    yield place
    place.close()
    await server.stop()


async def test_a_peer_has_no_more_than_its_share(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MAX_OF_A_PEER", 5)
    held = [await place.connect(HOSTILE) for _ in range(5)]
    assert await place.asks(HOSTILE) == b""
    assert await place.asks(GOOD) == b"HTTP/1.1 200"
    held[0][1].transport.abort()
    async with asyncio.timeout(20):
        while await place.asks(HOSTILE) != b"HTTP/1.1 200":
            pass


async def test_when_all_places_are_taken_who_has_most_gives_one_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MAX_CONNECTIONS", 6)
    held = [await place.connect(HOSTILE, b"GET / HT") for _ in range(4)]
    others = [await place.connect(ANOTHER) for _ in range(2)]
    assert await place.asks(GOOD) == b"HTTP/1.1 200"
    assert await is_over(held[0])
    others[1][1].write(HEAD)
    assert await first_line(others[1][0]) == b"HTTP/1.1 200"


async def test_who_is_being_answered_keeps_its_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MAX_CONNECTIONS", 3)
    slow = [await place.connect(HOSTILE, HEAD.replace(b"/", b"/slow", 1)) for _ in range(2)]
    async with asyncio.timeout(20):
        for _ in slow:
            await place.slow.acquire()
    waiting = await place.connect(HOSTILE)
    assert await place.asks(GOOD) == b"HTTP/1.1 200"
    assert await is_over(waiting)
    place.answered.set()
    assert [await first_line(reader) for reader, _ in slow] == [b"HTTP/1.1 200"] * 2


async def test_a_head_that_drips_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_HEAD_S", 0.1)
    reader, writer = await place.connect(HOSTILE)

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    assert await first_line(reader) == b""
    dripping.cancel()


async def test_who_says_nothing_at_all_is_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_HEAD_S", 0.1)
    assert await is_over(await place.connect(HOSTILE))


async def test_between_requests_there_is_more_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await place.connect(GOOD, HEAD)
    assert await first_line(reader) == b"HTTP/1.1 200"
    while await reader.readline() != b"\r\n":
        pass
    assert await reader.read(2) == b"{}"
    monkeypatch.setattr(exchange, "_HEAD_S", 0.0)
    for _ in range(50):
        await asyncio.sleep(0)
    monkeypatch.setattr(exchange, "_HEAD_S", 10.0)
    writer.write(HEAD)
    assert await first_line(reader) == b"HTTP/1.1 200"
