"""
Values that move between JSON, CEL and templates.

All are JSON types; a variable may also be a duration (``timedelta``) or a timestamp (``datetime``).
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

from seatrial_runner.clock import rfc3339
from seatrial_runner.scenario.redaction import cut

MIN_INT, MAX_UINT = -(2**63), 2**64 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")


class ValueTypeError(ValueError):
    """A value that no later step could use."""


def clean(value: Any) -> Any:
    """
    Make a JSON value safe for CEL: cel-expr-python 0.1.3 cuts a text at its first NUL, throws on
    lone surrogates, and refuses integers beyond 64 bits.

    NUL becomes ``␀`` (U+2400), a lone surrogate U+FFFD, an integer beyond 64 bits a double.
    """
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if MIN_INT <= value <= MAX_UINT else _to_float(value)
        case str():
            return _clean_text(value)
        case list() | tuple():
            return [clean(item) for item in value]
        case dict():
            return {_clean_text(str(key)): clean(item) for key, item in value.items()}
        case timedelta() | datetime():
            return value
        case _:
            raise ValueTypeError(f"{type(value).__name__} is not a JSON type")


def to_variable(value: Any) -> Any:
    """
    Give what ``capture`` and ``set`` keep of a CEL value.

    Raises:
        ValueTypeError: It holds something that is neither JSON nor, by itself, a duration or a
            timestamp.
    """
    if isinstance(value, (timedelta, datetime)):
        return value
    _require_json(value)
    return clean(value)


def as_json(value: Any) -> Any:
    """Give the JSON form of a variable: durations and timestamps become text as in protobuf."""
    match value:
        case timedelta():
            return show_duration(value)
        case datetime():
            return rfc3339(value)
        case _:
            return value


def show(value: Any, limit: int = 200) -> str:
    """Write a value for people, on one line of about ``limit`` characters at most."""
    match value:
        case timedelta():
            text = show_duration(value)
        case datetime():
            text = rfc3339(value)
        case bytes() | bytearray():
            text = f"{len(value)} bytes"
        case _:
            # Sorted: CEL gives maps back in an order that changes from process to process.
            text = json.dumps(normal(value), ensure_ascii=False, default=str, sort_keys=True)
    return text if len(text) <= limit else f"{cut(text, limit)} ({len(text)} characters)"


def normal(value: Any) -> Any:
    """Give equal values (in CEL 1 == 1.0) the same JSON text; keys of maps become text."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [normal(item) for item in value]
        case dict():
            return {str(key): normal(item) for key, item in value.items()}
        case _:
            return value


def show_duration(duration: timedelta) -> str:
    """Write a duration in seconds, as CEL's ``duration()`` reads it: ``0.25s``."""
    return f"{duration.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


def kind(value: Any) -> str:
    """Name the type of a value in CEL's words."""
    names = {bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _require_json(value: Any) -> None:
    match value:
        case None | bool() | int() | float() | str():
            pass
        case list():
            for item in value:
                _require_json(item)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise ValueTypeError(f"the key {key!r} of a map is no text")
                _require_json(item)
        case timedelta() | datetime():
            raise ValueTypeError("a duration or timestamp inside a list or map: use string()")
        case _:
            raise ValueTypeError(f"{type(value).__name__} is not a JSON type: use string()")


def _clean_text(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", "\u2400")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _to_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
