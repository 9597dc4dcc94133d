"""What has changed between two looks at a run, a line for each thing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from seatrial.api.verdict import Phase
from seatrial.cli.lines import Line, Tone, block
from seatrial.cli.parts import fault_line, probe_line, service_line, test_line

Json = dict[str, Any]

_BAD = (
    *("Failed", "Error", "Skipped"),
    *("NotInjected", "NoEffect", "EndedEarly", "NotReverted", "NotRecovered"),
)


def changes(before: Json, after: Json) -> Iterator[Line]:
    """
    Give a line for each change of phase, service, test, fault and probe.

    Args:
        before: The status seen last; ``{}`` at the beginning.
        after: The status now.
    """
    if after.get("phase") != before.get("phase") and after.get("phase"):
        yield _phase_line(after)
    for each in _news(before, after, "services", _service_state):
        yield service_line(each)
    for each in _news(before, after, "tests", _test_state):
        yield test_line(each)
        yield from _why_bad(each)
    for each in _news(before, after, "faults", _fault_state):
        yield fault_line(each)
        yield from _why_bad(each)
    for each in _news(before, after, "probes", _probe_state):
        yield probe_line(each)
        if each.get("state") == "Failed":
            yield from block(each.get("message") or "", 1)


def _news(
    before: Json, after: Json, key: str, state_of: Callable[[Json], tuple[object, ...]]
) -> Iterator[Json]:
    known = {each["name"]: each for each in before.get(key) or []}
    for each in after.get(key) or []:
        if state_of(each) != state_of(known.get(each["name"], {})):
            yield each


# What is worth a line when it changes ------------------------------------------------------------


def _service_state(service: Json) -> tuple[object, ...]:
    state = service.get("state") or "Pending"
    return state, service.get("restarts") or 0, service.get("message") or ""


def _test_state(test: Json) -> tuple[object, ...]:
    attempts = max(test.get("attempts") or 0, 1)
    return test.get("outcome") or "Pending", test.get("failed") or 0, attempts


def _fault_state(fault: Json) -> tuple[object, ...]:
    return fault.get("state") or "Pending", max(fault.get("times") or 0, 1)


def _probe_state(probe: Json) -> tuple[object, ...]:
    """Give where it has failed; how often is told at the end."""
    return probe.get("state") == "Failed", tuple(probe.get("duringFaults") or ())


# Lines -------------------------------------------------------------------------------------------


def _phase_line(status: Json) -> Line:
    phase = status["phase"]
    timings = status.get("timings") or {}
    text = f"phase {phase}"
    match phase:
        case Phase.QUEUED if message := status.get("message"):
            text += f": {message}"
        case Phase.PROVISIONING if namespace := status.get("namespace"):
            text += f" in namespace {namespace}"
        case Phase.RUNNING if provisioning := timings.get("provisioning"):
            text += f": the environment is ready after {provisioning}"
    return Line(text, Tone.TITLE)


def _why_bad(part: Json) -> Iterator[Line]:
    if part.get("outcome", part.get("state")) in _BAD:
        yield from block(part.get("message") or "", 1)
