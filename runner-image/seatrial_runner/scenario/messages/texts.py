"""Writes messages for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from seatrial_runner.scenario.messages.reading import Reading
from seatrial_runner.scenario.redaction import (
    MASK,
    beginning,
    is_secret_name,
    masked_fields,
)
from seatrial_runner.scenario.values import show_duration

MAX_SHOWN = 8  # messages written with a failure
MAX_BODY = 1200  # characters of one


def messages_text(title: str, readings: Iterable[Reading], total: int) -> str:
    """Write messages at length, under a title; those beyond a few are counted."""
    shown = [message_text(reading) for _, reading in zip(range(MAX_SHOWN), readings, strict=False)]
    left = total - len(shown)
    rest = [f"  … and {left} more"] if left > 0 else []
    return "\n".join([f"{title}:", *shown, *rest])


def message_text(reading: Reading) -> str:
    """Write a message: where and when it came, its headers and its body."""
    arrived = reading.record.arrived
    more = arrived.more
    facts = [
        arrived.topic,
        f"partition {more['partition']}" if "partition" in more else "",
        f"offset {more['offset']}" if "offset" in more else "",
        f"exchange {more['exchange']}" if more.get("exchange") else "",
        f"key {reading.key}" if reading.key is not None else "",
        "redelivered" if more.get("redelivered") else "",
        "retained" if more.get("retained") else "",
        f"after {show_duration(reading.elapsed)}" if reading.elapsed else "there already",
    ]
    lines = [f"message {reading.number}: {', '.join(fact for fact in facts if fact)}"]
    lines += [f"{name}: {_value(name, value)}" for name, value in arrived.headers.items()]
    if dead := more.get("deadLetter"):
        lines.append(f"dead letter: {json.dumps(dead, ensure_ascii=False, default=str)}")
    body = _body(reading)
    return "\n".join(f"  {line}".rstrip() for line in [*lines, *(["", *body] if body else [])])


def _body(reading: Reading) -> list[str]:
    value, why = reading.json
    if reading.record.arrived.body is None:
        return [why]
    if reading.text is None:
        return [f"({len(reading.record.arrived.body)} bytes that are no text)"]
    shown = reading.text
    if not why and isinstance(value, dict | list):
        shown = json.dumps(masked_fields(value), indent=2, ensure_ascii=False)
    return beginning(shown, MAX_BODY).splitlines()


def _value(name: str, value: Any) -> str:
    if is_secret_name(name):
        return MASK
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
