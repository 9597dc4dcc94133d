"""
The port on which services call the webhooks of tests.

A process of its own takes the calls in and hands each to the worker whose scenario has a webhook of
that name, through a Unix socket: the conductor itself reads nothing that the system under test
sends, and a worker that comes or goes needs no word to it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading
from typing import NoReturn

import h11
from seatrial.api import names

from seatrial_runner.conductor.workers import Channel, Json, WorkerError, run_in_worker
from seatrial_runner.httpserver import HttpServer, Reply, Request
from seatrial_runner.scenario.callbacks import MAX_BODY, inner_address
from seatrial_runner.scenario.world import WebhookPlace

logger = logging.getLogger("seatrial.conductor")

_PAUSE_S = 0.5  # before the process is made again
_CHUNK = 64 * 1024
# Of one connection alone, or made anew for the next.
_PER_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade", "expect"}
)


class WebhookPort:
    """
    Listens from now on; what comes before the process serves waits in the socket.

    Args:
        port: 0: any free one, where no Service leads to it.
    """

    def __init__(self, port: int) -> None:
        self._listening = _listening(port)
        number = self._listening.getsockname()[1]
        url = f"http://{names.WEBHOOKS}" if port else f"http://127.0.0.1:{number}"
        # Of this process: two conductors on one machine are apart, as in tests.
        self.place = WebhookPlace(inside=f"seatrial-webhook-{os.getpid()}-{number}-", url=url)

    async def keep_serving(self) -> NoReturn:
        """Serve until cancelled; a process that ends is made again."""
        while True:
            try:
                await run_in_worker(self._serve, _hear_nothing, timeout_s=None)
            except WorkerError as error:
                logger.warning("webhooks: %s", error)
            await asyncio.sleep(_PAUSE_S)

    def close(self) -> None:
        """Stop listening."""
        self._listening.close()

    def _serve(self, channel: Channel) -> Json:
        # The loop that this process was forked in runs on as far as this thread knows.
        thread = threading.Thread(
            target=lambda: asyncio.run(_hand_over(self._listening, self.place))
        )
        thread.start()
        thread.join()
        return {}


def _listening(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


async def _hear_nothing(message: Json) -> Json:
    return {}


async def _hand_over(listening: socket.socket, place: WebhookPlace) -> None:
    async def handle(request: Request) -> Json | Reply:
        return await _handed_over(request, inner_address(place.inside, request.path[0]))

    await HttpServer(handle, max_body=MAX_BODY).start_on(listening)
    await asyncio.Event().wait()


async def _handed_over(request: Request, address: str) -> Reply:
    try:
        reader, writer = await asyncio.open_unix_connection(address)
    except (OSError, ValueError):
        name = request.path[0][:60]
        return _problem(503, f"no test that runs now has a webhook {name!r}")
    try:
        return await _exchanged(request, reader, writer)
    except (OSError, h11.RemoteProtocolError):
        return _problem(503, "the test with this webhook has ended")
    finally:
        writer.transport.abort()


async def _exchanged(
    request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Reply:
    http = h11.Connection(our_role=h11.CLIENT)
    headers = [(name, value) for name, value in request.headers if name not in _PER_HOP]
    headers.append(("content-length", str(len(request.body))))
    head = h11.Request(method=request.method, target=request.target, headers=headers)
    writer.write(http.send(head) or b"")
    writer.write((http.send(h11.Data(data=request.body)) or b"") if request.body else b"")
    writer.write(http.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    status, kept, body = 502, list[tuple[str, str]](), bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            status = event.status_code
            kept = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in event.headers
                if name.decode("latin-1") not in _PER_HOP
            ]
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return Reply(status, bytes(body), kept)


def _problem(status: int, sentence: str) -> Reply:
    body = json.dumps({"error": sentence}).encode()
    return Reply(status, body, [("content-type", "application/json")])
