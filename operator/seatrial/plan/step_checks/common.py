"""Checks that several kinds of steps share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

from seatrial.api.duration import format_duration
from seatrial.api.errors import SpecError
from seatrial.api.paths import below
from seatrial.api.rules import did_you_mean
from seatrial.api.spec import RunSpec
from seatrial.plan.expressions import expression_problem, template_problem


def service_problems(name: str | None, field: str, spec: RunSpec) -> Iterator[SpecError]:
    """Find a service that is not declared."""
    known = [service.name for service in spec.services]
    if name is not None and name not in known:
        problem = f"no service of this run is named {name!r}."
        remedy = did_you_mean(name, known) or "Declare it in spec.services, or give url."
        yield SpecError(field, problem, remedy)


def too_long(value: timedelta | None, field: str, longest: timedelta | None) -> Iterator[SpecError]:
    """Find a time that is longer than that of the whole test."""
    if value is not None and longest is not None and value > longest:
        problem = f"is longer than the test may take ({format_duration(longest)})."
        yield SpecError(field, problem, "Shorten it, or raise timeout of the test.")


def template_problems(
    value: Any,
    field: str,
    find: Callable[[str], str] = template_problem,
    remedy: str = "Write it as {{ name }}.",
) -> Iterator[SpecError]:
    """Find texts of a JSON value that cannot be filled in; ``find`` says why."""
    match value:
        case str():
            if problem := find(value):
                yield SpecError(field, f"cannot be filled in: {problem}.", remedy)
        case dict():
            for key, inner in value.items():
                yield from template_problems(inner, below(field, key), find, remedy)
        case list():
            for index, inner in enumerate(value):
                yield from template_problems(inner, below(field, index), find, remedy)
        case _:
            pass


def expression_problems(
    values: Iterable[str], field: str, name: str = "", *, kind: str = "", alone: bool = False
) -> Iterator[SpecError]:
    """Find CEL that cannot be evaluated, by a step of this kind, or outside of scenarios alone."""
    for index, expression in enumerate(values):
        if problem := expression_problem(expression, kind, alone=alone):
            path = f"{field}.{name}" if name else f"{field}[{index}]"
            yield SpecError(path, f"{expression[:80]!r} cannot be evaluated: {problem}.")
