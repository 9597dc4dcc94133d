"""Whether the scenarios that steps call are there, take what they are given, and come to an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.flow import ScenarioCall
from seatrial.api.paths import below
from seatrial.api.rules import did_you_mean
from seatrial.api.scenario import Scenario
from seatrial.api.spec import RunSpec
from seatrial.plan.expressions import expression_problem, name_problem, template_problem
from seatrial.plan.nesting import Placed, steps_of, steps_of_scenarios


def call_problems(spec: RunSpec) -> Iterator[SpecError]:
    """Find what is wrong with ``spec.scenarios``, and with the steps that call them."""
    scenarios = {scenario.name: scenario for scenario in spec.scenarios}
    placed: list[Placed] = [*steps_of_scenarios(spec)]
    for index, test in enumerate(spec.tests):
        placed += steps_of(test, f"spec.tests[{index}]")
    for step, field in placed:
        if step.scenario is not None:
            yield from _call(step.scenario, f"{field}.scenario", scenarios)
    for index, scenario in enumerate(spec.scenarios):
        yield from _interface(scenario, f"spec.scenarios[{index}]")
    yield from _circle(spec)


def _call(call: ScenarioCall, field: str, scenarios: dict[str, Scenario]) -> Iterator[SpecError]:
    scenario = scenarios.get(call.name)
    if scenario is None:
        problem = f"no scenario of this run is named {call.name!r}."
        remedy = did_you_mean(call.name, scenarios) or "Declare it in spec.scenarios."
        yield SpecError(f"{field}.name", problem, remedy)
        return
    for name in call.with_:
        if name not in scenario.inputs:
            problem = f"is no input of scenario {scenario.name}."
            remedy = did_you_mean(name, scenario.inputs) or "It has none."
            yield SpecError(f"{field}.with.{name}", problem, remedy)
    for name, declared in scenario.inputs.items():
        if declared.default is None and name not in call.with_:
            problem = f"does not give the input {name} of scenario {scenario.name}."
            yield SpecError(f"{field}.with", problem, f"Add {name}, or give it a default there.")
    for path, text in _texts(call.with_, f"{field}.with"):
        if problem := template_problem(text):
            yield SpecError(path, f"cannot be filled in: {problem}.", "Write it as {{ name }}.")


def _interface(scenario: Scenario, field: str) -> Iterator[SpecError]:
    for name in scenario.inputs:
        if problem := name_problem(name):
            yield SpecError(f"{field}.inputs.{name}", problem, "Choose another name.")
    for name, expression in scenario.outputs.items():
        if problem := expression_problem(expression):
            text = f"{expression[:80]!r} cannot be evaluated: {problem}."
            yield SpecError(f"{field}.outputs.{name}", text)


def _circle(spec: RunSpec) -> Iterator[SpecError]:
    """Find scenarios that call one another without end."""
    index_of = {scenario.name: index for index, scenario in enumerate(spec.scenarios)}
    calls: dict[str, set[str]] = {name: set() for name in index_of}
    for step, field in steps_of_scenarios(spec):
        if step.scenario is not None and step.scenario.name in index_of:
            caller = spec.scenarios[int(field.partition("[")[2].partition("]")[0])].name
            calls[caller].add(step.scenario.name)
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        problem = f"scenarios call one another in a circle: {' -> '.join(circle)}."
        field = f"spec.scenarios[{index_of[circle[0]]}]"
        yield SpecError(field, problem, "Use repeat or forEach to do steps again.")


def _texts(value: Any, field: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, below(field, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, below(field, index))
