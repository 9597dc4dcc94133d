"""A scenario that calls another: its inputs go in, its outputs come back, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seatrial_runner.scenario.action import Call, StepFailure
from seatrial_runner.scenario.steps import evaluated
from seatrial_runner.scenario.values import ValueTypeError, as_json, to_variable

if TYPE_CHECKING:
    from seatrial_runner.scenario.flow import Flow, Place


def call_scenario(flow: Flow, called: dict[str, Any], place: Place) -> None:
    """
    Run a scenario of the run; its outputs are then the variable ``outputs`` of the caller.

    Raises:
        StepFailure: There is no such scenario, an input is missing, or a step of it failed.
    """
    name = called["name"]
    scenario = flow.scenarios.get(name)
    if scenario is None:
        known = ", ".join(sorted(flow.scenarios)) or "none"
        raise StepFailure(f"no scenario is named {name!r}; there are: {known}", permanent=True)
    if name in place.calls:
        circle = " -> ".join([*place.calls[place.calls.index(name) :], name])
        raise StepFailure(f"scenarios call one another in a circle: {circle}", permanent=True)
    given = Call(place.scope, flow.tools, lambda: 0.0).json(called.get("with") or {})
    inside = replace(
        place,
        scope=place.scope.inside(_inputs(scenario, given)),
        calls=(*place.calls, name),
    )
    if failure := flow.sequence(scenario["steps"], inside):
        raise failure
    outputs = {}
    for output, expression in (scenario.get("outputs") or {}).items():
        value = evaluated(expression, inside.scope, f"output {output}")
        try:
            outputs[output] = as_json(to_variable(value))
        except ValueTypeError as error:
            raise StepFailure(f"output {output}: {expression}: {error}", permanent=True) from error
    place.scope.observe({"outputs": outputs}, {})


def _inputs(scenario: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    declared = scenario.get("inputs") or {}
    if unknown := sorted(set(given) - set(declared)):
        known = ", ".join(declared) or "none"
        raise StepFailure(
            f"scenario {scenario['name']} has no input {unknown[0]!r}; its inputs are: {known}",
            permanent=True,
        )
    inputs = {name: each.get("default") for name, each in declared.items()} | given
    required = [name for name, each in declared.items() if each.get("default") is None]
    if missing := [name for name in required if name not in given]:
        raise StepFailure(
            f"scenario {scenario['name']} needs the input {missing[0]!r}: give it in with",
            permanent=True,
        )
    return inputs
