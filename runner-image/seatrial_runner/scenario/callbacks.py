"""Endpoints that services call back: they remember each call, and answer as they are told."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from seatrial_runner.httpserver import HttpServer, Reply, Request
from seatrial_runner.scenario.world import WebhookPlace

MAX_BODY = 1024 * 1024
MAX_CALLS = 10_000
_FINISH_S = 2.0
_THREADS = 4
MAX_HELD = 10 * 1024 * 1024  # bytes of the bodies of all calls of an endpoint

Call = dict[str, Any]  # method, path, query, headers, text, json


@dataclass(frozen=True)
class Answer:
    """What a caller gets, and after which time."""

    reply: Reply
    delay_s: float = 0.0


Answerer = Callable[[Call], Answer]


class WebhookError(Exception):
    """Endpoints that cannot be opened; the message says why."""


def _empty(call: Call) -> Answer:
    return Answer(Reply(200))


@dataclass
class Endpoint:
    """
    The calls of one webhook, each of which is taken once. Thread-safe.

    Attributes:
        name: Of the webhook.
        url: Where services call it.
        calls: That were not taken yet, in order.
        came: How many were kept in all, taken ones too.
    """

    name: str
    url: str
    calls: list[Call] = field(default_factory=list)
    came: int = 0
    _refused: Counter[str] = field(default_factory=Counter)  # by reason
    _held: int = 0
    _takes: int = 0
    _answers: list[Answerer] = field(default_factory=lambda: [_empty])
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def answer_with(self, answers: list[Answerer]) -> None:
        """Answer with these from now on, in order; the last one stays."""
        with self._changed:
            self._answers = list(answers)

    def take(self, call: Call) -> Answerer | None:
        """Remember a call, and give what answers it; None if there are too many."""
        size = len(call["text"])
        with self._changed:
            why = ""
            if len(self.calls) >= MAX_CALLS:
                why = f"{MAX_CALLS} waited already to be taken"
            elif self._held + size > MAX_HELD:
                why = f"what waits to be taken has bodies of up to {MAX_HELD} bytes"
            if why:
                self._refused[why] += 1
                return None
            self.came += 1
            self._held += size
            self.calls.append(call)
            self._changed.notify_all()
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def wait(self, wanted: Callable[[Call], bool], count: int, timeout_s: float) -> list[Call]:
        """
        Take the first ``count`` calls that are wanted; fewer if no more came in time.

        What is not enough is not taken.
        """
        end = time.monotonic() + timeout_s
        with self._changed:
            found: list[Call] = []
            looked_at, takes = 0, self._takes
            while True:
                if takes != self._takes:  # another step has taken some meanwhile
                    found, looked_at, takes = [], 0, self._takes
                found += [each for each in self.calls[looked_at:] if wanted(each)]
                looked_at = len(self.calls)
                if len(found) >= count > 0:
                    self._remove(found[:count])
                    return found[:count]
                left = end - time.monotonic()
                if left <= 0 or (count == 0 and found):
                    return found
                self._changed.wait(left)

    def doubt(self) -> str:
        """Say why the calls here may not be all that there were; empty if they are."""
        return "; ".join(
            f"it refused {count} call{'' if count == 1 else 's'} with 503: {why}"
            for why, count in self._refused.copy().items()
        )

    def _remove(self, taken: list[Call]) -> None:
        ids = {id(each) for each in taken}
        self.calls = [each for each in self.calls if id(each) not in ids]
        self._held -= sum(len(each["text"]) for each in taken)
        self._takes += 1


class Endpoints:
    """The webhooks of one scenario, served on an event loop of somebody else's."""

    def __init__(self, place: WebhookPlace, names: list[str]) -> None:
        self._place = place
        self._names = names
        self._servers: list[HttpServer] = []
        # Few: each thread may take 8 MiB of what a worker has.
        self._pool = ThreadPoolExecutor(_THREADS)
        self._by_name: dict[str, Endpoint] = {}

    async def open(self) -> None:
        """
        Listen.

        Raises:
            WebhookError: An address or a name is taken.
        """
        place = self._place
        if place.inside:
            for name in self._names:
                await self._serve(_inner_socket(place, name))
            base = place.url
        else:
            port = await self._serve(_own_socket(place))
            host = place.public or place.host
            base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._by_name = {name: Endpoint(name, f"{base}/{name}") for name in self._names}

    async def close(self) -> None:
        """
        Stop listening.

        A step sees a call before its caller has the answer: the caller is to get it all the same.
        """
        for server in self._servers:
            await server.finish(_FINISH_S)
            await server.stop()
        self._pool.shutdown(wait=False)

    def __getitem__(self, name: str) -> Endpoint:
        return self._by_name[name]

    @property
    def urls(self) -> Mapping[str, str]:
        """Where services call, by name."""
        return {name: endpoint.url for name, endpoint in self._by_name.items()}

    async def _serve(self, listening: socket.socket) -> int:
        server = HttpServer(self._handle, max_body=MAX_BODY)
        self._servers.append(server)
        return await server.start_on(listening)

    async def _handle(self, request: Request) -> dict[str, Any] | Reply:
        endpoint = self._by_name.get(request.path[0])
        if endpoint is None:
            known = ", ".join(self._by_name)
            return _problem(
                404, f"there is no webhook {request.path[0][:60]!r}; there are: {known}"
            )
        call = as_call(request)
        answerer = endpoint.take(call)
        if answerer is None:
            return _problem(503, "too many calls wait to be looked at by the test")
        # What a user wrote is filled in, which may take its time.
        answer = await asyncio.get_running_loop().run_in_executor(self._pool, answerer, call)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        return answer.reply


def as_call(request: Request) -> Call:
    """Give what a test sees of a call; its path is what follows the webhook's name."""
    parts = urlsplit(request.target)
    headers: dict[str, str] = {}
    for name, value in request.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    text = request.body.decode("utf-8", "replace")
    try:
        document = json.loads(text) if text.strip() else None
    except (ValueError, RecursionError):
        document = None
    return {
        "method": request.method,
        "path": "/" + "/".join(parts.path.split("/")[2:]),
        "query": dict(parse_qsl(parts.query, keep_blank_values=True)),
        "headers": headers,
        "text": text,
        "json": document,
    }


def _problem(status: int, sentence: str) -> Reply:
    body = json.dumps({"error": sentence}).encode()
    return Reply(status, body, [("content-type", "application/json")])


def _inner_socket(place: WebhookPlace, name: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(inner_address(place.inside, name))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise WebhookError(
            f"webhook {name!r} is open in another test that runs at the same time: give it"
            " another name"
        ) from error
    return listening


def inner_address(prefix: str, name: str) -> str:
    """Give the abstract address (unix(7)) between the conductor's port and a scenario."""
    return f"\0{prefix}{name}"


def _own_socket(place: WebhookPlace) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        return socket.create_server((place.host, place.port), family=family)
    except OSError as error:
        raise WebhookError(
            f"webhooks cannot listen on {place.host}:{place.port}: {error.strerror or error}"
        ) from error
