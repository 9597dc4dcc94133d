"""What has changed between two looks at a run, a line for each thing. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seatrial.api.verdict import Phase
from seatrial.cli.lines import Line, Tone, block
from seatrial.cli.parts import fault_line, service_line, test_line

Json = dict[str, Any]


def changes(before: Json, after: Json) -> Iterator[Line]:
    """
    Give a line for each change of phase, service, test and fault.

    Args:
        before: The status seen last; ``{}`` at the beginning.
        after: The status now.
    """
    if after.get("phase") != before.get("phase") and after.get("phase"):
        yield _phase_line(after)
    for key, line, watched in (
        ("services", service_line, ("state", "restarts", "message")),
        ("tests", test_line, ("outcome", "failed", "attempts")),
        ("faults", fault_line, ("state",)),
    ):
        known = {each["name"]: each for each in before.get(key) or []}
        for each in after.get(key) or []:
            then = known.get(each["name"], {})
            pending = each.get("state", each.get("outcome")) == "Pending" and not each.get(
                "message"
            )
            if not pending and any(each.get(w) != then.get(w) for w in watched):
                yield line(each)
                yield from _message(key, each)


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


def _message(key: str, each: Json) -> Iterator[Line]:
    """Say at once why a test or a fault is bad; a service's line has it already."""
    message = each.get("message")
    bad = ("Failed", "Error", "NotInjected", "NotReverted", "NotRecovered", "Skipped")
    if key != "services" and message and each.get("outcome", each.get("state")) in bad:
        yield from block(message, 1)
