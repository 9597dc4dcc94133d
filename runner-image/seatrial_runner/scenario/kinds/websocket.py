"""``websocket``: opens a connection, sends, receives, closes; it stays open across steps."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.expressions import ExpressionError
from seatrial_runner.scenario.receiving import Condition
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.request import RequestError, from_base64, timeout_of
from seatrial_runner.scenario.watch import Watch

if TYPE_CHECKING:
    from seatrial_runner.scenario.kinds.websocket_opening import Opened

MAX_MESSAGE = 4 * 1024 * 1024
MAX_MESSAGES = 10_000
MAX_TOTAL = 10 * 1024 * 1024
_MOST_SHOWN = 20


def title(document: dict[str, Any]) -> str:
    """Say which connection, and where it leads if the step opens it."""
    name = document.get("name", "default")
    return f"websocket {document.get('url') or name}"


def preload() -> None:
    """Import the driver: it starts nothing by being imported."""
    with suppress(ImportError):  # the step says what to install
        import websockets.sync.client  # noqa: F401


@dataclass
class _Seen:
    """What a step saw."""

    sent: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0

    def text(self) -> str:
        lines = [f"  > {cut(each, 300)}" for each in self.sent]
        lines += [f"  < {cut(each['text'] or each['base64'], 300)}" for each in self.messages]
        if len(lines) > _MOST_SHOWN:
            lines = [*lines[:_MOST_SHOWN], f"  … {len(lines) - _MOST_SHOWN} more"]
        return "\n".join(["Messages (> sent, < received):", *lines]) if lines else ""


def act(document: dict[str, Any], call: Call) -> Observation:
    """Do what the step says, in the order: open, send, receive, close."""
    receive = document.get("receive") or {}
    lasts = receive.get("for")
    seconds = parse_duration(lasts).total_seconds() if lasts else timeout_of(document)
    watch = Watch(seconds, call.seconds())
    seen = _Seen()
    key = ("websocket", document.get("name", "default"))
    opened = _connection(document, key, call, watch.end)
    if opened.connection is not None:
        try:
            _send(document, opened, call, seen)
            if "receive" in document:
                _receive(receive, opened, call, seen, watch)
            if "close" in document:
                _close(document["close"], opened, call)
        except StepFailure as failure:
            failure.details = "\n\n".join(part for part in (seen.text(), failure.details) if part)
            if opened.closed:
                call.tools.resources.forget(key)
            raise
        if opened.closed:
            call.tools.resources.forget(key)
            opened.stack.close()
    elif document.keys() & {"send", "receive"}:
        raise StepFailure(f"the server refused the WebSocket: {opened.refusal}", answered=True)
    code, reason = opened.how_closed()
    values = {
        "response.status": opened.status,
        "response.headers": opened.headers,
        "response.subprotocol": opened.subprotocol,
        "response.message": seen.messages[-1] if seen.messages else None,
        "response.messages": seen.messages,
        "response.closeCode": code,
        "response.closeReason": reason,
        "response.elapsed": timedelta(seconds=time.monotonic() - watch.began),
    }
    notes = {"response.message": "no message was received"} if not seen.messages else {}
    brief = opened.refusal or f"101 Switching Protocols and {len(seen.messages)} messages"
    return Observation(values, seen.text(), notes, brief)


def _connection(document: dict[str, Any], key: tuple[str, str], call: Call, end: float) -> Opened:
    """Give the connection of this name, or open it; one that is refused is not kept."""
    resources = call.tools.resources
    if "url" not in document:
        opened: Opened | None = resources.find(key)
        if opened is None:
            raise StepFailure(
                f"no WebSocket named {key[1]!r} is open: open it in a step before, with url",
                permanent=True,
            )
        return opened
    from seatrial_runner.scenario.kinds.websocket_opening import open_websocket

    if (old := resources.forget(key)) is not None:
        old.stack.close()
    opened = open_websocket(document, call, end, max_size=MAX_MESSAGE)
    if opened.connection is None:
        return opened
    return resources.get(key, lambda: opened, lambda each: each.stack.close())


def _send(document: dict[str, Any], opened: Opened, call: Call, seen: _Seen) -> None:
    for index, message in enumerate(document.get("send") or ()):
        content = _content(message, call, f"send[{index}]")
        seen.sent.append(content if isinstance(content, str) else f"{len(content)} bytes")
        with opened.explained(f"message {index + 1} could not be sent"):
            opened.send(content)


def _content(message: dict[str, Any], call: Call, where: str) -> str | bytes:
    if "base64" in message:
        try:
            return from_base64(call.text(message["base64"]), f"{where}.base64")
        except RequestError as error:
            raise StepFailure(str(error), permanent=True) from error
    if "text" in message:
        return call.text(message["text"])
    value = call.json(message.get("json"))
    call.tools.redactor.learn_json(value)
    return json.dumps(value, ensure_ascii=False)


def _receive(wanted: dict[str, Any], opened: Opened, call: Call, seen: _Seen, watch: Watch) -> None:
    condition = Condition(wanted.get("until"), call.scope)
    lasts, closed = "for" in wanted, wanted.get("closed", False)
    count = wanted.get("count")
    if count is None and not (lasts or closed or "until" in wanted):
        count = 1
    while count is None or len(seen.messages) < count:
        with opened.explained("a message could not be received"):
            came = opened.receive(watch.left())
        if came is None:
            if lasts:
                watch.require_whole()
                return
            raise StepFailure(
                f"{_came(seen)} in time, and not {_awaited(count, condition, closed=closed)}",
                out_of_time=True,
                answered=True,
            )
        if opened.closed:
            if closed:
                return
            code, reason = opened.how_closed()
            raise StepFailure(
                f"the connection was closed ({f'{code} {reason}'.strip()}) after {_came(seen)},"
                f" before {_awaited(count, condition, closed=closed)}",
                answered=True,
            )
        _take(came, seen, call)
        if _enough(condition, seen):
            return


def _take(came: str | bytes, seen: _Seen, call: Call) -> None:
    seen.messages.append(_shown(came))
    seen.size += len(came)
    call.tools.redactor.learn_json(seen.messages[-1]["json"])
    if len(seen.messages) > MAX_MESSAGES or seen.size > MAX_TOTAL:
        raise StepFailure(
            f"more than {MAX_MESSAGES} messages or {MAX_TOTAL // 2**20} MiB came, the most a step"
            " reads: end it sooner with receive.count or receive.until",
            answered=True,
        )


def _enough(condition: Condition, seen: _Seen) -> bool:
    try:
        return condition.holds(
            {"response.message": seen.messages[-1], "response.messages": seen.messages}
        )
    except ExpressionError as error:
        raise StepFailure(f"receive.until: {error}", permanent=True) from error


def _shown(came: str | bytes) -> dict[str, Any]:
    if isinstance(came, bytes):
        from binascii import b2a_base64

        return {"text": "", "json": None, "base64": b2a_base64(came, newline=False).decode()}
    try:
        value = json.loads(came)
    except (ValueError, RecursionError):
        value = None
    return {"text": came, "json": value, "base64": ""}


def _close(document: dict[str, Any], opened: Opened, call: Call) -> None:
    opened.close(document.get("code", 1000), call.text(document.get("reason") or ""))


def _came(seen: _Seen) -> str:
    return "1 message came" if len(seen.messages) == 1 else f"{len(seen.messages)} messages came"


def _awaited(count: int | None, condition: Condition, *, closed: bool) -> str:
    wanted = [str(count)] if count is not None else []
    wanted += condition.told()
    wanted += ["the end of the connection"] if closed else []
    return " or ".join(wanted)
