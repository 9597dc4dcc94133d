"""What came of a scenario, ready to be written as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from seatrial.api.report import RecordDoc

Outcome = Literal["passed", "failed", "error", "skipped"]

MAX_DETAILS_BYTES = 16 * 1024
MAX_SETTLED = 22  # of 32 properties that a case may have
MAX_SUBSCRIPTIONS = 8  # likewise
MAX_PROPERTY = 64  # characters of a property's name


@dataclass(frozen=True)
class StepResult:
    """
    One step; steps inside of others are named ``outer > inner``.

    ``settled_s``: with ``eventually``, how long it took until it held: the system's delay.
    """

    name: str
    outcome: Outcome
    started_at: str
    duration_s: float
    attempts: int = 1  # 1 + retries used
    tries: int = 1  # of the last attempt; more than 1 only with ``eventually`` and ``always``
    message: str = ""
    details: str = ""
    settled_s: float | None = None


@dataclass(frozen=True)
class InstanceResult:
    """
    One instance of a scenario.

    ``failed``: something the scenario says did not hold. ``error``: it could not be tried (a fault
    could not be started, setup failed, the engine broke), or teardown alone failed. ``skipped``:
    ``when`` left out every step.
    """

    id: str
    outcome: Outcome
    started_at: str  # RFC 3339, UTC, milliseconds
    finished_at: str
    message: str = ""  # one line
    details: str = ""  # at most MAX_DETAILS_BYTES
    steps: list[StepResult] = field(default_factory=list)
    requests: int = 0
    seed: str = ""  # of the variable ``run``, where it was drawn and not given
    flaky: bool = False  # passed, but a step needed one of its retries
    # What kinds of steps have recorded, by name: ``messages`` (``messages.recording``). Bounded.
    recorded: dict[str, Any] = field(default_factory=dict)

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
            "properties": self.properties(),
            "messages": self.messages(),
        }

    def messages(self) -> RecordDoc | None:
        """Give the record of what came; None if the scenario has listened to nothing."""
        record: RecordDoc | None = self.recorded.get("messages")
        return record if record and record["subscriptions"] else None

    def properties(self) -> dict[str, str]:
        """
        Give what reports say of it besides: its seed, for each step with ``eventually`` how
        long it took to hold, and how many messages each subscription had.
        """
        first = {"flaky": "true"} if self.flaky else {}
        if self.seed:
            first["seed"] = self.seed
        for each in self.recorded.get("messages", {}).get("subscriptions", ())[:MAX_SUBSCRIPTIONS]:
            first[f"messages: {each['name']}"[:MAX_PROPERTY]] = str(each["messages"])
        known = [step for step in self.steps if step.settled_s is not None]
        return first | {
            f"settled: {step.name}"[:MAX_PROPERTY]: f"{step.settled_s:.3f}s"
            for step in known[:MAX_SETTLED]
        }


def step_line(step: StepResult) -> str:
    """Write a step on one line: its outcome, how long it took, and what is worth knowing of it."""
    notes = [
        f"{step.attempts} attempts" if step.attempts > 1 else "",
        f"{step.tries} tries" if step.tries > 1 else "",
        f"held after {step.settled_s:.3f} s" if step.settled_s and step.tries > 1 else "",
        step.message if step.outcome == "skipped" else "",
    ]
    note = "; ".join(note for note in notes if note)
    return f"  {step.outcome:<7} {step.duration_s:7.3f} s  {step.name}" + (
        f"  ({note})" if note else ""
    )
