"""Carries out one step, once: its action, its expectations, its captures."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.expected_error import answered_with_error
from seatrial_runner.scenario.explain import judge, why_no_value
from seatrial_runner.scenario.expressions import ExpressionError, evaluate
from seatrial_runner.scenario.kinds import kind_of, module_of
from seatrial_runner.scenario.scope import Scope, bad_name
from seatrial_runner.scenario.transcript import unmet_text
from seatrial_runner.scenario.values import ValueTypeError, to_variable

_GROUPS = {"parallel": "parallel", "steps": "group"}


def step_name(step: dict[str, Any]) -> str:
    """Give a step's name, or say what it does."""
    if name := step.get("name"):
        return str(name)
    if kind := kind_of(step):
        return module_of(kind).title(step[kind])
    if names := step.get("set"):
        return f"set {', '.join(names)}"
    if called := step.get("scenario"):
        return f"scenario {called['name']}"
    return next((_GROUPS[key] for key in _GROUPS if key in step), "expect")


def wanted(step: dict[str, Any], scope: Scope) -> bool:
    """
    Evaluate a step's ``when``.

    Raises:
        StepFailure: It is neither true nor false.
    """
    expression = step.get("when")
    return condition(expression, scope, "when") if expression else True


def condition(expression: str, scope: Scope, what: str) -> bool:
    """
    Evaluate an expression that decides something; ``what`` it is begins the message.

    Raises:
        StepFailure: It is neither true nor false.
    """
    value = evaluated(expression, scope, what)
    if not isinstance(value, bool):
        raise StepFailure(f"{what}: {expression} is not true or false", permanent=True)
    return value


def act(step: dict[str, Any], call: Call) -> None:
    """
    Do a step once: action, expectations, captures.

    Args:
        step: With one action or none.
        call: Its scope receives what was seen, and the captures if all expectations hold.

    Raises:
        StepFailure: It did not do what it should.
    """
    seen = Observation()
    if kind := kind_of(step):
        call = replace(call, expect=step.get("expect", ()))
        call.scope.forget({"error"})
        if step.get("expectError"):
            seen = answered_with_error(step, kind, call)
        else:
            seen = module_of(kind).act(step[kind], call)
            call.scope.observe(seen.values, seen.notes)
    for name, expression in (step.get("set") or {}).items():
        _define(name, expression, call.scope, "set")
    conclude(step, call.scope, seen.text)


def conclude(step: dict[str, Any], scope: Scope, sent: str = "") -> None:
    """Check a step's expectations, all of them, and then capture."""
    bindings = scope.bindings()
    unmet = [
        found for text in step.get("expect", []) if (found := judge(text, bindings)) is not None
    ]
    if unmet:
        more = f" (and {len(unmet) - 1} more)" if len(unmet) > 1 else ""
        note = _note(scope, unmet[0].message)
        raise StepFailure(
            unmet[0].message + note + more,
            "\n\n".join([*(unmet_text(each) for each in unmet), *([sent] if sent else [])]),
            permanent=any(each.permanent for each in unmet),
        )
    for name, expression in step.get("capture", {}).items():
        _define(name, expression, scope, "capture", sent)


def _define(name: str, expression: str, scope: Scope, what: str, sent: str = "") -> None:
    if problem := bad_name(name):
        raise StepFailure(f"{what}: {problem}", permanent=True)
    value = evaluated(expression, scope, f"{what} {name}", sent)
    try:
        scope.define(name, to_variable(value))
    except ValueTypeError as error:
        raise StepFailure(f"{what} {name}: {expression}: {error}", permanent=True) from error


def evaluated(expression: str, scope: Scope, what: str, sent: str = "") -> Any:
    """
    Give the value of an expression.

    Args:
        expression: CEL.
        scope: What it sees.
        what: What the value is for; the message begins with it.
        sent: Shown with a failure.

    Raises:
        StepFailure: It has none, and why.
    """
    bindings = scope.bindings()
    try:
        return evaluate(expression, bindings)
    except ExpressionError as error:
        reason = why_no_value(expression, bindings, error)
        shown = reason if expression in reason else f"{expression}: {reason}"
        shown += _note(scope, shown)
        raise StepFailure(f"{what}: {shown}", sent, permanent=error.permanent) from error


def _note(scope: Scope, reason: str) -> str:
    """Say why a value is null where a reason speaks of it."""
    words = re.findall(r"[\w.]+", reason)
    notes = [
        note
        for name, note in scope.notes.items()
        if any(f"{word}.".startswith(f"{name}.") for word in words)
    ]
    return f" ({notes[0]})" if notes else ""
