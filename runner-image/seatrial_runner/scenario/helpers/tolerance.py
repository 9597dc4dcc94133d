"""``near``: numbers, durations and moments that differ by no more than a tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from seatrial_runner.scenario.helpers.difference import (
    Difference,
    HelperError,
    below,
    described,
    equal,
    in_order,
)
from seatrial_runner.scenario.helpers.times import parse_moment
from seatrial_runner.scenario.values import show


def near(actual: Any, expected: Any, tolerance: Any) -> list[Difference]:
    """
    Find what differs by more than the tolerance; in lists and maps each number by itself.

    With a duration as tolerance moments are compared; texts are read as moments.

    Raises:
        HelperError: The tolerance is no number or duration, or below 0.
    """
    number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    if not number and not isinstance(tolerance, timedelta):
        raise HelperError(f"the tolerance is {described(tolerance)}, not a number or a duration")
    if not tolerance >= type(tolerance)(0):
        raise HelperError(f"the tolerance is {described(tolerance)}: it must not be below 0")
    return list(_far(actual, expected, tolerance, ""))


def _far(actual: Any, expected: Any, tolerance: Any, path: str) -> Iterator[Difference]:
    match actual, expected:
        case dict(), dict():
            for key, value in in_order(expected):
                if key in actual:
                    yield from _far(actual[key], value, tolerance, below(path, key))
                else:
                    yield Difference(below(path, key), f"is missing, not {described(value)}")
            for key, value in in_order(actual):
                if key not in expected:
                    yield Difference(below(path, key), f"is there: {described(value)}")
        case list(), list() if len(actual) == len(expected):
            for index, (left, right) in enumerate(zip(actual, expected, strict=True)):
                yield from _far(left, right, tolerance, below(path, index))
        case _:
            apart = _apart(actual, expected, tolerance)
            if apart is None and not equal(actual, expected):
                yield Difference(path, f"is {described(actual)}, not near {described(expected)}")
            # NB: not ``apart > tolerance``: that is false of NaN, which also lies between infinity
            # and itself.
            elif apart is not None and not (apart <= tolerance or equal(actual, expected)):
                yield Difference(
                    path,
                    f"is {described(actual)}, {show(apart)} from {described(expected)}:"
                    f" more than {show(tolerance)}",
                )


def _apart(actual: Any, expected: Any, tolerance: Any) -> Any:
    """Give how far apart two values are, in the type of the tolerance; None if that makes none."""
    if not isinstance(tolerance, timedelta):
        return abs(actual - expected) if _is_number(actual) and _is_number(expected) else None
    if isinstance(actual, timedelta) and isinstance(expected, timedelta):
        return abs(actual - expected)
    left, right = _moment(actual), _moment(expected)
    return abs(left - right) if left is not None and right is not None else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        return parse_moment(value)
    return value if isinstance(value, datetime) else None
