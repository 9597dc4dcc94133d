"""One connection: h11 over asyncio streams, bounded in every direction."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import h11

from seatrial_runner.httpserver.messages import Handler, ProblemError, Reply, Request
from seatrial_runner.httpserver.room import Room

logger = logging.getLogger("seatrial.http")

_IDLE_S = 60.0  # from one answer to the next request
_HEAD_S = 10.0  # for the head of a request; of the first one, from the beginning
_BODY_S = 60.0  # for the body, and for the client to take the answer
_PARTING_S = 2.0
_CHUNK = 64 * 1024


class Exchange:
    """
    One connection.

    Attributes:
        waits: For a request, or for the rest of one.
    """

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
        self.waits = True
        self._held = 0
        self._h11 = h11.Connection(our_role=h11.SERVER)

    async def serve(self) -> None:
        """Answer one request after another until the client has enough, or is too slow."""
        try:
            await self._serve()
        finally:
            self._room.give_back(self._held)
        await _part(self._reader, self._writer)

    async def _serve(self) -> None:
        most_s = _HEAD_S
        while True:
            self.waits = True
            try:
                async with asyncio.timeout(most_s) as time:
                    request = await self._request(time)
            except h11.RemoteProtocolError as error:
                await self._answer(error.error_status_hint, {"error": "this is no HTTP request"})
                return
            except ProblemError as problem:
                await self._answer(problem.status, {"error": str(problem)})
                return
            if request is None:
                return
            self.waits = False
            with self._room.answering():
                reply = await self._handle(request)
                async with asyncio.timeout(_BODY_S):
                    await self._reply(reply, request.method)
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                return
            self._room.give_back(self._held)
            self._held = 0
            self._h11.start_next_cycle()
            most_s = _IDLE_S

    async def _handle(self, request: Request) -> Reply:
        try:
            answer = await self._handler(request)
            return answer if isinstance(answer, Reply) else _json(200, answer)
        except ProblemError as problem:
            return _json(problem.status, {"error": str(problem)})
        except Exception:
            # The client must go on without us knowing what it met; the log has the traceback.
            logger.exception("request failed", extra={"path": "/".join(request.path)})
            return _json(500, {"error": "this could not be handled; the log says why"})

    async def _request(self, time: asyncio.Timeout) -> Request | None:
        loop = asyncio.get_running_loop()
        head: h11.Request | None = None
        body, begun = bytearray(), False
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                if self._h11.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    self._writer.write(self._h11.send(go_on) or b"")
                self._h11.receive_data(await self._reader.read(_CHUNK))
                if not begun:
                    begun = True
                    time.reschedule(loop.time() + _HEAD_S)
            elif isinstance(event, h11.Request):
                head = event
                time.reschedule(loop.time() + _BODY_S)
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
        await self._reply(_json(status, document), "GET")

    async def _reply(self, reply: Reply, method: str) -> None:
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        bare = method == "HEAD" or reply.status in (204, 304)
        length = [] if reply.status in (204, 304) else [("content-length", str(len(reply.body)))]
        head = h11.Response(status_code=reply.status, headers=[*reply.headers, *length])
        out = self._h11.send(head) or b""
        if not bare:
            out += self._h11.send(h11.Data(data=reply.body)) or b""
        out += self._h11.send(h11.EndOfMessage()) or b""
        self._writer.write(out)
        await self._writer.drain()


def _json(status: int, document: dict[str, Any]) -> Reply:
    body = json.dumps(document, separators=(",", ":")).encode()
    return Reply(status, body, [("content-type", "application/json")])


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
        target=head.target.decode("ascii"),
        headers=tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers),
    )


def _authorization(head: h11.Request) -> str:
    headers = {bytes(name): bytes(value) for name, value in head.headers}
    return headers.get(b"authorization", b"").decode("latin-1")


async def _part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the client read our last answer: closing on what it still sends would reset it."""
    try:
        writer.write_eof()
        async with asyncio.timeout(_PARTING_S):
            while await reader.read(_CHUNK):
                continue
    except TimeoutError:
        return
