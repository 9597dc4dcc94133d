"""Steps inside of steps: where they stand, and how deep. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seatrial.api.errors import SpecError
from seatrial.api.fields import Model
from seatrial.api.scenario import ACTIONS, MAX_DEPTH, Step
from seatrial.api.spec import RunSpec, Test

Placed = tuple[Step, str]  # a step, and its field


def steps_of(test: Test, field: str) -> Iterator[Placed]:
    """Go through all steps of a test, those inside of steps included, each with its field."""
    for part, steps in _parts(test, field):
        yield from _all(steps, part)


def steps_of_scenarios(spec: RunSpec) -> Iterator[Placed]:
    """Go through all steps of ``spec.scenarios``."""
    for index, scenario in enumerate(spec.scenarios):
        yield from _all(scenario.steps, f"spec.scenarios[{index}].steps")


def all_steps(spec: RunSpec) -> Iterator[Step]:
    """Go through every step of a run."""
    for index, test in enumerate(spec.tests):
        yield from (step for step, _ in steps_of(test, f"spec.tests[{index}]"))
    yield from (step for step, _ in steps_of_scenarios(spec))


def nesting_problems(spec: RunSpec) -> Iterator[SpecError]:
    """Find steps that are too deep inside of others."""
    parts = [
        part
        for index, test in enumerate(spec.tests)
        for part in _parts(test, f"spec.tests[{index}]")
    ]
    parts += [
        (f"spec.scenarios[{index}].steps", scenario.steps)
        for index, scenario in enumerate(spec.scenarios)
    ]
    for field, steps in parts:
        if (depth := _depth(steps)) > MAX_DEPTH:
            problem = f"has steps inside of steps {depth} levels deep, more than {MAX_DEPTH}."
            yield SpecError(field, problem, "Make several tests of it, or call a scenario.")


def action_of(step: Step) -> str:
    """Name what a step does, by its JSON name; empty if it only expects."""
    return next((action for action in ACTIONS if Model.given(step, action)), "")


def _parts(test: Test, field: str) -> list[tuple[str, list[Step]]]:
    parts = (("setup", test.setup), ("scenario", test.scenario), ("teardown", test.teardown))
    return [(f"{field}.{name}", steps) for name, steps in parts if steps]


def _all(steps: Iterable[Step], field: str) -> Iterator[Placed]:
    for i, step in enumerate(steps):
        path = f"{field}[{i}]"
        yield step, path
        for inner, where in _inside(step, path):
            yield from _all(inner, where)


def _inside(step: Step, field: str) -> Iterator[tuple[list[Step], str]]:
    if step.steps:
        yield step.steps, f"{field}.steps"
    for index, branch in enumerate(step.parallel or ()):
        yield branch.steps, f"{field}.parallel[{index}].steps"


def _depth(steps: Iterable[Step]) -> int:
    """Count the levels of steps inside of steps."""
    inner = (each for step in steps for each, _ in _inside(step, ""))
    return 1 + max(map(_depth, inner), default=0)
