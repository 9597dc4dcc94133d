"""Steps as a user wrote them, counted before they are read, which costs a millisecond each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.scenario import MAX_DEPTH, MAX_STEPS

_HOLDERS = (("tests", ("setup", "scenario", "teardown")), ("scenarios", ("steps",)))


def excess_of_steps(spec: Any) -> Iterator[SpecError]:
    """
    Find steps that are too many, or too deep inside of others; the first such problem alone.

    The API server does not look inside of a step, so nothing else bounds them. Without recursion,
    and no further than the bounds go.

    Args:
        spec: Any JSON; what is of another form than a spec is left to those who read it.
    """
    count = 0
    pending = list(_parts(spec))
    for field, steps, depth in pending:  # grows meanwhile
        if depth > MAX_DEPTH:
            problem = f"has steps inside of steps {depth} levels deep, more than {MAX_DEPTH}."
            yield SpecError(field, problem, "Make several tests of it, or call a scenario.")
            return
        count += len(steps)
        if count > MAX_STEPS:
            problem = f"brings the run to more than {MAX_STEPS} steps, those inside of steps too."
            yield SpecError(field, problem, "Make several runs of it, or repeat a step.")
            return
        pending += [(field, inner, depth + 1) for step in steps for inner in _inside(step)]


def _parts(spec: Any) -> Iterator[tuple[str, list[Any], int]]:
    for key, names in _HOLDERS:
        for index, holder in enumerate(_list(spec, key)):
            for name in names:
                yield f"spec.{key}[{index}].{name}", _list(holder, name), 1


def _inside(step: Any) -> Iterator[list[Any]]:
    for holder in (step, *_list(step, "parallel")):
        if inner := _list(holder, "steps"):
            yield inner


def _list(holder: Any, key: str) -> list[Any]:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, list) else []
