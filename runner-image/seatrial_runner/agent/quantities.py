"""Amounts as the resource has them, read in the pod: 128Mi, 50%, 100ms."""

from __future__ import annotations

from seatrial.api.duration import parse_duration

_FACTORS = {
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}


def size(text: str) -> int:
    """Read a quantity as bytes, rounded down."""
    unit = text.lstrip("0123456789.")
    return int(float(text.removesuffix(unit)) * _FACTORS.get(unit, 1))


def share(text: str | None) -> float:
    """Read a share as a number from 0 to 1; none is 0."""
    return float(text.removesuffix("%")) / 100 if text else 0.0


def seconds(text: str | None) -> float:
    """Read a duration in seconds; none is 0."""
    return parse_duration(text).total_seconds() if text else 0.0
