"""A server of HTTP/2 in the clear, that gives back what it was sent."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, WindowUpdated


@dataclass
class Http2Origin:
    """
    Answers each stream with its own body, and its path in ``x-path``; with ``more`` headers.

    One with ``has_no_body`` ends its answers with their headers.
    """

    more: list[tuple[str, str]] = field(default_factory=list)
    has_no_body: bool = False
    port: int = 0
    connections: int = 0
    heads: list[dict[str, str]] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Http2Origin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        http.initiate_connection()
        bodies: dict[int, bytearray] = defaultdict(bytearray)
        to_send: dict[int, bytearray] = {}
        writer.write(http.data_to_send())
        try:
            while data := await reader.read(65536):
                for event in http.receive_data(data):
                    if isinstance(event, RequestReceived):
                        head = dict(event.headers)
                        self.heads.append(head)
                        answer = [(":status", "200"), ("x-path", head[":path"]), *self.more]
                        http.send_headers(event.stream_id, answer, end_stream=self.has_no_body)
                    elif isinstance(event, DataReceived):
                        bodies[event.stream_id] += event.data
                        http.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
                    elif isinstance(event, StreamEnded) and not self.has_no_body:
                        to_send[event.stream_id] = bodies.pop(event.stream_id, bytearray())
                    elif isinstance(event, WindowUpdated):
                        pass
                _send(http, to_send)
                writer.write(http.data_to_send())
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def _send(http: H2Connection, to_send: dict[int, bytearray]) -> None:
    for stream, body in list(to_send.items()):
        while True:
            size = min(
                len(body), http.local_flow_control_window(stream), http.max_outbound_frame_size
            )
            end = size == len(body)
            if not size and not end:
                break
            http.send_data(stream, bytes(body[:size]), end_stream=end)
            del body[:size]
            if end:
                del to_send[stream]
                break
