"""Reads a record of messages that a test pod has sent: it may be anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from seatrial.api.report import RecordDoc

from seatrial_runner.conductor.recorded import MAX_MESSAGES

MAX_RECORD_BYTES = 384 * 1024  # as JSON, where a character that is not ASCII takes six
_MAX_SUBSCRIPTIONS = 64


def read_record(value: object) -> RecordDoc:
    """
    Check a record that came over the network.

    Raises:
        ValueError: It is none; the message names the field.
    """
    where = "case.messages"
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object")
    numbers = {
        name: _whole(value, name, where) for name in ("total", "leftOut", "withoutBody", "dropped")
    }
    sources = _objects(value, "subscriptions", where, _MAX_SUBSCRIPTIONS)
    messages = _objects(value, "messages", where, MAX_MESSAGES)
    for number, each in enumerate(sources):
        of = f"{where}.subscriptions[{number}]"
        _whole(each, "messages", of)
        missed = each.get("missed")
        if not isinstance(missed, list) or not all(isinstance(text, str) for text in missed):
            raise ValueError(f"{of}.missed must be a list of texts")
        _texts(each, of, "name")
    for number, each in enumerate(messages):
        of = f"{where}.messages[{number}]"
        _whole(each, "number", of)
        _whole(each, "bytes", of)
        _texts(each, of, "from", "at")
        _texts({"topic": "", "key": "", **each}, of, "topic", "key")
        if not isinstance(each.get("text"), str | None):
            raise ValueError(f"{of}.text must be a text, or null")
    if len(json.dumps(value)) > MAX_RECORD_BYTES:
        raise ValueError(f"{where} may have {MAX_RECORD_BYTES} bytes")
    return cast("RecordDoc", {**numbers, "subscriptions": sources, "messages": messages})


def _objects(value: Mapping[str, Any], name: str, where: str, most: int) -> list[dict[str, Any]]:
    found = value.get(name)
    if not isinstance(found, list):
        raise ValueError(f"{where}.{name} must be a list")
    if len(found) > most:
        raise ValueError(f"{where}.{name} may have at most {most} elements")
    for number, each in enumerate(found):
        if not isinstance(each, dict):
            raise ValueError(f"{where}.{name}[{number}] must be an object")
    return found


def _texts(value: Mapping[str, Any], where: str, *names: str) -> None:
    for name in names:
        if not isinstance(value.get(name), str):
            raise ValueError(f"{where}.{name} must be a text")


def _whole(value: Mapping[str, Any], name: str, where: str) -> int:
    number = value.get(name)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ValueError(f"{where}.{name} must be a whole number, 0 or more")
    return number
