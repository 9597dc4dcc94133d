"""The one place of the operator where the clock is read."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Give the time in UTC, to the millisecond: what is written is what was decided on."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
