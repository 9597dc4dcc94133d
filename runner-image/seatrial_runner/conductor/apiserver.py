"""
The Kubernetes API, as much of it as a conductor needs.

Not the ``kubernetes`` client, and not httpx: a plain run's conductor must be at work 0.1 s after
its process began, and h11 over asyncio costs 0.05 s to import where those cost 0.4 and 0.1.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from seatrial.api.errors import (
    ClusterError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    lacks_a_right,
)

from seatrial_runner.conductor.answers import mapping, read_object
from seatrial_runner.conductor.clocks import http_date
from seatrial_runner.conductor.connection import Address, Connection, Response

REQUEST_TIMEOUT_S = 15.0
# A watch is ended by the server, at the time it was asked for (``timeoutSeconds``), and by us this
# much later: what ends at a peer that is gone without a word would never end here.
WATCH_MARGIN_S = 15.0
# An API server that restarts is away for some seconds; a run must live through that.
PATIENCE_S = 120.0
# A right may come late: the binding was made a moment ago, or an API server that has just come back
# has not read its rules yet. A right that is really missing should still be told soon.
RIGHTS_PATIENCE_S = 10.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
_MAX_ERROR = 2048

MERGE_PATCH = "application/merge-patch+json"
_PASSING = frozenset({429, 500, 502, 503, 504})

Json = dict[str, Any]


class ApiServer:
    """
    One API server, over a few kept connections.

    Requests wait out an API server that is away, for up to ``patience_s``; every write that is made
    through here may be repeated (a precondition or its own nature makes that harmless).
    """

    def __init__(
        self, address: Address, token: Callable[[], str], *, patience_s: float = PATIENCE_S
    ) -> None:
        self.address = address
        self.token = token
        self._patience_s = patience_s
        self._idle: list[Connection] = []
        self.time: datetime | None = None  # by its own clock, when it last answered

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read an object or a list."""
        return await self._json("GET", path, query)

    async def post(self, path: str, body: Json, *, patience_s: float | None = None) -> Json:
        """
        Make an object, or ask for an action on one.

        Repeated like any request: of one whose answer got lost, the second is a ConflictError.
        """
        return await self._json("POST", path, None, body, patience_s=patience_s)

    async def patch(
        self,
        path: str,
        body: Json,
        *,
        patience_s: float | None = None,
        content_type: str = MERGE_PATCH,
    ) -> Json:
        """Change an object, by a JSON merge patch unless another one is named."""
        return await self._json("PATCH", path, None, body, content_type, patience_s=patience_s)

    async def delete(self, path: str, body: Json) -> Json:
        """Delete an object; ``body`` is a DeleteOptions."""
        return await self._json("DELETE", path, None, body)

    async def text(
        self, path: str, query: Mapping[str, str], *, patience_s: float | None = None
    ) -> str:
        """Read what is no JSON, such as a log; bytes that are no UTF-8 are replaced."""
        answer = await self._exchange("GET", path, query, patience_s=patience_s)
        return answer.decode("utf-8", "replace")

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Json]:
        """
        Give the events of one watch request until the server ends it.

        Args:
            path: Of a collection.
            query: With ``timeoutSeconds``, when the server shall end it.

        Raises:
            ClusterError: The watch broke. With a ``status`` the server itself has refused it or
                ended it, and it must begin with a new list.
        """
        connection = await self._connect()
        loop = asyncio.get_running_loop()
        end = loop.time() + float(query["timeoutSeconds"]) + WATCH_MARGIN_S
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                response = await connection.send("GET", _target(path, query), self._headers(), b"")
                if response.status != 200:
                    raise _error("GET", path, response, await connection.read_all())
            lines = connection.lines()
            # NB: the time is that of reading alone. Whoever iterates is not to be cancelled by it.
            while (line := await _next(lines, end)) is not None:
                event = read_object(line)
                item = mapping(event.get("object"))
                if event.get("type") == "ERROR":
                    raise ClusterError(str(item.get("message")), status=item.get("code") or 500)
                yield event
        except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
            raise ClusterError(f"watch of {path} broke: {str(error) or 'out of time'}") from error
        finally:
            connection.close()

    def close(self) -> None:
        """Close the kept connections."""
        while self._idle:
            self._idle.pop().close()

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | None = None,
        content_type: str = "application/json",
        *,
        patience_s: float | None = None,
    ) -> Json:
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        answer = await self._exchange(method, path, query, content, content_type, patience_s)
        try:
            return read_object(answer)
        except ValueError as error:
            raise ClusterError(f"{method} {path}: the answer is no JSON object: {error}") from error

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        content: bytes = b"",
        content_type: str = "application/json",
        patience_s: float | None = None,
    ) -> bytes:
        loop = asyncio.get_running_loop()
        patience_s = self._patience_s if patience_s is None else patience_s
        began = loop.time()
        pause = _FIRST_PAUSE_S
        refused_at: float | None = None
        while True:
            try:
                return await self._once(method, _target(path, query or {}), content, content_type)
            except ClusterError as error:
                give_up = began + patience_s
                if isinstance(error, ForbiddenError) and lacks_a_right(str(error)):
                    refused_at = loop.time() if refused_at is None else refused_at
                    give_up = min(give_up, refused_at + RIGHTS_PATIENCE_S)
                elif not _may_pass(error):
                    raise
                if loop.time() + pause > give_up:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _once(self, method: str, target: str, content: bytes, content_type: str) -> bytes:
        headers = self._headers()
        if content:
            headers += [("content-type", content_type), ("content-length", str(len(content)))]
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                connection = self._kept() or await self._connect()
                try:
                    response = await connection.send(method, target, headers, content)
                    body = await connection.read_all()
                except BaseException:
                    connection.close()
                    raise
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            # The other kept connections go to the same server: they are as dead as this one.
            self.close()
            raise ClusterError(
                f"{method} {target}: no answer: {str(error) or 'out of time'}"
            ) from error
        self.time = http_date(response.date) or self.time
        if connection.reusable():
            self._idle.append(connection)
        else:
            connection.close()
        if response.status >= 400:
            raise _error(method, target, response, body)
        return body

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive():
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await Connection.open(self.address)
        except OSError as error:
            raise ClusterError(f"the API server does not answer: {error}") from error

    def _headers(self) -> list[tuple[str, str]]:
        return [
            ("host", self.address.host),
            ("accept", "application/json"),
            ("user-agent", "seatrial-conductor"),
            ("authorization", f"Bearer {self.token()}"),
        ]


async def _next(lines: AsyncIterator[bytes], end: float) -> bytes | None:
    async with asyncio.timeout_at(end):
        return await anext(lines, None)


def _target(path: str, query: Mapping[str, str]) -> str:
    return quote(path) + (f"?{urlencode(query)}" if query else "")


def _may_pass(error: ClusterError) -> bool:
    return error.status is None or error.status in _PASSING


def _error(method: str, target: str, response: Response, body: bytes) -> ClusterError:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode("utf-8", "replace")
    text = f"{method} {target.partition('?')[0]}: {response.status} {message[:_MAX_ERROR]}"
    match response.status:
        case 403:
            return ForbiddenError(text, status=403)
        case 404:
            return NotFoundError(text, status=404)
        case 409:
            return ConflictError(text, status=409)
        case _:
            return ClusterError(text, status=response.status)
