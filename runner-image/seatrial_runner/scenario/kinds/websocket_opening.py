"""The connection of a ``websocket`` step: its handshake, and what its library raises in words."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from seatrial_runner.scenario.action import Call, StepFailure
from seatrial_runner.scenario.exchange import rewritten
from seatrial_runner.scenario.kinds import http
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.tls import TlsError, context_of, tls_problem
from seatrial_runner.scenario.tls_socket import OneAtATime
from seatrial_runner.scenario.transcript import request_text

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import ClientConnection

    from seatrial_runner.scenario.request import Request

_OF_HTTP = ("headers", "basicAuth", "bearer", "oauth2", "tls", "timeout")
_TOO_LARGE = 1009  # close code, RFC 6455, 7.4.1
# What we say to a server whose frames cannot be read; RFC 6455, 7.4.1.
_BROKEN = (1002, 1007)
_CLOSE_S = 1.0  # a server that does not answer our close is left


@dataclass
class Opened:
    """
    A connection, or what the server said in place of opening one.

    Attributes:
        connection: None if it was refused.
        status: 101, or that of the refusal.
        stack: Closes the connection.
        closed: By either side.
    """

    connection: ClientConnection | None
    status: int
    headers: dict[str, str]
    refusal: str = ""
    max_size: int = 0
    stack: ExitStack = field(default_factory=ExitStack)
    closed: bool = False

    @property
    def subprotocol(self) -> str:
        """The one that the server chose; empty if none."""
        return (self.connection.subprotocol or "") if self.connection else ""

    def send(self, content: str | bytes) -> None:
        """Send a message."""
        assert self.connection is not None
        self.connection.send(content)

    def receive(self, timeout_s: float) -> str | bytes | None:
        """Give the next message; None if none came in time; anything once it is closed."""
        from websockets.exceptions import ConnectionClosed

        assert self.connection is not None
        try:
            return self.connection.recv(timeout=max(timeout_s, 0.0))
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            if _complaint(error)[0] in (_TOO_LARGE, *_BROKEN):
                raise
            self.closed = True
            return ""

    def close(self, code: int, reason: str) -> None:
        """Close it, and wait a moment for the server to agree."""
        assert self.connection is not None
        self.connection.close(code, reason)
        self.closed = True

    def how_closed(self) -> tuple[int, str]:
        """Give code and reason, as the one who closed first said; 0 while it is open."""
        if self.connection is None or not self.closed:
            return 0, ""
        return self.connection.close_code or 1006, self.connection.close_reason or ""

    @contextmanager
    def explained(self, what: str) -> Iterator[None]:
        """Turn what the library raises into a StepFailure."""
        from websockets.exceptions import ConnectionClosed, WebSocketException

        try:
            yield
        except ConnectionClosed as error:
            self.closed = True
            complaint, why = _complaint(error)
            if complaint in _BROKEN:
                broken = f"what the server sent is no WebSocket frame: {why}"
                raise StepFailure(broken, answered=True) from error
            if complaint == _TOO_LARGE:
                text = (
                    f"a message is larger than {self.max_size // 2**20} MiB, the most a scenario"
                    " reads"
                )
                raise StepFailure(text, answered=True) from error
            code, reason = self.how_closed()
            said = f"the connection is closed ({f'{code} {reason}'.strip()})"
            raise StepFailure(f"{what}: {said}") from error
        except (WebSocketException, OSError) as error:
            raise StepFailure(f"{what}: {error}") from error


def _complaint(error: ConnectionClosed) -> tuple[int, str]:
    """Give code and reason with which we have ended a connection; 0 if the server has."""
    ours = error.sent if not error.rcvd_then_sent else None
    return (ours.code, ours.reason) if ours else (0, "")


def open_websocket(document: dict[str, Any], call: Call, end: float, *, max_size: int) -> Opened:
    """
    Open a connection.

    Args:
        document: Of the step, with ``url``.
        call: Where its texts are filled in.
        end: On ``time.monotonic``: until when.
        max_size: Bytes of a message.

    Raises:
        StepFailure: There is no server, or none of WebSocket.
    """
    try:
        from websockets.exceptions import InvalidStatus
        from websockets.sync.client import connect
    except ImportError as error:
        text = "websocket needs the extra: pip install 'seatrial[websocket]'"
        raise StepFailure(text, permanent=True) from error
    request = _handshake(document, call)
    url = _of_websocket(rewritten(request.url, call.tools.world.base_urls))
    call.tools.client.announce(urlsplit(request.url).hostname or "")
    offered: list[Any] = [call.text(each) for each in document.get("subprotocols", [])]
    stack = ExitStack()
    try:
        more: dict[str, Any] = {}
        if url.startswith("wss:"):
            more["ssl"] = OneAtATime(context_of(request.tls))
            if request.tls and request.tls.serverName:
                more["server_hostname"] = request.tls.serverName
        connection = stack.enter_context(
            connect(
                url,
                additional_headers=_own(request.headers),
                user_agent_header=request.headers.get("User-Agent", "seatrial"),
                subprotocols=offered or None,
                open_timeout=max(end - time.monotonic(), 0.001),
                close_timeout=_CLOSE_S,
                ping_interval=None,
                max_size=max_size,
                proxy=None,
                **more,
            )
        )
    except InvalidStatus as error:
        return _refused(error.response, call)
    except Exception as error:
        raise _failure(error, url, request) from error
    answer = connection.response
    headers = {k.lower(): v for k, v in answer.headers.raw_items()} if answer else {}
    call.tools.redactor.learn_headers(headers)
    return Opened(connection, 101, headers, max_size=max_size, stack=stack)


def _handshake(document: dict[str, Any], call: Call) -> Request:
    """Prepare the handshake as a GET, with whatever a request may have."""
    url = call.text(document["url"])
    scheme, _, rest = url.partition("://")
    if scheme not in ("ws", "wss"):
        text = f"{cut(url, 200)!r} is no URL of a WebSocket: write ws://host:port/path"
        raise StepFailure(text, permanent=True)
    asked = {key: document[key] for key in _OF_HTTP if key in document}
    # NB: filled in already; what a value looks like must not be filled in again.
    request = http.prepared({**asked, "get": "http://placeholder/"}, call)
    request = replace(request, url=f"{'https' if scheme == 'wss' else 'http'}://{rest}")
    cookie = call.tools.client.cookie_for(request.url)
    if cookie and "cookie" not in {name.lower() for name in request.headers}:
        request = replace(request, headers={**request.headers, "Cookie": cookie})
    call.tools.redactor.learn_url(request.url)
    if document.get("oauth2"):
        from seatrial_runner.scenario.oauth2 import with_token

        request = with_token(document["oauth2"], request, call)
    return request


def _of_websocket(url: str) -> str:
    return f"ws{url.removeprefix('http')}"


def _own(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name != "User-Agent"]


def _refused(answer: Any, call: Call) -> Opened:
    headers = {name.lower(): value for name, value in answer.headers.raw_items()}
    call.tools.redactor.learn_headers(headers)
    line = f"{answer.status_code} {answer.reason_phrase}".strip()
    body = cut((answer.body or b"").decode("utf-8", "replace").strip(), 200)
    return Opened(None, answer.status_code, headers, f"{line}: {body}" if body else line)


def _failure(error: Exception, url: str, request: Request) -> Exception:
    """Say in words what went wrong; what is none of the library's is given back as it is."""
    from websockets.exceptions import (
        ConnectionClosed,
        InvalidHandshake,
        InvalidURI,
        WebSocketException,
    )

    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'wss' else 80)}"
    shown = request_text(request)
    match error:
        case TlsError():
            return StepFailure(str(error), shown, permanent=True)
        case ssl.SSLError():
            return StepFailure(tls_problem(str(error), where, "ws") or str(error), shown)
        case TimeoutError():
            return StepFailure(f"no WebSocket at {where} in time", shown, out_of_time=True)
        case ConnectionRefusedError():
            text = f"connection refused: nothing listens on {where}"
            return StepFailure(text, shown)
        case socket.gaierror():
            text = f"the name {parts.hostname!r} does not resolve: is it a service of this run?"
            return StepFailure(text, shown)
        case InvalidURI() | ValueError():
            return StepFailure(f"it cannot be opened: {error}", shown, permanent=True)
        case InvalidHandshake() | EOFError() | ConnectionClosed() | AssertionError():
            reason = str(error.__cause__ or error)
            if isinstance(error, ConnectionClosed):
                reason = "it closed the connection"
            elif isinstance(error, AssertionError):  # the library's, of what came unasked
                reason = "it spoke before it was asked"
            text = f"the answer of {where} is no WebSocket handshake: {reason}"
            return StepFailure(text, shown, answered=True)
        case OSError():
            return StepFailure(f"no connection to {where}: {error}", shown)
        case WebSocketException():
            return StepFailure(f"{type(error).__name__}: {error}", shown)
        case _:
            return error
