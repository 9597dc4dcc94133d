"""The heart of the operator: from what is seen of a run to what is to be done about it."""

from __future__ import annotations

from datetime import datetime

from seatrial.api import names
from seatrial.api.reasons import Reason
from seatrial.api.status import RunStatus
from seatrial.api.verdict import Cause, Judgement, Phase, Verdict, judge
from seatrial.plan import cleanup, conditions
from seatrial.plan.blueprint import bare
from seatrial.plan.conditions import Claim, Type
from seatrial.plan.deadlines import ABORT_GRACE, CONDUCTOR_GRACE, deadline, earliest
from seatrial.plan.ending import aborting, ending
from seatrial.plan.liveness import Health, health
from seatrial.plan.objects import (
    Manifest,
    Mode,
    conductor_configmaps,
    conductor_pod,
    conductor_token,
    control_manifest,
    environment,
)
from seatrial.plan.objects.manifest import CREATED, ObjectKey
from seatrial.plan.result import Delete, Event, Plan
from seatrial.plan.rundoc import control_document
from seatrial.plan.seen import Seen, Subject
from seatrial.plan.settings import PlanSettings
from seatrial.plan.status import progress, tests_ended, timings


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
        return _queued(subject, seen, now, settings)
    return _started(subject, seen, now, settings)


def _deleted(subject: Subject, seen: Seen, now: datetime) -> Plan:
    if subject.status.start_time is None:
        gone = names.FINALIZER in subject.metadata.finalizers
        return Plan(subject.status, finalizer=False if gone else None)
    cause = Cause(Reason.RUN_DELETED, "The run was deleted before its end.")
    return _end(subject, subject.status, judge(seen.summary, abort=cause), seen, now)


def _queued(subject: Subject, seen: Seen, now: datetime, settings: PlanSettings) -> Plan:
    """Refuse, hold or start a run that has nothing yet."""
    if subject.problem is not None:
        return _refuse(subject, Verdict.ERROR, Reason.INVALID_SPEC, str(subject.problem), now)
    assert subject.spec is not None
    if subject.spec.abort:
        message = "spec.abort was set before the run started."
        return _refuse(subject, Verdict.ABORTED, Reason.ABORT_REQUESTED, message, now)
    ticket = seen.ticket
    if ticket.replaced_by:
        message = f"Run {ticket.replaced_by} took its place in the queue."
        return _refuse(subject, Verdict.ABORTED, Reason.REPLACED, message, now)
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
    return Plan(
        status,
        finalizer=True,
        apply=_objects(subject, status, seen, settings),
        wake_at=_deadline(subject, status),
        events=(Event("Started", message),),
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
    plan_ = Plan(status, events=(Event(verdict, message, "Warning"),))
    return plan_.waking(cleanup.expiry(subject, status))


def _started(subject: Subject, seen: Seen, now: datetime, settings: PlanSettings) -> Plan:
    """Carry a run on: make what is missing, take over what the conductor says, or end it."""
    if seen.namespace is not None and seen.namespace.owner != subject.metadata.uid:
        message = f"Namespace {subject.status.namespace} exists, and this run did not make it."
        taken = judge(None, error=Cause(Reason.NAMESPACE_TAKEN, message))
        return _end(subject, subject.status, taken, seen, now)
    status = _abort_status(subject, subject.status, seen, now)
    if seen.summary is not None:
        status = progress(status, seen.summary)
    judgement = ending(subject, status, seen, now)
    if judgement is not None:
        return _end(subject, status, judgement, seen, now)
    status = _progress_status(subject, status, now)
    events = []
    if subject.status.gate_time is None and status.gate_time is not None:
        events.append(Event("EnvironmentReady", "Every service is ready; the tests begin."))
    pod = health(seen.conductor, now)
    return Plan(
        status,
        finalizer=None if names.FINALIZER in subject.metadata.finalizers else True,
        apply=_objects(subject, status, seen, settings),
        delete=_replacement(status, seen, pod),
        wake_at=earliest(_deadline(subject, status), _abort_deadline(status), pod.look_again),
        events=tuple(events),
    )


def _abort_status(subject: Subject, status: RunStatus, seen: Seen, now: datetime) -> RunStatus:
    """Note since when and why the run is to be aborted; that is never taken back."""
    assert subject.spec is not None or subject.problem is not None
    if aborting(status) is not None:
        return status
    if subject.spec is not None and subject.spec.abort:
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
    spans = timings(status, subject.metadata.created, tests_ended(seen.summary) or now)
    status = status.model_copy(update={"timings": spans, "duration": spans.total})
    passed = judgement.verdict is Verdict.PASSED
    event = Event(judgement.verdict, judgement.message, "Normal" if passed else "Warning")
    return Plan(status, events=(event,))


def _objects(
    subject: Subject, status: RunStatus, seen: Seen, settings: PlanSettings
) -> tuple[Manifest, ...]:
    """
    List what has to be made now.

    Once the gate is open, nothing of the system under test is applied again: a fault may have
    changed it on purpose.
    """
    if seen.namespace is not None and seen.namespace.deleting:
        return ()
    assert status.start_time is not None
    if status.gate_time is None:
        assert subject.blueprint is not None
        run = subject.blueprint
        ready = {each.name for each in status.services if each.state == "Ready"}
        wanted = [
            *environment(run, settings, started=status.start_time, ready=ready),
        ]
    else:
        assert subject.spec is not None
        run = bare(subject.metadata, subject.spec)
        wanted = [
            *conductor_configmaps(run),
            conductor_token(run),
            conductor_pod(run, settings),
        ]
    wanted += _control(subject, status, seen)
    return tuple(each for each in wanted if _missing(each, seen))


def _missing(manifest: Manifest, seen: Seen) -> bool:
    if manifest.mode is Mode.CREATE:
        return manifest.key not in seen.applied
    return seen.applied.get(manifest.key) != manifest.digest


def _control(subject: Subject, status: RunStatus, seen: Seen) -> list[Manifest]:
    """
    Tell the conductor to abort or to hold, if there is something to tell.

    A conductor that finds no ``control.json`` goes on; so nothing is written for a run that this
    process started itself and that goes on. Of others it is not known what was written last.
    """
    assert subject.spec is not None
    assert status.namespace is not None
    told = aborting(status)
    document = control_document(
        abort=told.message or told.reason if told else "", suspend=subject.spec.suspend
    )
    manifest = control_manifest(status.namespace, document)
    goes_on = not document["abort"] and not document["suspend"]
    made = seen.applied.get(ObjectKey("ConfigMap", status.namespace, names.RUN_CONFIGMAP))
    if made is None and status.gate_time is None:
        return []  # run.json comes first: to apply a part would make the ConfigMap without it
    if goes_on and made == CREATED and manifest.key not in seen.applied:
        return []
    return [manifest]


def _replacement(status: RunStatus, seen: Seen, pod: Health) -> tuple[Delete, ...]:
    if not pod.remove or seen.conductor is None:
        return ()
    assert status.namespace is not None
    uid = seen.conductor.uid
    return (Delete("Pod", status.namespace, names.CONDUCTOR, uid, force=pod.force),)


def _deadline(subject: Subject, status: RunStatus) -> datetime | None:
    if subject.spec is None:
        return None
    return deadline(subject.spec, status).at + CONDUCTOR_GRACE


def _abort_deadline(status: RunStatus) -> datetime | None:
    told = aborting(status)
    return told.last_transition_time + ABORT_GRACE if told else None
