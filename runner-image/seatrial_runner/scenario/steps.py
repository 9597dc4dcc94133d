"""Carries out one step, once: its action, its expectations, its captures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seatrial_runner.scenario.exchange import Client, ExchangeError
from seatrial_runner.scenario.explain import judge, why_no_value
from seatrial_runner.scenario.expressions import ExpressionError, evaluate
from seatrial_runner.scenario.interpolation import TemplateError
from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.request import VERBS, Request, RequestError, prepare
from seatrial_runner.scenario.results import Outcome
from seatrial_runner.scenario.scope import Scope, bad_name
from seatrial_runner.scenario.transcript import request_text, response_text, unmet_text
from seatrial_runner.scenario.values import ValueTypeError, to_variable
from seatrial_runner.scenario.world import FaultsUnavailableError, World


@dataclass
class StepFailure(Exception):  # noqa: N818 - not an error of ours: what a test is there to find
    """
    A step that did not do what it should.

    Attributes:
        message: One line.
        details: The texts that show it: request, response, expectation.
        outcome: ``failed``, or ``error`` if it could not be tried.
        permanent: Trying again cannot help.
        out_of_time: Nothing was seen: the time for it was over.
    """

    message: str
    details: str = ""
    outcome: Outcome = "failed"
    permanent: bool = False
    out_of_time: bool = False


class StepSkipped(Exception):  # noqa: N818 - not an error
    """A step that cannot be done here, and need not be."""


@dataclass(frozen=True)
class Tools:
    """What steps work with; shared by all branches of a scenario."""

    world: World
    client: Client
    redactor: Redactor


def step_name(step: dict[str, Any]) -> str:
    """Give a step's name, or say what it does."""
    if name := step.get("name"):
        return str(name)
    if http := step.get("http"):
        verb = next((verb for verb in VERBS if verb in http), "?")
        return f"{verb.upper()} {http.get(verb, '')}"
    if fault := step.get("fault"):
        verb = "start" if "start" in fault else "stop"
        return f"{verb} fault {fault.get(verb, '')}"
    if names := step.get("set"):
        return f"set {', '.join(names)}"
    return "parallel" if step.get("parallel") else "expect"


def wanted(step: dict[str, Any], scope: Scope) -> bool:
    """
    Evaluate a step's ``when``.

    Raises:
        StepFailure: It is neither true nor false.
    """
    condition = step.get("when")
    if not condition:
        return True
    value = _evaluated(condition, scope, "when")
    if not isinstance(value, bool):
        raise StepFailure(f"when: {condition} is not true or false", permanent=True)
    return value


def act(step: dict[str, Any], scope: Scope, tools: Tools, seconds: Callable[[], float]) -> None:
    """
    Do a step once: action, expectations, captures.

    Args:
        step: With ``http``, ``fault``, ``set`` or none of them.
        scope: Receives the response, and the captures if all expectations hold.
        tools: Client, faults and redactor.
        seconds: Gives the time that is left for it.

    Raises:
        StepFailure: It did not do what it should.
        StepSkipped: There is no conductor to ask for a fault.
    """
    sent = ""
    if http := step.get("http"):
        sent = _send(http, scope, tools, seconds)
    elif fault := step.get("fault"):
        _order(fault, tools)
    elif names := step.get("set"):
        for name, expression in names.items():
            _define(name, expression, scope, "set")
    conclude(step, scope, sent)


def conclude(step: dict[str, Any], scope: Scope, sent: str = "") -> None:
    """Check a step's expectations, all of them, and then capture."""
    bindings = scope.bindings()
    unmet = [
        found for text in step.get("expect", []) if (found := judge(text, bindings)) is not None
    ]
    if unmet:
        more = f" (and {len(unmet) - 1} more)" if len(unmet) > 1 else ""
        note = _note_on_json(scope, unmet[0].summary)
        raise StepFailure(
            unmet[0].message + note + more,
            "\n\n".join([*(unmet_text(each) for each in unmet), *([sent] if sent else [])]),
            permanent=any(each.permanent for each in unmet),
        )
    for name, expression in step.get("capture", {}).items():
        _define(name, expression, scope, "capture", sent)


def prepared(http: dict[str, Any], scope: Scope, tools: Tools) -> Request:
    """
    Fill a request in.

    Raises:
        StepFailure: It is none.
    """
    try:
        return prepare(http, scope.template_variables(), tools.redactor)
    except (TemplateError, RequestError) as error:
        raise StepFailure(str(error), permanent=True) from error


def _send(http: dict[str, Any], scope: Scope, tools: Tools, seconds: Callable[[], float]) -> str:
    """Send, put the response into the scope, and give the text of both."""
    request = prepared(http, scope, tools)
    try:
        scope.response = tools.client.send(request, at_most_s=seconds())
    except ExchangeError as error:
        raise StepFailure(
            str(error),
            request_text(request),
            permanent=error.permanent,
            out_of_time=error.out_of_time,
        ) from error
    return f"{request_text(request)}\n\n{response_text(scope.response)}"


def _order(fault: dict[str, str], tools: Tools) -> None:
    verb = "start" if "start" in fault else "stop"
    order = tools.world.faults.start if verb == "start" else tools.world.faults.stop
    try:
        order(fault[verb])
    except FaultsUnavailableError as error:
        raise StepSkipped(str(error)) from error
    # Whoever drives the faults has errors of its own; each means that there is none to test under.
    except Exception as error:
        done = "started" if verb == "start" else "stopped"
        raise StepFailure(
            f"fault {fault[verb]!r} could not be {done}: {error}", outcome="error", permanent=True
        ) from error


def _define(name: str, expression: str, scope: Scope, what: str, sent: str = "") -> None:
    if problem := bad_name(name):
        raise StepFailure(f"{what}: {problem}", permanent=True)
    value = _evaluated(expression, scope, f"{what} {name}", sent)
    try:
        scope.define(name, to_variable(value))
    except ValueTypeError as error:
        raise StepFailure(f"{what} {name}: {expression}: {error}", permanent=True) from error


def _evaluated(expression: str, scope: Scope, what: str, sent: str = "") -> Any:
    bindings = scope.bindings()
    try:
        return evaluate(expression, bindings)
    except ExpressionError as error:
        reason = why_no_value(expression, bindings, error)
        shown = reason if expression in reason else f"{expression}: {reason}"
        shown += _note_on_json(scope, reason)
        raise StepFailure(f"{what}: {shown}", sent, permanent=error.permanent) from error


def _note_on_json(scope: Scope, reason: str) -> str:
    """Say why ``response.json`` is null where a reason speaks of it."""
    response = scope.response
    if response is None or not response.json_problem or "response.json" not in reason:
        return ""
    media_type = response.headers.get("content-type", "no content-type")
    return f" ({response.json_problem}; {media_type})"
