"""``isSorted``, ``duplicates`` and ``sum``: what is asked of lists."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from seatrial_runner.scenario.helpers.difference import Difference, HelperError, described
from seatrial_runner.scenario.helpers.unordered import canonical
from seatrial_runner.scenario.values import kind


def is_sorted(values: Any) -> list[Difference]:
    """
    Find the first element that comes too late; equal ones may stand side by side.

    Raises:
        HelperError: It is no list, or of what has no order.
    """
    for index, (left, right) in enumerate(pairwise(_list(values))):
        try:
            wrong = right < left
        except TypeError:
            raise HelperError(f"a {kind(right)} and a {kind(left)} have no order") from None
        if wrong:
            text = f"is {described(right)}, after {described(left)}"
            return [Difference(f"[{index + 1}]", text)]
    return []


def duplicates(values: Any) -> list[Any]:
    """
    Give each element that is there more than once, once, in the order in which it came again.

    Raises:
        HelperError: It is no list.
    """
    seen: set[str] = set()
    again: dict[str, Any] = {}
    for value in _list(values):
        key = canonical(value)
        if key in seen:
            again.setdefault(key, value)
        seen.add(key)
    return list(again.values())


def sum_(values: Any) -> Any:
    """
    Add numbers up; 0 for none.

    Raises:
        HelperError: It is no list, or not of numbers.
    """
    for index, value in enumerate(_list(values)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise HelperError(f"element [{index}] is {described(value)}, not a number")
    total = sum(values)
    return total if not isinstance(total, int) or abs(total) < 2**63 else float(total)


def _list(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise HelperError(f"{described(values)} is no list")
    return values
