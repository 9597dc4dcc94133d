"""``fault``: starts or stops a fault that is declared as manual."""

from __future__ import annotations

from typing import Any

from seatrial_runner.scenario.action import Call, Observation, StepFailure


def title(document: dict[str, Any]) -> str:
    """Say which fault is started or stopped."""
    verb = "start" if "start" in document else "stop"
    return f"{verb} fault {document.get(verb, '')}"


def act(document: dict[str, Any], call: Call) -> Observation:
    """Start or stop it, and wait until that is done."""
    verb = "start" if "start" in document else "stop"
    faults = call.tools.world.faults
    assert faults is not None  # else the scenario was skipped
    order = faults.start if verb == "start" else faults.stop
    try:
        order(document[verb])
    # Whoever drives the faults has errors of its own; each means that there is none to test under.
    except Exception as error:
        done = "started" if verb == "start" else "stopped"
        raise StepFailure(
            f"fault {document[verb]!r} could not be {done}: {error}",
            outcome="error",
            permanent=True,
        ) from error
    return Observation()
