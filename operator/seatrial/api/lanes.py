"""
Shares of all values, which no two makers of unique values have in common. Plain, and pure.

A lane is every ``stride``-th number from ``offset`` on. What is unique is made of such a number, or
chosen so that its own number is one of these. So nobody needs to know what others have made.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

Key = tuple[str, ...]  # table and field
# The next number of each field, and what has been made of each.
Taken = tuple[dict[Key, int], dict[Hashable, set[int]]]


class LaneError(RuntimeError):
    """Something goes on making values whose scenario is over."""


class Lane:
    """
    The numbers of one scenario, one test, or one branch; with what has been taken of them.

    One thread works with it at a time: ``split`` gives each branch its own.
    """

    def __init__(self, offset: int = 0, stride: int = 1) -> None:
        self.offset = offset
        self.stride = stride
        self._next: dict[Key, int] = {}
        self._seen: dict[Hashable, set[int]] = {}
        self._closed = False

    def part(self, index: int, of: int) -> Lane:
        """Give one of so many equal parts of a lane that nothing was taken of."""
        return Lane(self.offset + index * self.stride, self.stride * of)

    def time(self, number: int) -> Lane:
        """
        Give the part for one of the times, from 0, that the same is done: how many is not known.

        The first has half of the lane, the next half of the rest, and so on.
        """
        return Lane(self.offset + (2**number - 1) * self.stride, self.stride * 2 ** (number + 1))

    def number(self, key: Key) -> int:
        """Take the next number for a field."""
        self._require_open()
        number = self._next.get(key, self.offset)
        self._next[key] = number + self.stride
        return number

    def seen(self, key: Hashable) -> set[int]:
        """Give what has been made of a field, to be added to."""
        self._require_open()
        return self._seen.setdefault(key, set())

    def split(self, count: int) -> list[Lane]:
        """Give lanes for branches that run at the same time; ``join`` them before going on."""
        lanes = []
        for index in range(count):
            lane = self.part(index, count)
            lane._next = {key: number + index * self.stride for key, number in self._next.items()}
            lane._seen = {key: set(values) for key, values in self._seen.items()}
            lanes.append(lane)
        return lanes

    def join(self, lanes: list[Lane]) -> None:
        """Go on behind what branches have taken; whatever is left of them takes no more."""
        for lane in lanes:
            lane._closed = True
            for key, number in lane._next.items():
                # The next of ours that is not before the next of theirs.
                steps = -((self.offset - number) // self.stride)
                ours = self.offset + steps * self.stride
                self._next[key] = max(self._next.get(key, self.offset), ours)
            for seen, values in lane._seen.items():
                self._seen.setdefault(seen, set()).update(values)

    def taken(self) -> Taken:
        """Give what another process needs to go on with this lane."""
        return self._next, self._seen

    def go_on(self, taken: Taken) -> None:
        """Go on where another process has stopped."""
        self._next, self._seen = taken

    def _require_open(self) -> None:
        if self._closed:
            raise LaneError("this branch of the scenario is over")


def lane_of(
    name: str, tests: Iterable[Mapping[str, Any]], scenarios: Iterable[Mapping[str, Any]] = ()
) -> tuple[int, int]:
    """
    Give the number of a test's share, from 0, and how many shares there are.

    Args:
        name: Of the test.
        tests: Entries of ``spec.tests``, by JSON name. Only those that can make unique values have
            a share of their own: the fewer there are, the more is in each.
        scenarios: Entries of ``spec.scenarios``.
    """
    called = _can(list(scenarios))
    makers = [
        str(test["name"])
        for test in tests
        if "pytest" in test or ("scenario" in test and (called or _can(test)))
    ]
    return (makers.index(name), len(makers)) if name in makers else (0, 1)


def _can(part: object) -> bool:
    text = repr(part)
    return "'data'" in text and ("'unique'" in text or "'file'" in text)
