"""Lines of output before they are printed: text, depth and tone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

Json = dict[str, Any]

# What a test or a manifest says may hold terminal control sequences; a person must not meet them.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Tone(StrEnum):
    """How a line is meant; the values are rich styles."""

    PLAIN = ""
    TITLE = "bold"
    GOOD = "green"
    BAD = "bold red"
    WARNING = "yellow"
    BUSY = "cyan"
    QUIET = "dim"


@dataclass(frozen=True)
class Line:
    """One line of output."""

    text: str
    tone: Tone = Tone.PLAIN
    depth: int = 0

    def __str__(self) -> str:
        return "  " * self.depth + self.text


def printable(text: str) -> str:
    """Take out of a foreign text what would steer the terminal; line ends and tabs stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def block(text: str, depth: int, tone: Tone = Tone.PLAIN) -> Iterator[Line]:
    """Give a foreign text of several lines, indented; nothing of an empty one."""
    text = printable(text).strip("\n")
    for line in text.split("\n") if text else ():
        yield Line(line.replace("\t", "    ").rstrip(), tone, depth)


def count(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: ``1 test``, ``2 tests``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def moment(text: str | None) -> datetime | None:
    """Read a moment as the API server writes it; None of what is no moment."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """Give the time between two moments of a status, if both are there."""
    first, second = moment(begin), moment(end)
    return (second - first).total_seconds() if first and second else None


def short_seconds(seconds: float) -> str:
    """Write a time for people: ``0.41s``, ``12.4s``, ``3m05s``, ``2h10m``, ``3d4h``."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.2f}s"
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes:02d}m"
    return f"{hours // 24}d{hours % 24}h"


def clock_time(text: str | None) -> str:
    """Write the time of day of a moment in UTC, to the millisecond; ``-`` if there is none."""
    when = moment(text)
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03d}" if when else "-"
