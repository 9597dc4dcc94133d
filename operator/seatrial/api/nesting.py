"""Values inside of values, counted before anything goes down into them level by level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.paths import below

MAX_NESTED = 128  # levels of a spec; Python gives up at about a thousand
MAX_VALUES = 100_000  # of a spec; an empty list has two bytes, and takes 130 of the operator's
_NAMED = 6  # parts of the path in the message


def excess(spec: Any) -> Iterator[SpecError]:
    """Find that it is nested too deep, or has too many values; the first such problem alone."""
    pending: list[tuple[tuple[int | str, ...], int, Any]] = [((), 1, spec)]
    seen = 0
    while pending:
        path, depth, value = pending.pop()
        seen += 1
        if seen + len(pending) > MAX_VALUES:
            problem = f"has more than {MAX_VALUES} values."
            yield SpecError("spec", problem, "Make several runs of it, or give long JSON as text.")
            return
        if not isinstance(value, dict | list):
            continue
        if depth > MAX_NESTED:
            field = "spec"
            for part in path:
                field = below(field, part)
            problem = f"is nested more than {MAX_NESTED} levels deep."
            yield SpecError(field, problem, "Give deep JSON as text, or make it flatter.")
            return
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for part, each in parts:
            if not isinstance(each, dict | list):
                seen += 1
            else:
                pending.append((path if len(path) == _NAMED else (*path, part), depth + 1, each))
