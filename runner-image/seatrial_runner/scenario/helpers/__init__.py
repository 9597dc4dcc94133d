"""
The functions of ``seatrial.api.functions``, a module for each family.

A function that compares gives a list of what differs, with its path; an expression sees whether it
is empty, and a failure tells all of it. Each is imported when an expression first calls it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from seatrial.api.functions import FUNCTIONS

from seatrial_runner.scenario.helpers.difference import Difference

__all__ = ["COMPARING", "Difference", "Unequal", "implementation", "watched"]

# By function: the module that has a function of the same name in snake case.
_MODULES = {
    "hasShape": "shapes",
    "includes": "subsets",
    "sameItems": "unordered",
    "near": "tolerance",
    "matchesSchema": "schemas",
    "isSorted": "lists",
    "duplicates": "lists",
    "sum": "lists",
    "parseTime": "times",
}
COMPARING = frozenset(name for name, each in FUNCTIONS.items() if each.result == "BOOL")


class Unequal(NamedTuple):
    """A comparison that did not hold: of which function, and what differs."""

    function: str
    differences: list[Difference]


class _Seen(threading.local):
    """The last comparison of this thread that did not hold."""

    unequal: Unequal | None = None


_seen = _Seen()


def watched(work: Callable[[], object]) -> Unequal | None:
    """Do something, and give the last comparison in it that did not hold."""
    _seen.unequal = None
    work()
    return _seen.unequal


def implementation(name: str) -> Callable[..., Any]:
    """Give what CEL calls for a function; what it raises becomes CEL's error."""

    def call(*arguments: Any) -> Any:
        try:
            result = _function(name)(*arguments)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        except RecursionError as error:
            text = f"{name}: the values are nested too deeply to be compared"
            raise ValueError(text) from error
        if name not in COMPARING:
            return result
        if result:
            _seen.unequal = Unequal(name, result)
        return not result

    return call


@cache
def _function(name: str) -> Callable[..., Any]:
    module = import_module(f"{__name__}.{_MODULES[name]}")
    snake = "".join(f"_{each.lower()}" if each.isupper() else each for each in name)
    function: Callable[..., Any] = getattr(module, f"{snake}_" if snake == "sum" else snake)
    return function
