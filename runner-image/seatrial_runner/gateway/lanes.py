"""
Lanes: how ``delay`` and ``rate`` hold up single requests, and let go of them when the fault ends.

Envoy's own delays and rates cannot be called back: a request that began in the fault's last moment
would be held long after its end. So the routes of these faults lead, by a socket in the directory
that Envoy shares with us, through this process, with a connection for each request.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seatrial.api.control import ListenerDoc

_CHUNK = 64 * 1024
_SMALL = 256
# At a low rate a response trickles: so many pieces a second.
_PIECES_PER_S = 20
_CONNECT_S = 150.0
_PROBE_BODY = b"x" * 1024
_PROBE_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(
    _PROBE_BODY
)


@dataclass
class Hold:
    """What a fault does to its requests while it is on."""

    delay_s: float = 0.0
    rate: float | None = None  # bytes per second of the response
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, seconds: float) -> None:
        """Wait so long, and no longer than the fault lasts."""
        if not self.over.is_set() and seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), seconds)


class _FromEnvoy(asyncio.StreamReader):
    """
    What Envoy sends down a lane.

    Envoy never closes one direction only: when it ends, the client has given up.
    """

    def __init__(self) -> None:
        # A small limit, because what has been read is on its way; the rest waits in Envoy.
        super().__init__(limit=_CHUNK)
        self.given_up = asyncio.Event()

    def feed_eof(self) -> None:
        """Note the end; what has come before can still be read."""
        self.given_up.set()
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        """Note the end."""
        self.given_up.set()
        super().set_exception(exc)


class Lanes:
    """
    The lanes of one fault: a socket for each port that the gateway carries, and one for probes.

    They stay open when the fault has ended, and then hold up nothing: a request that Envoy has sent
    here in the last moment must get through.
    """

    def __init__(self, fault: str, listeners: list[ListenerDoc], directory: Path) -> None:
        self._fault = fault
        self._listeners = listeners
        self._directory = directory
        self._servers: list[asyncio.Server] = []
        self._addresses: dict[str, str] = {}
        self._hold = Hold()
        self._hold.over.set()

    async def open(self, hold: Hold) -> None:
        """Hold requests up from now on."""
        self._hold = hold
        if self._servers:
            return
        for doc in self._listeners:
            target = (doc["upstreamHost"], doc["port"])
            await self._serve(str(doc["listen"]), target)
        await self._serve("probe", None)

    def let_go(self) -> None:
        """End the fault: whatever is held up goes on."""
        self._hold.over.set()

    async def close(self) -> None:
        """Stop serving."""
        self.let_go()
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def _serve(self, name: str, target: tuple[str, int] | None) -> None:
        path = self._directory / f"{self._fault}.{name}.sock"
        path.unlink(missing_ok=True)  # of a gateway before us

        def connected() -> asyncio.StreamReaderProtocol:
            reader = _FromEnvoy()

            async def carry(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._carry(reader, writer, target)

            return asyncio.StreamReaderProtocol(reader, carry)

        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(connected, str(path)))

    async def _carry(
        self, reader: _FromEnvoy, writer: asyncio.StreamWriter, target: tuple[str, int] | None
    ) -> None:
        hold = self._hold
        try:
            if target is not None:
                # Now, so that nobody is held up by DNS when the fault ends.
                target = (await self._address(target[0]), target[1])
            await _first(hold.wait(hold.delay_s), reader.given_up.wait())
            if reader.given_up.is_set() or _is_closed(writer):
                return  # the service is not asked for what nobody waits for
            if target is None:
                await _answer_probe(reader, writer, hold)
            else:
                await _forward(reader, writer, target, hold)
        except (OSError, EOFError, TimeoutError):
            writer.transport.abort()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _address(self, host: str) -> str:
        """Look a Service's address up, once: it keeps it."""
        if host not in self._addresses:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            self._addresses[host] = str(found[0][4][0])
        return self._addresses[host]


async def _forward(
    reader: _FromEnvoy, writer: asyncio.StreamWriter, target: tuple[str, int], hold: Hold
) -> None:
    """
    Carry bytes both ways until one side has ended.

    Raises:
        OSError: A connection broke; the other one is to break too.
    """
    async with asyncio.timeout(_CONNECT_S):
        there = await asyncio.open_connection(*target, limit=_CHUNK)
    try:
        await _first(_pump(reader, there[1], Hold()), _pump(there[0], writer, hold))
    finally:
        there[1].close()


async def _first(*work: Coroutine[Any, Any, Any]) -> None:
    """Wait until the first of several has ended, and let go of the others."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hold: Hold) -> None:
    while True:
        slow = hold.rate is not None and not hold.over.is_set()
        most = max(_SMALL, int((hold.rate or 0) / _PIECES_PER_S)) if slow else _CHUNK
        data = await reader.read(min(most, _CHUNK))
        if not data:
            break
        if slow:
            assert hold.rate is not None
            await hold.wait(len(data) / hold.rate)
        writer.write(data)
        await writer.drain()


async def _answer_probe(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hold: Hold
) -> None:
    await reader.readuntil(b"\r\n\r\n")
    source = asyncio.StreamReader()
    source.feed_data(_PROBE_ANSWER + _PROBE_BODY)
    source.feed_eof()
    await _pump(source, writer, hold)


def _is_closed(writer: asyncio.StreamWriter) -> bool:
    """Tell whether the other side has closed, also behind a long body that waits to be read."""
    poll = select.poll()
    poll.register(writer.get_extra_info("socket"), select.POLLRDHUP)
    return bool(poll.poll(0))
