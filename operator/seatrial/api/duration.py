"""Durations as Kubernetes and Go write them: ``1h30m``, ``250ms``, ``1.5s``."""

from __future__ import annotations

import re
from datetime import timedelta

PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
MAX_LENGTH = 32

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class TooLongError(ValueError):
    """A duration of millions of years."""


def parse_duration(text: str) -> timedelta:
    """
    Read a duration.

    Raises:
        ValueError: The text is not one or more numbers with a unit of ms, s, m or h, or is longer
            than 32 characters.
        TooLongError: No number can hold it.

    Source: Go, ``time.ParseDuration``, without signs and the units us and ns.
    """
    if len(text) > MAX_LENGTH:
        shown = f"{text[:40]!r} is longer than {MAX_LENGTH} characters"
        raise ValueError(f"{shown}: write it like 1m30s or 2h")
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text[:40]!r} is not a duration: write it like 500ms, 30s, 1m30s or 2h")
    try:
        return timedelta(seconds=sum(float(n) * _SECONDS[u] for n, u in _PART.findall(text)))
    except OverflowError:
        raise TooLongError(f"{text!r} is too long for a duration") from None


def format_duration(duration: timedelta) -> str:
    """Write a duration, exact to the millisecond, in its shortest usual form: ``1m30s``."""
    total_ms = round(duration.total_seconds() * 1000)
    if total_ms < 1000:
        return f"{total_ms}ms" if total_ms else "0s"
    seconds, ms = divmod(total_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    rest = f"{seconds}.{ms:03d}".rstrip("0") + "s" if ms else (f"{seconds}s" if seconds else "")
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "") + rest
