"""Commands, answers and errors of Redis, between its protocol and JSON. Pure."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any

from seatrial.api.command_words import words

from seatrial_runner.scenario.action import SeenError

# Commands after which a connection is another: they need one that no other step uses.
OF_A_SESSION = frozenset(
    {"MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "SELECT", "AUTH", "HELLO", "RESET", "READONLY"}
)
# Commands that do not end with one answer.
ENDLESS = frozenset({"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC"})
# By the first word of an error.
_NAMES = {
    "WRONGTYPE": "wrongType",
    "NOAUTH": "accessDenied",
    "WRONGPASS": "accessDenied",
    "NOPERM": "permissionDenied",
    "OOM": "outOfMemory",
    "READONLY": "readOnly",
    "EXECABORT": "transactionAborted",
    "NOSCRIPT": "noScript",
    "BUSYGROUP": "alreadyExists",
    "NOGROUP": "undefinedGroup",
    "BUSY": "busy",
    "LOADING": "unavailable",
    "MASTERDOWN": "unavailable",
    "CLUSTERDOWN": "unavailable",
}
# By what follows ERR.
_TEXTS = (
    (r"unknown (sub)?command", "unknownCommand"),
    (r"wrong number of arguments", "syntaxError"),
    (r"syntax error", "syntaxError"),
    (r"not an integer|not a valid float|not a float|out of range|invalid", "invalidValue"),
    (r"max number of clients", "tooManyConnections"),
    (r"no such key", "undefinedKey"),
)
HOPELESS = frozenset({"unknownCommand", "syntaxError"})


class CommandError(ValueError):
    """A command that is not sent; the message says why."""


def split(command: str | list[Any]) -> list[Any]:
    """Give the words of a command, before anything is filled in; raises CommandError."""
    if isinstance(command, list):
        return command
    try:
        return list(words(command))
    except ValueError as error:
        raise CommandError(f"{command}: {str(error).lower()}") from error


def encoded(parts: list[Any]) -> list[bytes]:
    """Give the words as they are sent: texts as they are, anything else as JSON."""
    return [
        (part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)).encode()
        for part in parts
    ]


def check(name: str, *, in_session: bool) -> None:
    """Refuse a command that would not do what it says; raises CommandError."""
    if name in ENDLESS:
        raise CommandError(f"{name} has no end: use a message step")
    if name in OF_A_SESSION and not in_session:
        raise CommandError(
            f"{name} is of a connection: give the steps that belong together a session: NAME"
        )


def to_json(value: Any) -> Any:
    """Give the JSON form of an answer; bytes that are no UTF-8 become base64."""
    match value:
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return base64.b64encode(value).decode()
        case float():
            return value if math.isfinite(value) else str(value)
        case list() | tuple():
            return [to_json(item) for item in value]
        case set() | frozenset():
            return sorted((to_json(item) for item in value), key=str)
        case dict():
            return {str(to_json(key)): to_json(item) for key, item in value.items()}
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def seen_error(error: Exception, details: dict[str, Any]) -> SeenError:
    """Say what a server answered."""
    text = " ".join(str(error).split())
    code = str(getattr(error, "status_code", None) or "")
    if not code:
        first, _, rest = text.partition(" ")
        code, text = (first, rest) if re.fullmatch(r"[A-Z]{2,}", first) and rest else ("ERR", text)
    name = _NAMES.get(code, "")
    if not name:
        name = next((found for pattern, found in _TEXTS if re.search(pattern, text)), "other")
    return SeenError(name, text, code, details)
