"""Short requests over connections that stay: to open one for each takes longer than the answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Asking:
    """
    Asks a server of HTTP/1.1, and gives the statuses of its answers.

    Args:
        connect: Opens a connection to it.
    """

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect = connect
        self._idle: list[Streams] = []

    async def ask(self, method: str, target: str) -> int:
        """
        Send a request, which may come twice, and give the status of its answer.

        Raises:
            OSError: The server cannot be reached, or closed a connection that was new.
        """
        while self._idle:
            # What has stayed may be of a server that has ended since, or has closed it meanwhile.
            with contextlib.suppress(OSError, EOFError):
                return await self._ask(self._idle.pop(), method, target)
        try:
            return await self._ask(await self._connect(), method, target)
        except EOFError:
            raise ConnectionResetError("the connection was closed") from None

    def close(self) -> None:
        """Close what is open and not in use."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _ask(self, streams: Streams, method: str, target: str) -> int:
        reader, writer = streams
        try:
            head = f"{method} {target} HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\n\r\n"
            writer.write(head.encode())
            status = await _answer(reader)
        except BaseException:
            writer.close()  # whoever used it next would have this answer
            raise
        self._idle.append(streams)
        return status


async def _answer(reader: asyncio.StreamReader) -> int:
    """
    Read an answer to its end, and give its status.

    Raises:
        OSError: It is none that can be read, or the connection broke.
        EOFError: The connection was closed before.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        if fields.get(b"transfer-encoding") == b"chunked":
            while size := int((await reader.readuntil(b"\r\n")), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        else:
            await reader.readexactly(int(fields.get(b"content-length", 0)))
        return int(head.split(None, 2)[1])
    except (ValueError, IndexError, asyncio.LimitOverrunError) as error:
        raise OSError(f"the answer is none of HTTP: {error}") from error
