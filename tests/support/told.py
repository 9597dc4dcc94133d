"""
What each kind of step says when its other side lets nobody in, is away, is silent, or is another.

Proven by ``tests/components/test_what_steps_say.py`` and ``tests/control_plane``, where a situation
is brought about and the message compared; shown in ``docs/reference/what-steps-say.md``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/what-steps-say.md"


class Situation(StrEnum):
    """What is wrong with the other side."""

    REFUSES = "wrong credentials"
    DOWN = "nothing is there"
    SILENT = "no answer in time"
    OTHER = "something else answers"


REFUSES, DOWN, SILENT, OTHER = Situation

_NO_LISTENER = "connection refused: nothing listens on HOST:PORT"
_NO_RESPONSE = "no complete response within 1 s"
_NO_HTTP = "what answers at HOST:PORT is no HTTP: 'SSH-2.0-OpenSSH'"
_NO_WEBSOCKET = "the answer of HOST:PORT is no WebSocket handshake: …"
_POSTGRESQL = {
    REFUSES: "x: postgresql://HOST:PORT/app: FATAL: password authentication failed for user"
    ' "postgres" (accessDenied, 28P01)',
    DOWN: "x: postgresql://HOST:PORT/app: Connection refused Is the server running on that host"
    " and accepting TCP/IP connections? (unavailable)",
    SILENT: "x: postgresql://HOST:PORT/app: no answer in time (timeout)",
    OTHER: "x: postgresql://HOST:PORT/app: no PostgreSQL answers there: …",
}
_MYSQL = {
    REFUSES: "x: mysql://HOST:PORT/app: Access denied for user 'app'@…",
    DOWN: "x: mysql://HOST:PORT/app: Can't connect to MySQL server on '127.0.0.1' ([Errno 111]"
    " Connection refused) (unavailable)",
    SILENT: "x: mysql://HOST:PORT/app: no answer in time (timeout)",
    OTHER: "x: mysql://HOST:PORT/app: no MySQL answers there: Packet sequence number wrong - got"
    " 45 expected 0 (invalidData)",
}
_SQLITE = {
    REFUSES: "x: sqlite:///FILE: permission denied (accessDenied, SQLITE_CANTOPEN)",
    DOWN: "x: sqlite:///FILE: its folder is not there (unavailable, SQLITE_CANTOPEN)",
    SILENT: "x: database is locked (lockTimeout, SQLITE_BUSY)",
    OTHER: "x: sqlite:///FILE: file is not a database (invalidData, SQLITE_NOTADB)",
}
_REDIS = {
    REFUSES: "x: invalid username-password pair or user is disabled. (accessDenied, WRONGPASS)",
    DOWN: "x: redis://HOST:PORT/0: Error 111 connecting to HOST:PORT. Connection refused."
    " (unavailable)",
    SILENT: "x: no answer within 1 s (timeout)",
    OTHER: "x: redis://HOST:PORT/0: no Redis answers there: Protocol Error: b'SSH-2.0-OpenSSH'"
    " (invalidData)",
}
_MONGO = {
    REFUSES: "x: Authentication failed. (accessDenied, 18)",
    DOWN: "x: mongodb://HOST:PORT/app: HOST:PORT: [Errno 111] Connection refused (unavailable)",
    SILENT: "x: mongodb://HOST:PORT/app: no answer in time (timeout)",
    OTHER: "x: mongodb://HOST:PORT/app: no MongoDB answers there: …",
}


def _broker(name: str, other: str) -> dict[Situation, str]:
    return {
        REFUSES: f"{name} at HOST:PORT refuses user 'tester': wrong user name or password",
        DOWN: f"{name} at HOST:PORT cannot be reached: connection refused",
        SILENT: "connecting to HOST:PORT took longer than 1 s",
        OTHER: f"{name} at HOST:PORT{other}",
    }


def _cluster(path: str) -> dict[Situation, str]:
    return {
        REFUSES: f"GET {path}: 401 Unauthorized",
        DOWN: f"GET {path}: connection refused: no API server listens on HOST:PORT",
        SILENT: f"GET {path}: no answer in time from the API server at HOST:PORT",
        OTHER: f"GET {path}: what answers at HOST:PORT is no API server of Kubernetes:"
        " 'SSH-2.0-OpenSSH'",
    }


_CLOSES = " closes the connection without an answer: does it speak {0}, and without TLS?"
_PODS = "/api/v1/namespaces/itr-shop/pods"
# By kind, and what is on the other side. HOST:PORT is where it is; what comes in place of … differs
# from time to time.
TOLD: dict[str, dict[Situation, str]] = {
    "http": {
        REFUSES: "expected response.status == 200, but response.status is 401",
        DOWN: _NO_LISTENER,
        SILENT: _NO_RESPONSE,
        OTHER: _NO_HTTP,
    },
    "http, a stream of events": {
        REFUSES: "expected response.status == 200, but response.status is 401",
        DOWN: _NO_LISTENER,
        SILENT: _NO_RESPONSE,
        OTHER: _NO_HTTP,
    },
    "graphql": {
        REFUSES: "expected response.data.order.id == 'o-1', but response.data.order: it is a field"
        " of null, which has none (401 Unauthorized; it has neither data nor errors)",
        DOWN: _NO_LISTENER,
        SILENT: _NO_RESPONSE,
        OTHER: _NO_HTTP,
    },
    "graphql, a subscription": {
        REFUSES: "expected response.data.order.id == 'o-1', but response.data.order: it is a field"
        " of null, which has none (401 Unauthorized: who are you?)",
        DOWN: _NO_LISTENER,
        SILENT: "no WebSocket at HOST:PORT in time",
        OTHER: _NO_WEBSOCKET,
    },
    "grpc": {
        REFUSES: "expected response.code == 'OK', but response.code is \"UNAUTHENTICATED\"",
        DOWN: _NO_LISTENER,
        SILENT: "no answer came in time from HOST:PORT",
        OTHER: "HOST:PORT does not speak gRPC, or wants TLS: …",
    },
    "websocket": {
        REFUSES: "the server refused the WebSocket: 401 Unauthorized: who are you?",
        DOWN: _NO_LISTENER,
        SILENT: "no WebSocket at HOST:PORT in time",
        OTHER: _NO_WEBSOCKET,
    },
    "sql, PostgreSQL": _POSTGRESQL,
    "sql, MySQL": _MYSQL,
    "sql, SQLite": _SQLITE,
    "redis": _REDIS,
    "mongo": _MONGO,
    "data, PostgreSQL": _POSTGRESQL,
    "data, MySQL": _MYSQL,
    "data, SQLite": _SQLITE,
    "data, Redis": _REDIS,
    "data, MongoDB": _MONGO,
    "message, Kafka": _broker("Kafka", _CLOSES.format("Kafka")),
    "message, RabbitMQ": _broker("RabbitMQ", ": no RabbitMQ answers there: …"),
    "message, NATS": _broker("NATS", ": no NATS answers there: …"),
    "message, Redis": _broker(
        "Redis", ": no Redis answers there: Protocol Error: b'SSH-2.0-OpenSSH'"
    ),
    "message, MQTT": _broker("MQTT", _CLOSES.format("MQTT")),
    "kubernetes": _cluster(_PODS),
    "logs": _cluster(_PODS),
    "exec": _cluster(_PODS),
    "metrics, of a service": {
        REFUSES: "http://HOST:PORT/metrics answers 401: Unauthorized",
        DOWN: f"http://HOST:PORT/metrics: {_NO_LISTENER}",
        SILENT: f"http://HOST:PORT/metrics: {_NO_RESPONSE}",
        OTHER: f"http://HOST:PORT/metrics: {_NO_HTTP}",
    },
    "metrics, of Prometheus": {
        REFUSES: "http://HOST:PORT/api/v1/query answers 401: Unauthorized",
        DOWN: f"http://HOST:PORT/api/v1/query?query=up: {_NO_LISTENER}",
        SILENT: f"http://HOST:PORT/api/v1/query?query=up: {_NO_RESPONSE}",
        OTHER: f"http://HOST:PORT/api/v1/query?query=up: {_NO_HTTP}",
    },
}
# Without another side that they would have to reach.
ALONE = frozenset({"set", "steps", "parallel", "scenario", "fault", "webhook"})
# What a message begins with: where it was, and that the test's time was over, too.
_BEFORE = re.compile(r"^before the first step: |^.*?\): ")
_OVER = re.compile(r"^the test's time \([^)]*\) is over: ")
_TIME = re.compile(r"\b\d+(?:\.\d+)? ?s\b")


def told(message: str, port: int, *, file: str = "") -> str:
    """Give what a failure says, without the step, and with names for what differs by machine."""
    text = _OVER.sub("", _BEFORE.sub("", message, count=1))
    text = text.replace(f"127.0.0.1:{port}", "HOST:PORT")
    return text.replace(file, "FILE") if file else text


def agrees(said: str, words: str) -> bool:
    """Tell whether a message is as the table has it; times may be other ones."""
    said, words = (_TIME.sub("N s", each) for each in (said, words))
    head, more, _ = words.partition("…")
    return said.startswith(head) if more else said == words


def page() -> str:
    """Write the table as a page."""
    parts = [_HEAD]
    for kind, situations in TOLD.items():
        rows = [f"| {each} | `{words}` |" for each, words in situations.items()]
        parts.append("\n".join([f"## {kind}", "", "| the other side | the step says |",
                                "| --- | --- |", *rows]))  # fmt: skip
    return "\n\n".join(parts) + "\n"


_HEAD = """# What steps say when the other side fails

What a step says when what it talks to lets nobody in, is away, is silent, or is something else.
Each line is brought about by the project's tests and compared; `make generate` writes this page.

`HOST:PORT` is where the step looked; `…` stands for words of the other side that differ.
The words at the end, such as `(accessDenied, 28P01)`, are what [`expectError`](scenario.md#steps)
sees as `error.name` and `error.code`.
None of these messages holds a password."""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
