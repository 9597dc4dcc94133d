"""How long things may take. The conductor keeps the deadlines; the operator only backs it up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from seatrial.api.duration import format_duration
from seatrial.api.spec import RunSpec
from seatrial.api.status import RunStatus

# The conductor ends the tests at the deadline and says so. This much later it is not going to.
CONDUCTOR_GRACE = timedelta(seconds=10)
# How long the conductor has to undo its faults and say so after it was told to abort.
ABORT_GRACE = timedelta(seconds=15)


@dataclass(frozen=True)
class Deadline:
    """When a phase must have ended, and which budget says so."""

    at: datetime
    field: str
    budget: timedelta

    @property
    def message(self) -> str:
        """Say it in one sentence, with the remedy."""
        return (
            f"{self.field} of {format_duration(self.budget)} is over."
            f" Raise it, or see in status.services and status.tests what took so long."
        )


def deadline(spec: RunSpec, status: RunStatus) -> Deadline:
    """Give the earliest deadline of a run that has started and has no verdict."""
    assert status.start_time is not None
    whole = Deadline(status.start_time + spec.timeout, "spec.timeout", spec.timeout)
    if status.gate_time is None:
        budget = spec.timeouts.provisioning
        phase = Deadline(status.start_time + budget, "spec.timeouts.provisioning", budget)
    else:
        budget = spec.timeouts.tests
        phase = Deadline(status.gate_time + budget, "spec.timeouts.tests", budget)
    return min(phase, whole, key=lambda each: each.at)


def backstop(spec: RunSpec, status: RunStatus) -> datetime:
    """Say when the operator ends a run that its conductor has not ended."""
    return deadline(spec, status).at + CONDUCTOR_GRACE
