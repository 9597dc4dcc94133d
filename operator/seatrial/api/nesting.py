"""Values inside of values, counted before anything goes down into them level by level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.paths import below

MAX_NESTED = 128  # levels of a spec; Python gives up at about a thousand
_NAMED = 6  # parts of the path in the message


def excess_of_levels(spec: Any) -> Iterator[SpecError]:
    """Find what is nested too deep; the first such problem alone."""
    pending: list[tuple[tuple[int | str, ...], int, Any]] = [((), 1, spec)]
    while pending:
        path, depth, value = pending.pop()
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
            if isinstance(each, dict | list):
                pending.append((path if len(path) == _NAMED else (*path, part), depth + 1, each))
