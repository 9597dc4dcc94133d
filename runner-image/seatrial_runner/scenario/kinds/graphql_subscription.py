"""
A subscription of ``graphql``: results over a WebSocket, until there are enough.

Source: the protocol graphql-transport-ws, enisdenjo/graphql-ws, PROTOCOL.md.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.expressions import ExpressionError
from seatrial_runner.scenario.receiving import Condition
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.request import timeout_of
from seatrial_runner.scenario.watch import Watch

if TYPE_CHECKING:
    from seatrial_runner.scenario.kinds.websocket_opening import Opened

PROTOCOL = "graphql-transport-ws"
MAX_EVENTS = 10_000
MAX_TOTAL = 10 * 1024 * 1024
MAX_MESSAGE = 4 * 1024 * 1024
_ID = "1"
_MOST_SHOWN = 20


@dataclass
class _Results:
    """What has come of a subscription."""

    events: list[dict[str, Any]] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)  # that ended it
    size: int = 0
    complete: bool = False

    def values(self) -> dict[str, Any]:
        last = self.events[-1] if self.events else {}
        return {
            "response.data": last.get("data"),
            "response.errors": self.errors or last.get("errors") or [],
            "response.events": self.events,
        }


def subscribe(document: dict[str, Any], call: Call) -> Observation:
    """
    Subscribe, and take results until there are enough.

    Raises:
        StepFailure: There is no such server, or fewer results came.
    """
    from seatrial_runner.scenario.kinds.websocket_opening import open_websocket

    wanted = document["receive"]
    lasts = wanted.get("for")
    seconds = parse_duration(lasts).total_seconds() if lasts else timeout_of(document)
    watch = Watch(seconds, call.seconds())
    url = document["url"]
    url = f"ws{url.removeprefix('http')}" if url.startswith("http") else url
    asked = {**document, "url": url, "subprotocols": [PROTOCOL]}
    opened = open_websocket(asked, call, watch.end, max_size=MAX_MESSAGE)
    results = _Results()
    if opened.connection is not None:
        with opened.stack:
            _converse(document, opened, call, results, watch)
    values = {
        **results.values(),
        "response.status": opened.status,
        "response.headers": opened.headers,
        "response.text": opened.refusal,
        "response.json": None,
        "response.elapsed": timedelta(seconds=time.monotonic() - watch.began),
    }
    why = opened.refusal or ("there are errors" if results.errors else "no result came")
    notes = {"response.data": why} if values["response.data"] is None else {}
    return Observation(values, _shown(results), notes, opened.refusal or _came(results))


def _converse(
    document: dict[str, Any], opened: Opened, call: Call, results: _Results, watch: Watch
) -> None:
    if opened.subprotocol != PROTOCOL:
        raise StepFailure(f"the server does not speak {PROTOCOL}", answered=True)
    _send(opened, {"type": "connection_init"})
    if (answer := _next(opened, watch.end)) is None or answer.get("type") != "connection_ack":
        raise _no_answer("the server did not take the connection", answer, opened)
    payload = {"query": call.text(document["query"])}
    if document.get("variables"):
        payload["variables"] = call.json(document["variables"])
        call.tools.redactor.learn_json(payload["variables"])
    if document.get("operationName"):
        payload["operationName"] = call.text(document["operationName"])
    _send(opened, {"id": _ID, "type": "subscribe", "payload": payload})
    _take(document["receive"], opened, call, results, watch)
    if not results.complete and not opened.closed:
        _send(opened, {"id": _ID, "type": "complete"})


def _take(
    wanted: dict[str, Any], opened: Opened, call: Call, results: _Results, watch: Watch
) -> None:
    condition = Condition(wanted.get("until"), call.scope)
    count = wanted.get("count")
    while not results.complete:
        message = _next(opened, watch.end)
        if message is None:
            if "for" in wanted and not opened.closed:
                watch.require_whole()
                return
            raise _too_few(opened, results, count, condition)
        if not _understood(message, results):
            continue
        results.size += len(json.dumps(message))
        call.tools.redactor.learn_json(message)
        if len(results.events) > MAX_EVENTS or results.size > MAX_TOTAL:
            raise StepFailure(
                f"more than {MAX_EVENTS} results or {MAX_TOTAL // 2**20} MiB came, the most a step"
                " reads: end it sooner with receive.count or receive.until",
                answered=True,
            )
        if len(results.events) == count or _holds(condition, results):
            return
    if (count is not None or "until" in wanted) and not results.errors:
        raise _too_few(opened, results, count, condition)


def _understood(message: dict[str, Any], results: _Results) -> bool:
    """Take a message in; tell whether it was a result."""
    match message:
        case {"type": "next", "payload": dict() as payload}:
            results.events.append(payload)
            return True
        case {"type": "error", "payload": list() as errors}:
            results.errors, results.complete = errors, True
        case {"type": "complete"}:
            results.complete = True
        case _:
            pass  # ping is answered where messages are read
    return False


def _holds(condition: Condition, results: _Results) -> bool:
    try:
        return condition.holds(results.values())
    except ExpressionError as error:
        raise StepFailure(f"receive.until: {error}", permanent=True) from error


def _send(opened: Opened, message: dict[str, Any]) -> None:
    with opened.explained("the subscription broke"):
        opened.send(json.dumps(message, ensure_ascii=False))


def _next(opened: Opened, end: float) -> dict[str, Any] | None:
    """Give the next message; None if none came in time, or the server has closed."""
    while True:
        with opened.explained("the subscription broke"):
            came = opened.receive(end - time.monotonic())
        if came is None or opened.closed:
            return None
        try:
            message = json.loads(came)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            text = f"what came is no message of {PROTOCOL}: {cut(str(came), 100)!r}"
            raise StepFailure(text, answered=True)
        if message.get("type") != "ping":
            return message
        _send(opened, {"type": "pong"})


def _no_answer(what: str, answer: dict[str, Any] | None, opened: Opened) -> StepFailure:
    if answer is not None:
        return StepFailure(f"{what}: it answered {cut(json.dumps(answer), 200)}", answered=True)
    if opened.closed:
        code, reason = opened.how_closed()
        return StepFailure(f"{what}: it closed ({f'{code} {reason}'.strip()})", answered=True)
    return StepFailure(f"{what}: nothing came in time", out_of_time=True)


def _too_few(
    opened: Opened, results: _Results, count: int | None, condition: Condition
) -> StepFailure:
    awaited = [str(count)] if count is not None else []
    told = " or ".join([*awaited, *condition.told()]) or "its end"
    how = "the subscription ended" if results.complete else f"{_came(results)} in time"
    if opened.closed:
        code, reason = opened.how_closed()
        how = f"the server closed ({f'{code} {reason}'.strip()})"
    text = f"{how} after {_came(results)}, before {told}"
    if not results.complete and not opened.closed:
        text = f"{how}, and not {told}"
    return StepFailure(text, _shown(results), answered=True)


def _came(results: _Results) -> str:
    return "1 result" if len(results.events) == 1 else f"{len(results.events)} results"


def _shown(results: _Results) -> str:
    lines = [f"  {cut(json.dumps(each, ensure_ascii=False), 500)}" for each in results.events]
    more = len(lines) - _MOST_SHOWN
    lines = [*lines[:_MOST_SHOWN], *([f"  … {more} more"] if more > 0 else [])]
    if results.errors:
        lines += ["Errors:", f"  {cut(json.dumps(results.errors, ensure_ascii=False), 1000)}"]
    return "\n".join(["Results:", *lines])
