"""A run that has nothing yet: it is refused, waits in the queue, or starts."""

from __future__ import annotations

from datetime import datetime

from seatrial.api.reasons import Reason
from seatrial.api.status import RunStatus
from seatrial.api.verdict import Judgement, Phase, Verdict
from seatrial.plan import cleanup, conditions
from seatrial.plan.conditions import Claim, Type
from seatrial.plan.deadlines import backstop
from seatrial.plan.result import Plan
from seatrial.plan.sealing import sealed
from seatrial.plan.seen import Seen, Subject
from seatrial.plan.settings import PlanSettings
from seatrial.plan.status import timings
from seatrial.plan.wanted import missing_objects


def before_start(subject: Subject, seen: Seen, now: datetime, settings: PlanSettings) -> Plan:
    """Refuse, hold or start a run that has nothing yet."""
    if subject.steering is not None and subject.steering.abort:
        message = "spec.abort was set before the run started."
        return _refuse(subject, Verdict.ABORTED, Reason.ABORT_REQUESTED, message, now)
    ticket = seen.ticket
    if ticket.replaced_by:
        message = f"Run {ticket.replaced_by} took its place in the queue."
        return _refuse(subject, Verdict.ABORTED, Reason.REPLACED, message, now)
    if subject.problem is not None:
        return _refuse(subject, Verdict.ERROR, Reason.INVALID_SPEC, str(subject.problem), now)
    assert subject.spec is not None
    if not ticket.admitted:
        reason = Reason.SUSPENDED if subject.spec.suspend else Reason.QUEUED
        return Plan(_queue_status(subject, reason, f"Waits for {ticket.waits_for}.", now))
    assert subject.blueprint is not None
    message = f"Makes the environment in namespace {subject.blueprint.environment}."
    status = subject.status.model_copy(
        update={
            "observed_generation": subject.metadata.generation,
            "phase": Phase.PROVISIONING,
            "message": message,
            "namespace": subject.blueprint.environment,
            "start_time": now,
            "conditions": conditions.update(
                subject.status.conditions,
                [
                    *conditions.in_progress(Reason.PROVISIONING, message),
                    Claim(Type.ENVIRONMENT_READY, "False", Reason.PROVISIONING),
                ],
                now,
                subject.metadata.generation,
            ),
        }
    )
    status = status.model_copy(update={"timings": timings(status, subject.metadata.created, None)})
    status = sealed(status, seen)
    return Plan(
        status,
        finalizer=True,
        apply=missing_objects(subject, status, seen, settings),
        wake_at=backstop(subject.spec, status),
    )


def _queue_status(subject: Subject, reason: Reason, message: str, now: datetime) -> RunStatus:
    return subject.status.model_copy(
        update={
            "observed_generation": subject.metadata.generation,
            "phase": Phase.QUEUED,
            "message": message,
            "conditions": conditions.update(
                subject.status.conditions,
                conditions.in_progress(reason, message),
                now,
                subject.metadata.generation,
            ),
        }
    )


def _refuse(
    subject: Subject, verdict: Verdict, reason: Reason, message: str, now: datetime
) -> Plan:
    """End a run that never started; it has no environment, and needs no finalizer."""
    has_faults = bool(subject.spec and subject.spec.faults)
    claims = [
        *conditions.ended(Judgement(verdict, reason, message), has_faults=has_faults),
        Claim(Type.CLEANED_UP, "True", Reason.NOTHING_CREATED),
    ]
    status = subject.status.model_copy(
        update={
            "observed_generation": subject.metadata.generation,
            "phase": Phase.FINISHED,
            "verdict": verdict,
            "message": message,
            "completion_time": now,
            "conditions": conditions.update(
                subject.status.conditions, claims, now, subject.metadata.generation
            ),
        }
    )
    return Plan(status).waking(cleanup.expiry(subject, status))
