"""A real HTTP server on loopback, that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """One request that came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    json: Any = None
    text: str | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], Any] | None = None  # called before answering, such as Event.wait
    broken: bool = False  # the connection is closed without an answer

    def content(self) -> bytes:
        if self.body is not None:
            return self.body
        return (self.text if self.text is not None else json.dumps(self.json)).encode()


class Loopback:
    """
    Answers each path with what was given for it, in order; the last answer stays.

    With ``respond`` a subclass decides by itself.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                owner.serve(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *args: Any) -> None:
                pass  # clients that go away are part of the tests

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._server.server_port}"

    def answer(self, request: str, **answer: Any) -> None:
        """Answer ``"GET /path"`` like this; called again, like that the next time."""
        method, path = request.split(" ")
        self._answers[method, path].append(Answer(**answer))

    def respond(self, asked: Asked) -> Answer:
        answers = self._answers.get((asked.method, asked.path))
        if not answers:
            return Answer(404, text=f"nothing at {asked.method} {asked.path}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        asked = Asked(
            handler.command,
            parts.path,
            parse_qs(parts.query, keep_blank_values=True),
            {name.lower(): value for name, value in handler.headers.items()},
            handler.rfile.read(int(handler.headers.get("Content-Length") or 0)),
            handler.client_address,
        )
        self.asked.append(asked)
        answer = self.respond(asked)
        if answer.before:
            answer.before()
        if answer.broken:
            handler.close_connection = True
            return
        content = answer.content()
        handler.send_response(answer.status)
        given = {name.lower() for name in answer.headers}
        if "content-type" not in given:
            kind = "application/json" if answer.text is None else "text/plain"
            handler.send_header("Content-Type", kind)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if not given & {"content-length", "transfer-encoding"}:
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)
