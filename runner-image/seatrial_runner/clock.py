"""The only place in the pods where the wall clock is read."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Give the present moment, UTC-aware."""
    return datetime.now(UTC)
