"""``sameItems``: equality that does not look at the order of lists, at any depth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from seatrial_runner.scenario.helpers.difference import (
    Difference,
    below,
    described,
    equal,
    in_order,
)
from seatrial_runner.scenario.values import normal


def same_items(actual: Any, expected: Any) -> list[Difference]:
    """Find what one has and the other has not."""
    return list(_unlike(actual, expected, ""))


def _unlike(actual: Any, expected: Any, path: str) -> Iterator[Difference]:
    match actual, expected:
        case dict(), dict():
            for key, value in in_order(expected):
                if key in actual:
                    yield from _unlike(actual[key], value, below(path, key))
                else:
                    yield Difference(below(path, key), f"is missing, not {described(value)}")
            for key, value in in_order(actual):
                if key not in expected:
                    yield Difference(below(path, key), f"is there: {described(value)}")
        case list(), list():
            yield from _unlike_lists(actual, expected, path)
        case _ if not equal(actual, expected):
            yield Difference(path, f"is {described(actual)}, not {described(expected)}")


def _unlike_lists(actual: list[Any], expected: list[Any], path: str) -> Iterator[Difference]:
    ours, theirs = Counter(map(canonical, actual)), Counter(map(canonical, expected))
    values = {canonical(value): value for value in [*actual, *expected]}
    for key, count in (theirs - ours).items():
        times = f" {count} more times" if ours[key] or count > 1 else ""
        yield Difference(path, f"lacks {described(values[key])}{times}")
    for key, count in (ours - theirs).items():
        times = f" {count} times too often" if theirs[key] or count > 1 else " too"
        yield Difference(path, f"has {described(values[key])}{times}")


def canonical(value: Any) -> str:
    """Write a value so that two are equal but for the order of lists when their texts are."""
    return _text(_sorted(normal(value)))


def _sorted(value: Any) -> Any:
    match value:
        case list():
            return sorted(map(_sorted, value), key=_text)
        case dict():
            return {key: _sorted(each) for key, each in value.items()}
        case _:
            return value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
