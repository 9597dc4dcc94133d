"""A request that must fail because of a fault: that degradation is graceful is asserted here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure, Tools
from seatrial_runner.scenario.explain import judge
from seatrial_runner.scenario.kinds import kind_of, module_of
from seatrial_runner.scenario.request import timeout_of
from seatrial_runner.scenario.scope import Scope
from seatrial_runner.scenario.steps import conclude
from seatrial_runner.scenario.transcript import unmet_text
from seatrial_runner.scenario.values import show_duration

_DEFAULT = ("response.status >= 500",)
_DEFAULTS = {
    "graphql": ("response.status >= 500 || size(response.errors) > 0",),
    # Empty: the call has not ended, and so not failed.
    "grpc": ("response.code != 'OK'", "response.code != ''"),
}
_LOOK_AGAIN_S = 0.05
_IN_EFFECT = "Active"
_ABOUT_TO_BE = "Requested"
_NOT_YET = ("Pending", "Requested")
_NEVER = ("NotInjected", "NoEffect", "Skipped")


def fail_as_expected(step: dict[str, Any], call: Call) -> None:
    """
    Send a request that must fail in the way ``expectFailure`` says.

    Args:
        step: With ``expectFailure``, and an action that gives a ``response``.
        call: Its scope receives the response, if there is one, and the captures.

    Raises:
        StepFailure: The fault is not in effect, or the request did not fail so.
    """
    wanted, scope, tools = step["expectFailure"], call.scope, call.tools
    kind = kind_of(step)
    document = step[kind]
    _wait_for(wanted["during"], tools, call.seconds)
    within_s = parse_duration(wanted["within"]).total_seconds() if "within" in wanted else math.inf
    limit = min(call.seconds(), within_s)
    scope.forget({"response"})
    try:
        seen = module_of(kind).act(document, Call(scope, tools, lambda: limit))
    except StepFailure as failure:
        problem = _of_no_response(wanted, failure, too_late=timeout_of(document) > limit)
        if problem:
            failure.message = problem + _if_over(wanted["during"], tools)
            raise
        conclude(_captures(step), scope)
        return
    scope.observe(seen.values, seen.notes)
    problem, details = _of_response(wanted, kind, scope, seen)
    if problem:
        problem += _if_over(wanted["during"], tools)
        raise StepFailure(problem, "\n\n".join([*details, seen.text]))
    conclude(_captures(step), scope, seen.text)


def _captures(step: dict[str, Any]) -> dict[str, Any]:
    return {"capture": step.get("capture") or {}}


def _of_no_response(wanted: dict[str, Any], failure: StepFailure, *, too_late: bool) -> str:
    """Say what is wrong with there being no response; empty if that was expected."""
    fault = wanted["during"]
    if failure.permanent:
        return failure.message
    if failure.answered:
        return f"it did not fail as expected during fault {fault}: {failure.message}"
    if failure.out_of_time and too_late:
        within = wanted.get("within")
        limit = f"within {within}, in which it had to fail" if within else "in the test's time"
        return f"it neither failed nor was answered {limit}, during fault {fault}"
    if wanted.get("noResponse"):
        return ""
    return (
        f"no response came during fault {fault}: {failure.message}; expected one that says of the"
        " failure (noResponse: true is for none at all)"
    )


def _of_response(
    wanted: dict[str, Any], kind: str, scope: Scope, seen: Observation
) -> tuple[str, list[str]]:
    """Say what is wrong with a response, on one line and at length; empty if it was expected."""
    fault = wanted["during"]
    if wanted.get("noResponse"):
        took = show_duration(seen.values["response.elapsed"])
        return f"expected no response during fault {fault}, but got {seen.brief} after {took}", []
    bindings = scope.bindings()
    found = [
        judge(text, bindings) for text in wanted.get("expect") or _DEFAULTS.get(kind, _DEFAULT)
    ]
    unmet = [each for each in found if each is not None]
    if not unmet:
        return "", []
    more = f" (and {len(unmet) - 1} more)" if len(unmet) > 1 else ""
    text = f"it did not fail as expected during fault {fault}: {unmet[0].message}{more}"
    return text, [unmet_text(each) for each in unmet]


# Whether the fault is there ----------------------------------------------------------------------


def _wait_for(name: str, tools: Tools, seconds: Callable[[], float]) -> None:
    """Return when the fault is in effect; one that is just being carried out is waited for."""
    while True:
        state = _status(name, tools)
        if state["state"] == _IN_EFFECT:
            return
        if state["state"] != _ABOUT_TO_BE or seconds() <= 0:
            break
        tools.world.sleep(_LOOK_AGAIN_S)
    raise StepFailure(
        f"fault {name} is not in effect, so nothing can fail because of it: {_why_not(state)}",
        permanent=True,
    )


def _why_not(state: Mapping[str, Any]) -> str:
    word, message = state["state"], state.get("message") or ""
    told = f"{word}: {message}" if message else str(word)
    if word in _NOT_YET:
        return (
            f"its moment has not come ({told}); start it in a step before this one, or bind it to"
            " this test with when: {test: ...}, without after"
        )
    if word in _NEVER:
        return f"it could not be had ({told})"
    return f"it is over ({told}); give it a longer for, or stop it in a later step"


def _if_over(name: str, tools: Tools) -> str:
    """Say that the fault ended while the request was on its way: that may be why."""
    state = _status(name, tools)
    return (
        "" if state["state"] == _IN_EFFECT else f" (the fault was over by then: {state['state']})"
    )


def _status(name: str, tools: Tools) -> Mapping[str, Any]:
    faults = tools.world.faults
    assert faults is not None  # else the scenario was skipped
    try:
        return faults.status(name)
    # Whoever drives the faults has errors of its own; each means that nothing is known of it.
    except Exception as error:
        raise StepFailure(
            f"fault {name} could not be looked at: {error}", outcome="error", permanent=True
        ) from error
