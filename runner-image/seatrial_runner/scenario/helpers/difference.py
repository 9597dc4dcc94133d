"""What two values differ in, with the path that leads to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from seatrial_runner.scenario.values import kind, show

_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class HelperError(ValueError):
    """A function was called with what makes no sense; no value of the system could mend that."""


class Difference(NamedTuple):
    """
    One difference.

    Attributes:
        path: From the value that was looked at: ``.items[2].price``; empty: the value itself.
        text: What is the case there: ``is "12", not a number``.
    """

    path: str
    text: str


def below(path: str, part: str | int) -> str:
    """Give the path of a field or an element, as CEL writes it."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    return f"{path}.{part}" if _PLAIN.fullmatch(part) else f"{path}[{show(part)}]"


def described(value: Any) -> str:
    """Write a value short, for a difference."""
    if isinstance(value, (list, dict)):
        return f"a {kind(value)} {show(value, 80)}"
    return show(value, 80)


def in_order(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Give the items of a map by key: CEL's maps have another order in each process."""
    return sorted(values.items(), key=lambda item: str(item[0]))


def equal(actual: Any, expected: Any) -> bool:
    """Tell whether two values are equal as CEL has it: 1 == 1.0, and true is no number."""
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    match actual, expected:
        case dict(), dict():
            return actual.keys() == expected.keys() and all(
                equal(value, expected[key]) for key, value in actual.items()
            )
        case list(), list():
            return len(actual) == len(expected) and all(
                equal(left, right) for left, right in zip(actual, expected, strict=True)
            )
        case (dict() | list(), _) | (_, dict() | list()):
            return False
    return bool(actual == expected)


def unequal(actual: Any, expected: Any, path: str = "") -> Iterator[Difference]:
    """Find where two values are not equal, as deep inside as possible."""
    match actual, expected:
        case dict(), dict():
            for key, value in in_order(expected):
                if key not in actual:
                    yield Difference(below(path, key), f"is missing, not {described(value)}")
            for key, value in in_order(actual):
                if key not in expected:
                    yield Difference(below(path, key), f"is there: {described(value)}")
                else:
                    yield from unequal(value, expected[key], below(path, key))
        case list(), list():
            for index, (left, right) in enumerate(zip(actual, expected, strict=False)):
                yield from unequal(left, right, below(path, index))
            if len(actual) != len(expected):
                yield Difference(path, f"has {_count(actual)}, not {len(expected)}")
        case _ if not equal(actual, expected):
            yield Difference(path, f"is {described(actual)}, not {described(expected)}")


def _count(values: list[Any]) -> str:
    return "1 element" if len(values) == 1 else f"{len(values)} elements"
