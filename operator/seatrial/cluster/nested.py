"""
JSON that may be nested deeper than Python can go.

The API server takes what is nested 10,000 levels deep, and gives it back in a list with the objects
of others. So of an object that is too deep the deepest levels are left out, where they are read:
``api.nesting`` says so on that run, and all others are read as ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from pydantic_core import from_json

_DEEPEST = 180  # levels that are kept; from_json refuses more than 201
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def read_json(data: bytes) -> Any:
    """
    Read JSON; what is nested too deep is null.

    Raises:
        ValueError: It is no JSON.
    """
    if data.count(b"{") + data.count(b"[") <= _DEEPEST:
        return json.loads(data)
    try:
        return from_json(data)
    except ValueError:
        return json.loads(without_the_deepest(data))


def without_the_deepest(data: bytes) -> bytes:
    """Put null for whatever is nested too deep; what is no JSON stays none."""
    kept, depth, begin = [], 0, 0
    for token in _TOKEN.finditer(data):
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
            if depth == _DEEPEST + 1:
                kept += [data[begin : token.start()], b"null"]
        elif mark in (b"}", b"]"):
            depth -= 1
            if depth == _DEEPEST:
                begin = token.end()
    return b"".join([*kept, data[begin:] if depth <= _DEEPEST else b""])


class NestedResponse(aiohttp.ClientResponse):
    """A response whose JSON, whole or line by line, can be read however deep it is nested."""

    async def start(self, connection: Any) -> NestedResponse:
        """Begin to receive."""
        await super().start(connection)
        self.content = _Lines(self.content)  # type: ignore[assignment]
        return self

    async def json(self, **_: Any) -> Any:
        """Read all of it."""
        return read_json(await self.read())


class _Lines:
    """The content of a response, of which what is asked for in chunks comes as whole lines."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Give the lines of a watch, each with what is too deep left out."""
        pieces: list[bytes] = []
        async for chunk in self._content.iter_chunked(size):
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                yield _readable(b"".join([*pieces, line])) + b"\n"
                pieces.clear()
            pieces.append(rest)
        if last := b"".join(pieces):
            yield _readable(last)


def _readable(line: bytes) -> bytes:
    if line.count(b"{") + line.count(b"[") <= _DEEPEST:
        return line
    try:
        from_json(line)
    except ValueError:
        return without_the_deepest(line)
    return line
