"""A way to a server on which connections are cut while much is on its way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

_CHUNK = 64 * 1024


class Cutting:
    """
    Passes TCP on; after every so many bytes from the server it closes all connections.

    What it has read from the server by then reaches nobody, though the server has sent it.

    Attributes:
        port: On loopback.
        cuts: How many there were.
        ready: It listens.
    """

    def __init__(self, server: int, port: int, every: int, times: int) -> None:
        self.port = port
        self.cuts = 0
        self.ready = threading.Event()
        self._stopped = asyncio.Event()
        self._server = server
        self._every = every
        self._times = times
        self._passed = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self) -> None:
        """Serve until it is stopped."""
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self._stopped.wait()
        server.close()
        self._close_all()

    def stop(self) -> None:
        """Stop it, from another thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        both = {writer}
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server)
            both.add(server_writer)
            self._writers |= both
            await asyncio.gather(
                self._pass(reader, server_writer, counted=False),
                self._pass(server_reader, writer, counted=True),
            )
        except OSError:
            pass
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        while data := await reader.read(_CHUNK):
            if counted and self._is_time(len(data)):
                self._close_all()
                break
            writer.write(data)
            await writer.drain()
        writer.transport.abort()

    def _is_time(self, count: int) -> bool:
        self._passed += count
        if self._passed < self._every or self.cuts == self._times:
            return False
        self._passed = 0
        self.cuts += 1
        return True

    def _close_all(self) -> None:
        for each in self._writers:
            each.transport.abort()


@contextlib.contextmanager
def cutting(server: int, port: int = 0, *, every: int, times: int) -> Iterator[Cutting]:
    """
    Pass on to a port of loopback what comes to another, until the block ends.

    Args:
        server: Port of the server.
        port: To listen to; 0: a free one.
        every: Bytes from the server after which connections are cut.
        times: So often.
    """
    way = Cutting(server, port, every, times)
    thread = threading.Thread(target=asyncio.run, args=[way.serve()])
    thread.start()
    try:
        assert way.ready.wait(60)
        yield way
    finally:
        way.stop()
        thread.join()
