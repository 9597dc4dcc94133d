"""
A command in a container, over a WebSocket of the API server.

Source: Kubernetes, staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go: each binary
message begins with the number of its stream; v5 can end standard input, v4 cannot.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from seatrial_runner.scenario.cluster.requests import Access, message_of
from seatrial_runner.scenario.redaction import cut, cut_front
from seatrial_runner.scenario.tls_socket import OneAtATime
from seatrial_runner.scenario.world import ClusterStepError, Executed

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
MAX_OUTPUT = 1024 * 1024
_CHUNK = 32 * 1024
_PAUSE_S = 0.2


def execute(
    access: Access, path: str, container: str, command: list[str], stdin: str, seconds: float
) -> Executed:
    """
    Run a command and wait for its end.

    Raises:
        ClusterStepError: It could not be run, did not end in time, or wrote too much.
    """
    deadline = time.monotonic() + seconds
    query = [("command", each) for each in command]
    query += [("container", container), ("stdout", "true"), ("stderr", "true")]
    if stdin:
        query.append(("stdin", "true"))
    where = urlsplit(access.url)
    scheme = "wss" if where.scheme == "https" else "ws"
    url = f"{scheme}://{where.netloc}{quote(path)}?{urlencode(query)}"
    with ExitStack() as stack:
        connection = _connect(access, url, deadline, stack)
        if stdin:
            _send(connection, stdin)
        return _listen(connection, deadline, seconds)


def _connect(access: Access, url: str, deadline: float, stack: ExitStack) -> ClientConnection:
    try:
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import connect
        from websockets.typing import Subprotocol
    except ImportError as error:
        text = "exec needs the extra: pip install 'seatrial[exec]'"
        raise ClusterStepError(text, permanent=True) from error
    tls: Any = OneAtATime(access.tls) if access.tls else None
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise ClusterStepError("the API server did not answer in time", out_of_time=True)
        try:
            opening = connect(
                url,
                ssl=tls,
                subprotocols=[Subprotocol(V5), Subprotocol(V4)],
                additional_headers=dict(access.headers()),
                proxy=None,
                compression=None,
                open_timeout=left,
                close_timeout=1,
                max_size=4 * MAX_OUTPUT,
                ping_interval=None,
            )
            return stack.enter_context(opening)
        except InvalidStatus as error:
            status, body = error.response.status_code, bytes(error.response.body or b"")
            if status not in (429, 502, 503, 504):
                text = f"the command could not be run: {status} {message_of(body)}"
                raise ClusterStepError(text, permanent=status == 403) from error
        except TimeoutError:
            continue
        except (OSError, WebSocketException) as error:
            if deadline - time.monotonic() < _PAUSE_S:
                raise ClusterStepError(f"the API server does not answer: {error}") from error
        time.sleep(_PAUSE_S)


def _send(connection: ClientConnection, stdin: str) -> None:
    if connection.subprotocol != V5:
        text = "stdin needs an API server of Kubernetes 1.30 or later: this one cannot end it"
        raise ClusterStepError(text, permanent=True)
    content = stdin.encode("utf-8", "surrogateescape")
    for begin in range(0, len(content), _CHUNK):
        connection.send(bytes([_STDIN]) + content[begin : begin + _CHUNK])
    connection.send(bytes([_CLOSE, _STDIN]))


def _listen(connection: ClientConnection, deadline: float, seconds: float) -> Executed:
    from websockets.exceptions import ConnectionClosed

    streams = {_STDOUT: bytearray(), _STDERR: bytearray()}
    while True:
        try:
            message = connection.recv(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError as error:
            text = f"the command did not end within {seconds:.3g} s; it may still be running"
            raise ClusterStepError(text, details=_so_far(streams), out_of_time=True) from error
        except ConnectionClosed as error:
            text = f"the connection broke before the command's end was known: {error}"
            raise ClusterStepError(text, details=_so_far(streams)) from error
        content = message if isinstance(message, bytes) else message.encode()
        stream, rest = (content[0], content[1:]) if content else (_STDOUT, b"")
        if stream in streams:
            streams[stream] += rest
            if len(streams[stream]) > MAX_OUTPUT:
                text = f"the command wrote more than {MAX_OUTPUT // 2**20} MiB, the most a scenario"
                raise ClusterStepError(f"{text} reads: let it write less", permanent=True)
        elif stream == _ERROR:
            code = exit_code(_status(rest))
            return Executed(code, *(_text(streams[each]) for each in (_STDOUT, _STDERR)))


def _status(content: bytes) -> dict[str, Any]:
    try:
        status = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        status = None
    if not isinstance(status, dict):
        text = cut(content.decode("utf-8", "replace"), 100)
        raise ClusterStepError(f"how the command ended cannot be read: {text!r}")
    return status


def exit_code(status: dict[str, Any]) -> int:
    """
    Read how a command ended from the API server's Status.

    Raises:
        ClusterStepError: It was not run at all.
    """
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    text = str(status.get("message") or "the API server does not say why")
    raise ClusterStepError(f"the command could not be run: {cut(text, 2048)}", permanent=True)


def _so_far(streams: dict[int, bytearray]) -> str:
    return "\n".join(
        f"{title} so far:\n{cut_front(_text(streams[stream]), 4096)}"
        for title, stream in (("stdout", _STDOUT), ("stderr", _STDERR))
        if streams[stream]
    )


def _text(content: bytearray) -> str:
    return content.decode("utf-8", "replace")
