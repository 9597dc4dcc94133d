"""
What each kind of step gives to expressions and templates, under which names and of which type.

The operator and the pods compile with the same names, so that both say the same of an expression.
"""

from __future__ import annotations

# By kind of step, the CEL type by name. A dotted name is a field of the variable before the dot.
OBSERVED: dict[str, dict[str, str]] = {
    "http": {
        "response.status": "INT",
        "response.headers": "DYN",
        "response.text": "STRING",
        "response.json": "DYN",
        "response.elapsed": "DURATION",
        "response.url": "STRING",
        "response.version": "STRING",
        "response.size": "INT",
        "response.base64": "STRING",
        "response.event": "DYN",
        "response.events": "DYN",
    },
    "graphql": {
        "response.status": "INT",
        "response.headers": "DYN",
        "response.text": "STRING",
        "response.json": "DYN",
        "response.elapsed": "DURATION",
        "response.data": "DYN",
        "response.errors": "DYN",
        "response.events": "DYN",
    },
    "grpc": {
        "response.code": "STRING",
        "response.details": "STRING",
        "response.message": "DYN",
        "response.messages": "DYN",
        "response.metadata": "DYN",
        "response.trailers": "DYN",
        "response.elapsed": "DURATION",
    },
    "websocket": {
        "response.status": "INT",
        "response.headers": "DYN",
        "response.subprotocol": "STRING",
        "response.message": "DYN",
        "response.messages": "DYN",
        "response.closeCode": "INT",
        "response.closeReason": "STRING",
        "response.elapsed": "DURATION",
    },
    "webhook": {
        "request.method": "STRING",
        "request.path": "STRING",
        "request.query": "DYN",
        "request.headers": "DYN",
        "request.text": "STRING",
        "request.json": "DYN",
        "requests": "DYN",
    },
    "message": {
        "message.json": "DYN",
        "message.text": "DYN",  # null if it is no text
        "message.base64": "STRING",
        "message.headers": "DYN",
        "message.key": "DYN",
        "message.topic": "STRING",  # where it was published: topic, routing key, subject, stream
        "message.exchange": "DYN",
        "message.partition": "DYN",
        "message.offset": "DYN",
        "message.timestamp": "TIMESTAMP",
        "message.redelivered": "BOOL",
        "message.retained": "BOOL",
        "message.deadLetter": "DYN",
        "message.properties": "DYN",
        "message.elapsed": "DURATION",
        "messages": "DYN",
        "backlog": "INT",
    },
    "scenario": {"outputs": "DYN"},
    "sql": {
        "rows": "DYN",
        "row": "DYN",
        "rowCount": "INT",
        "columns": "DYN",
        "elapsed": "DURATION",
    },
    "exec": {
        "result.exitCode": "INT",
        "result.stdout": "STRING",
        "result.stderr": "STRING",
    },
    "kubernetes": {"object": "DYN", "objects": "DYN"},
    "logs": {"lines": "DYN"},
    "metrics": {"value": "DYN", "samples": "DYN"},
    "data": {
        "data.seed": "STRING",
        "data.counts": "DYN",
        "data.rows": "DYN",
        "data.elapsed": "DURATION",
    },
    "redis": {"result": "DYN", "elapsed": "DURATION"},
    "mongo": {
        "documents": "DYN",
        "document": "DYN",
        "reply": "DYN",
        "elapsed": "DURATION",
    },
}
# What a step with expectError sees of the error that the other side answered with.
ERROR = {
    "error.code": "STRING",
    "error.name": "STRING",
    "error.message": "STRING",
    "error.details": "DYN",
}
# What is there from the beginning.
GIVEN = {"services": "DYN", "env": "DYN", "run": "DYN", "webhooks": "DYN", "now": "TIMESTAMP"}

TYPES = {name: kind for names in OBSERVED.values() for name, kind in names.items()} | ERROR | GIVEN
# Variables that only steps define: nothing captured or set can have their names.
TAKEN = frozenset(name.partition(".")[0] for name in TYPES)


def types_of(kind: str) -> dict[str, str]:
    """
    Give the types as a step of this kind sees them.

    What several kinds give under one name, such as ``response``, has the fields of this one; of a
    kind that gives nothing, those of all.
    """
    own = OBSERVED.get(kind, {})
    given = {name.partition(".")[0] for name in own}
    others = {name: type_ for name, type_ in TYPES.items() if name.partition(".")[0] not in given}
    return others | own


def fields_of(variable: str, kind: str = "") -> list[str]:
    """Give the fields that a kind of step gives to a variable; or any kind."""
    prefix = f"{variable}."
    return [name.removeprefix(prefix) for name in types_of(kind) if name.startswith(prefix)]
