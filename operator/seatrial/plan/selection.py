"""Which tests of a run are executed, and what goes with those that are not. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.api.errors import SpecError
from seatrial.api.rules import did_you_mean
from seatrial.api.spec import Fault, RunSpec, Select, Test
from seatrial.plan.nesting import steps_of, steps_of_scenarios


def selected(spec: RunSpec) -> RunSpec:
    """
    Give the run as if it had only the tests that ``select`` names.

    Faults that begin with a test that is left out are left out too, and so are those that follow
    them, and manual ones that nothing starts any more: they would be missed as proof.
    """
    if spec.select is None:
        return spec
    tests = [test for test in spec.tests if _is_selected(test, spec.select)]
    kept = _kept(spec, tests)
    return spec.model_copy(update={"tests": tests, "faults": kept})


def selection_problems(spec: RunSpec) -> Iterator[SpecError]:
    """Find tags that no test has, and a selection of nothing."""
    if spec.select is None:
        return
    known = sorted({tag for test in spec.tests for tag in test.tags})
    given = {"tags": spec.select.tags, "without": spec.select.without}
    unknown = [
        (f"spec.select.{key}[{index}]", tag)
        for key, tags in given.items()
        for index, tag in enumerate(tags)
        if tag not in known
    ]
    for field, tag in unknown:
        remedy = did_you_mean(tag, known) or "No test has tags."
        yield SpecError(field, f"no test is tagged {tag}.", remedy)
    if not unknown and not selected(spec).tests:
        yield SpecError("spec.select", "leaves no test.", "Choose tags that a test has.")


def _is_selected(test: Test, select: Select) -> bool:
    wanted = not select.tags or bool(set(select.tags) & set(test.tags))
    return wanted and not set(select.without) & set(test.tags)


def _kept(spec: RunSpec, tests: list[Test]) -> list[Fault]:
    names = {test.name for test in tests}
    kept = [fault for fault in spec.faults if fault.when.test is None or fault.when.test in names]
    if all(test.scenario is not None for test in tests):  # others may start any fault
        steps = [step for test in tests for step, _ in steps_of(test, "")]
        steps += [step for step, _ in steps_of_scenarios(spec)]
        started = {step.fault.start for step in steps if step.fault}
        kept = [each for each in kept if each.when.manual is None or each.name in started]
    while True:
        there = {fault.name for fault in kept}
        left = [each for each in kept if each.when.fault is None or each.when.fault in there]
        if len(left) == len(kept):
            return kept
        kept = left
