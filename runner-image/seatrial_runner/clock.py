"""The only place in the pods where the wall clock is read."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Give the present moment, UTC-aware."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Write a moment in UTC with milliseconds: ``2026-11-20T12:00:31.004Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse(text: str) -> datetime:
    """
    Read a moment that Kubernetes or ``rfc3339`` wrote; one without a zone is UTC.

    Raises:
        ValueError: The text is no moment.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # an hour before the first year, or after the last
        raise ValueError(f"{text[:40]!r} is no moment in UTC") from None


def milliseconds() -> int:
    """Give the present moment as milliseconds since 1970, where many are taken."""
    return time.time_ns() // 1_000_000


def from_milliseconds(value: int) -> datetime:
    """Give the moment of ``milliseconds``."""
    return datetime.fromtimestamp(value / 1000, UTC)
