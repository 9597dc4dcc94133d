"""What came of a scenario, ready to be written as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["passed", "failed", "error", "skipped"]

MAX_DETAILS_BYTES = 16 * 1024


@dataclass(frozen=True)
class StepResult:
    """One step; steps of parallel branches are named ``branch > step``."""

    name: str
    outcome: Outcome
    started_at: str
    duration_s: float
    attempts: int = 1  # 1 + retries used
    tries: int = 1  # of the last attempt; more than 1 only with ``eventually``
    message: str = ""
    details: str = ""


@dataclass(frozen=True)
class InstanceResult:
    """
    One instance of a scenario.

    ``failed``: something the scenario says did not hold. ``error``: it could not be tried (a fault
    could not be started, the engine broke). ``skipped``: ``when`` left out every step.
    """

    id: str
    outcome: Outcome
    started_at: str  # RFC 3339, UTC, milliseconds
    finished_at: str
    message: str = ""  # one line
    details: str = ""  # at most MAX_DETAILS_BYTES
    steps: list[StepResult] = field(default_factory=list)
    requests: int = 0
    flaky: bool = False  # passed, but a step needed one of its retries

    def to_json(self) -> dict[str, Any]:
        """Give the document with every field, made of JSON types alone."""
        return asdict(self)

    def to_case(self, *, attempt: int = 1) -> dict[str, Any]:
        """Give the Case of the conductor's interface; see "docs/explanation/architecture.md"."""
        return {
            "id": self.id,
            "outcome": self.outcome,
            "attempt": attempt,
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "message": self.message,
            "details": self.details,
            "requests": self.requests,
            "properties": {"flaky": "true"} if self.flaky else {},
        }
