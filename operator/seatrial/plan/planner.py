"""The heart of the operator: from what is seen of a run to what is to be done about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from seatrial.api import names
from seatrial.api.reasons import Reason
from seatrial.api.status import RunStatus
from seatrial.api.verdict import Cause, Judgement, Phase, judge
from seatrial.plan import cleanup, conditions
from seatrial.plan.conditions import Claim, Type
from seatrial.plan.deadlines import ABORT_GRACE, backstop
from seatrial.plan.ending import aborting, ending
from seatrial.plan.liveness import Health, health
from seatrial.plan.queueing import before_start
from seatrial.plan.result import Delete, Plan
from seatrial.plan.sealing import is_ours, sealed
from seatrial.plan.seen import Seen, Subject
from seatrial.plan.settings import PlanSettings
from seatrial.plan.status import progress, tests_ended, timings
from seatrial.plan.undoing import due, told
from seatrial.plan.wanted import missing_objects


def plan(subject: Subject, seen: Seen, *, now: datetime, settings: PlanSettings) -> Plan:
    """
    Decide what to do about a run.

    What is to be done follows from the run, what is seen and the time, never from remembered
    steps: carrying a plan out in part, or twice, leads to the same end.

    Args:
        subject: The run.
        seen: What is observed of its environment.
        now: The time, in UTC.
        settings: The administrator's.
    """
    status = subject.status
    if status.verdict is not None:
        return cleanup.after_verdict(subject, seen, now)
    if subject.metadata.deleted is not None:
        return _deleted(subject, seen, now)
    if status.start_time is None:
        return before_start(subject, seen, now, settings)
    return _started(subject, seen, now, settings)


def _deleted(subject: Subject, seen: Seen, now: datetime) -> Plan:
    if subject.status.start_time is None:
        gone = names.FINALIZER in subject.metadata.finalizers
        return Plan(subject.status, finalizer=False if gone else None)
    cause = Cause(Reason.RUN_DELETED, "The run was deleted before its end.")
    return _end(subject, subject.status, judge(seen.summary, abort=cause), seen, now)


def _started(subject: Subject, seen: Seen, now: datetime, settings: PlanSettings) -> Plan:
    """Carry a run on: make what is missing, take over what the conductor says, or end it."""
    if seen.namespace is not None and not is_ours(subject, seen.namespace):
        message = f"Namespace {subject.status.namespace} exists, and this run did not make it."
        taken = judge(None, error=Cause(Reason.NAMESPACE_TAKEN, message))
        return _end(subject, subject.status, taken, seen, now)
    status = _abort_status(subject, subject.status, seen, now)
    seen = replace(seen, summary=told(seen, status))
    if seen.summary is not None:
        status = progress(status, seen.summary)
    judgement = ending(subject, status, seen, now)
    if judgement is not None:
        return _end(subject, status, judgement, seen, now)
    assert subject.spec is not None  # or it has ended
    status = sealed(_progress_status(subject, status, now), seen)
    pod = health(seen.conductor, now)
    faults = due(subject, status, seen, now)
    planned = Plan(
        status,
        finalizer=None if names.FINALIZER in subject.metadata.finalizers else True,
        undo=faults.undo,
        apply=missing_objects(subject, status, seen, settings),
        delete=_replacement(status, seen, pod),
        wake_at=backstop(subject.spec, status),
    )
    for moment in (_abort_deadline(status), pod.look_again, faults.look_again):
        planned = planned.waking(moment)
    return planned


def _abort_status(subject: Subject, status: RunStatus, seen: Seen, now: datetime) -> RunStatus:
    """Note since when and why the run is to be aborted; that is never taken back."""
    if aborting(status) is not None:
        return status
    if subject.steering is not None and subject.steering.abort:
        claim = Claim(Type.ABORTING, "True", Reason.ABORT_REQUESTED, "spec.abort was set.")
    elif seen.ticket.replaced_by:
        message = f"Run {seen.ticket.replaced_by} of its group took its place."
        claim = Claim(Type.ABORTING, "True", Reason.REPLACED, message)
    else:
        return status
    updated = conditions.update(status.conditions, [claim], now, subject.metadata.generation)
    return status.model_copy(update={"conditions": updated})


def _progress_status(subject: Subject, status: RunStatus, now: datetime) -> RunStatus:
    if status.gate_time is None:
        phase, reason, message = Phase.PROVISIONING, Reason.PROVISIONING, subject.status.message
        claims = [Claim(Type.ENVIRONMENT_READY, "False", Reason.PROVISIONING)]
    else:
        phase, reason, message = Phase.RUNNING, Reason.RUNNING, "The tests run."
        if subject.spec is not None and subject.spec.suspend:
            reason, message = Reason.SUSPENDED, "spec.suspend holds the run before its next test."
        claims = [Claim(Type.ENVIRONMENT_READY, "True", Reason.GATE_OPENED)]
    claims += conditions.in_progress(reason, message)
    return status.model_copy(
        update={
            "observed_generation": subject.metadata.generation,
            "phase": phase,
            "message": message,
            "conditions": conditions.update(
                status.conditions, claims, now, subject.metadata.generation
            ),
            "timings": timings(status, subject.metadata.created, None),
        }
    )


def _end(
    subject: Subject, status: RunStatus, judgement: Judgement, seen: Seen, now: datetime
) -> Plan:
    """Write the verdict; nothing later changes it. Clean-up follows in the same plan."""
    has_faults = bool(subject.spec and subject.spec.faults)
    claims = conditions.ended(judgement, has_faults=has_faults)
    if status.gate_time is None or judgement.reason == Reason.ENVIRONMENT_LOST:
        claims.append(Claim(Type.ENVIRONMENT_READY, "False", judgement.reason, judgement.message))
    else:
        claims.append(Claim(Type.ENVIRONMENT_READY, "True", Reason.GATE_OPENED))
    status = status.model_copy(
        update={
            "observed_generation": subject.metadata.generation,
            "phase": Phase.COLLECTING,
            "verdict": judgement.verdict,
            "message": judgement.message,
            "completion_time": now,
            "conditions": conditions.update(
                status.conditions, claims, now, subject.metadata.generation
            ),
        }
    )
    spans = timings(status, subject.metadata.created, tests_ended(status, seen.summary) or now)
    status = status.model_copy(update={"timings": spans, "duration": spans.total})
    return Plan(status)


def _replacement(status: RunStatus, seen: Seen, pod: Health) -> tuple[Delete, ...]:
    if not pod.remove or seen.conductor is None:
        return ()
    assert status.namespace is not None
    uid = seen.conductor.uid
    return (Delete("Pod", status.namespace, names.CONDUCTOR, uid, force=pod.force),)


def _abort_deadline(status: RunStatus) -> datetime | None:
    told = aborting(status)
    return told.last_transition_time + ABORT_GRACE if told else None
