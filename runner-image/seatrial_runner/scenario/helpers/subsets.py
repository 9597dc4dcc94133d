"""``includes``: a part of a value, at any depth; elements of lists in any order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seatrial_runner.scenario.helpers.difference import (
    Difference,
    HelperError,
    below,
    described,
    equal,
    in_order,
)

MAX_PAIRS = 1_000_000  # of elements that are compared with one another


def includes(whole: Any, part: Any) -> list[Difference]:
    """Find what of a part is not in the whole."""
    return list(_missing(whole, part, ""))


def _missing(whole: Any, part: Any, path: str) -> Iterator[Difference]:
    match whole, part:
        case dict(), dict():
            for key, value in in_order(part):
                if key in whole:
                    yield from _missing(whole[key], value, below(path, key))
                else:
                    yield Difference(below(path, key), f"is missing, not {described(value)}")
        case list(), list():
            yield from _missing_elements(whole, part, path)
        case _ if not equal(whole, part):
            yield Difference(path, f"is {described(whole)}, not {described(part)}")


def _missing_elements(whole: list[Any], part: list[Any], path: str) -> Iterator[Difference]:
    if len(whole) * len(part) > MAX_PAIRS:
        raise HelperError(f"lists of {len(whole)} and {len(part)} elements are too long to compare")
    fitting = [
        [index for index, each in enumerate(whole) if not any(_missing(each, wanted, ""))]
        for wanted in part
    ]
    taken = _matching(fitting)
    for number, wanted in enumerate(part):
        if number not in taken:
            other = "no other" if fitting[number] else "no"
            yield Difference(path, f"has {other} element with {described(wanted)}")


def _matching(fitting: list[list[int]]) -> set[int]:
    """
    Give each wanted element one of its own, to as many as possible; those that got one.

    An element that fits two of them is handed on to whichever has no other choice.
    """
    owner: dict[int, int] = {}
    for start in range(len(fitting)):
        # Breadth first, from a wanted element along those that would have to give way.
        came_from: dict[int, tuple[int, int | None]] = {}
        queue: list[tuple[int, int | None]] = [(start, None)]
        free: int | None = None
        while queue and free is None:
            wanted, through = queue.pop(0)
            for index in fitting[wanted]:
                if index in came_from:
                    continue
                came_from[index] = (wanted, through)
                if index not in owner:
                    free = index
                    break
                queue.append((owner[index], index))
        while free is not None:
            wanted, through = came_from[free]
            owner[free] = wanted
            free = through
    return set(owner.values())
