"""A small HTTP/1.1 server: h11 over asyncio streams, bounded in every direction."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import h11

logger = logging.getLogger("seatrial.http")

MAX_BODY = 8 * 1024 * 1024
MAX_CONNECTIONS = 512
MAX_HELD = 64 * 1024 * 1024  # bytes of all bodies that are arriving or being answered
_HEAD_S = 60.0  # for a request to arrive, from its first byte or from the answer before
_PARTING_S = 2.0
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Request:
    """A request that has arrived as a whole."""

    method: str
    path: tuple[str, ...]  # its decoded parts
    query: dict[str, str]
    authorization: str
    body: bytes

    def json(self) -> dict[str, Any]:
        """
        Read the body.

        Raises:
            ProblemError: It is no JSON object.
        """
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise ProblemError(400, "the body is not JSON") from None
        if not isinstance(value, dict):
            raise ProblemError(400, "the body must be a JSON object")
        return value


class ProblemError(Exception):
    """What the client did wrong, as a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status = status
        super().__init__(sentence)


Handler = Callable[[Request], Awaitable[dict[str, Any]]]


class HttpServer:
    """Answers each request with the JSON that ``handler`` gives; never with a traceback."""

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
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; give the port."""
        return self._started(await asyncio.start_server(self._accept, host, port))

    async def start_on(self, listening: socket.socket) -> int:
        """Serve a socket that somebody else has bound; give the port."""
        return self._started(await asyncio.start_server(self._accept, sock=listening))

    def _started(self, server: asyncio.Server) -> int:
        self._server = server
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def stop(self) -> None:
        """Stop listening, and end what is still being answered."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            exchange = _Exchange(
                reader, writer, self._handler, self._admits, self._max_body, self._room
            )
            await exchange.serve()
            await _part(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the client is gone, or we are stopping
        finally:
            self._connections.discard(task)
            writer.transport.abort()


async def _part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the client read our last answer: closing on what it still sends would reset it."""
    try:
        writer.write_eof()
        async with asyncio.timeout(_PARTING_S):
            while await reader.read(_CHUNK):
                continue
    except TimeoutError:
        return


class Room:
    """What all bodies together may take of the memory."""

    def __init__(self) -> None:
        self._held = 0

    def take(self, size: int) -> None:
        """Make room; ProblemError 503, which a client may try again, if there is none."""
        if self._held + size > MAX_HELD:
            raise ProblemError(503, "too many requests are held; try again")
        self._held += size

    def give_back(self, size: int) -> None:
        """Say that so much is no longer held."""
        self._held -= size


class _Exchange:
    """One connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        admits: Callable[[str], bool],
        max_body: int,
        room: Room,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._admits = admits
        self._max_body = max_body
        self._room = room
        self._held = 0
        self._h11 = h11.Connection(our_role=h11.SERVER)

    async def serve(self) -> None:
        """Answer one request after another until the client has enough."""
        try:
            await self._serve()
        finally:
            self._room.give_back(self._held)

    async def _serve(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_HEAD_S):
                    request = await self._request()
            except h11.RemoteProtocolError as error:
                await self._answer(error.error_status_hint, {"error": "this is no HTTP request"})
                return
            except ProblemError as problem:
                await self._answer(problem.status, {"error": str(problem)})
                return
            if request is None:
                return
            status, document = await self._handle(request)
            await self._answer(status, document)
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                return
            self._room.give_back(self._held)
            self._held = 0
            self._h11.start_next_cycle()

    async def _handle(self, request: Request) -> tuple[int, dict[str, Any]]:
        try:
            return 200, await self._handler(request)
        except ProblemError as problem:
            return problem.status, {"error": str(problem)}
        except Exception:
            # The client must go on without us knowing what it met; the log has the traceback.
            logger.exception("request failed", extra={"path": "/".join(request.path)})
            return 500, {"error": "this could not be handled; the log says why"}

    async def _request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                if self._h11.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    self._writer.write(self._h11.send(go_on) or b"")
                self._h11.receive_data(await self._reader.read(_CHUNK))
            elif isinstance(event, h11.Request):
                head = event
                self._check_length(event)
            elif isinstance(event, h11.Data):
                assert head is not None
                if not body and not self._admits(_authorization(head)):
                    raise ProblemError(401, "give the token: a body is not read without")
                if len(body) + len(event.data) > self._max_body:
                    raise ProblemError(400, f"the body is longer than {self._max_body} bytes")
                self._room.take(len(event.data))
                self._held += len(event.data)
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return _read(head, bytes(body))
            else:
                return None

    def _check_length(self, head: h11.Request) -> None:
        """Refuse a body that says itself that it is too long, before it is sent."""
        for name, value in head.headers:
            if name == b"content-length" and int(value) > self._max_body:
                raise ProblemError(400, f"the body is longer than {self._max_body} bytes")

    async def _answer(self, status: int, document: dict[str, Any]) -> None:
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = json.dumps(document, separators=(",", ":")).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        out = self._h11.send(h11.Response(status_code=status, headers=headers)) or b""
        out += self._h11.send(h11.Data(data=body)) or b""
        out += self._h11.send(h11.EndOfMessage()) or b""
        self._writer.write(out)
        await self._writer.drain()


def _read(head: h11.Request, body: bytes) -> Request:
    try:
        parts = urlsplit(head.target.decode("ascii"))
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    except ValueError:
        raise ProblemError(400, "the request's target cannot be read") from None
    return Request(
        method=head.method.decode("ascii"),
        path=tuple(unquote(part) for part in parts.path.strip("/").split("/")),
        query=query,
        authorization=_authorization(head),
        body=body,
    )


def _authorization(head: h11.Request) -> str:
    headers = {bytes(name): bytes(value) for name, value in head.headers}
    return headers.get(b"authorization", b"").decode("latin-1")
