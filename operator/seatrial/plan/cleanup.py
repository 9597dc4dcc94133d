"""After the verdict: the report, the time the environment is kept, its deletion, the run's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from seatrial.api import names
from seatrial.api.duration import format_duration
from seatrial.api.reasons import Reason
from seatrial.api.status import RunStatus
from seatrial.api.verdict import Phase
from seatrial.plan import conditions
from seatrial.plan.conditions import Claim, Type, find
from seatrial.plan.objects import control_manifest
from seatrial.plan.result import Delete, Plan
from seatrial.plan.retention import expires_at, keep_until
from seatrial.plan.rundoc import control_document
from seatrial.plan.sealing import is_ours
from seatrial.plan.seen import Seen, Subject
from seatrial.plan.status import progress
from seatrial.plan.undoing import Due, due, noted, told

# The conductor keeps timeouts.collecting itself; this much later nothing more is coming.
_COLLECTING_GRACE = timedelta(seconds=5)
_DEFAULT_COLLECTING = timedelta(minutes=1)
_DEFAULT_CLEANUP = timedelta(minutes=5)
# To delete a namespace costs the API server as much as to start a run does (forty writes, a hundred
# requests), so those that start go first. At most for so long, and only where nothing runs that
# holds what they may wait for.
_OTHERS_FIRST = timedelta(seconds=15)


def after_verdict(subject: Subject, seen: Seen, now: datetime) -> Plan:
    """
    Decide what to do about a run that has its verdict.

    1. Collecting, until the report is copied or there will be none.
    2. Cleaning: the namespace is kept as long as the spec says, then deleted.
    3. Finished, once the namespace is gone. Then the finalizer goes.
    4. The run itself goes when its time has come.
    """
    status = subject.status
    if status.phase is Phase.FINISHED:
        return _finished(subject, status, now)
    seen = replace(seen, summary=told(seen, status))
    deleted = subject.metadata.deleted is not None
    report = find(status.conditions, Type.REPORT_AVAILABLE)
    if report is None and not deleted:
        claim = _report(subject, seen, now)
        if claim is None:
            # The conductor has been told to end its faults; what it does not, ends in its time.
            return _undoing(_collect(subject, seen), due(subject, status, seen, now))
        status = _claim(subject, status, [claim], now)
        if claim.status == "True":
            status = status.model_copy(update={"report": names.report_name(subject.metadata.name)})
    return _clean(subject, status, seen, now)


def expiry(subject: Subject, status: RunStatus) -> datetime | None:
    """Say when to look again at a finished run, to delete it; None means never."""
    return expires_at(subject, status) if subject.metadata.deleted is None else None


def _report(subject: Subject, seen: Seen, now: datetime) -> Claim | None:
    """Claim whether there is a report; None while it may still come."""
    status = subject.status
    if seen.report_copied:
        return Claim(Type.REPORT_AVAILABLE, "True", Reason.REPORT_COPIED)
    if seen.report_problem:
        return Claim(Type.REPORT_AVAILABLE, "False", Reason.REPORT_MISSING, seen.report_problem)
    late = now >= _collecting_end(subject)
    if seen.summary is not None and seen.summary["reportReady"] and _ours(subject, seen):
        if not (late and seen.report_error):
            return None
        # NB: not for ever: a quota of the user's namespace must not keep an environment, and with
        # it a place in the queue.
        missing = f"It could not be copied: {seen.report_error}"
        return Claim(Type.REPORT_AVAILABLE, "False", Reason.REPORT_MISSING, missing)
    missing = ""
    if not _ours(subject, seen):
        missing = "There is no environment to collect it from."
    elif seen.conductor is None or seen.conductor.phase in ("Failed", "Succeeded"):
        missing = "The conductor was gone before it had made the report."
    elif seen.summary is None:
        missing = "The conductor never began its work."
    elif late:
        missing = f"It was not there {format_duration(now - _completed(status))} after the verdict."
    if not missing:
        return None
    return Claim(Type.REPORT_AVAILABLE, "False", Reason.REPORT_MISSING, missing)


def _collect(subject: Subject, seen: Seen) -> Plan:
    """Wait for the report, or copy it; a conductor that has not ended by itself is told to."""
    status, summary = subject.status, seen.summary
    assert summary is not None  # of a conductor that never began no report is waited for
    if summary["finished"] is not None:
        # What the conductor noted in the very end, such as the last fault's recovery.
        status = progress(status, summary)
    plan = Plan(status, copy_report=summary["reportReady"], wake_at=_collecting_end(subject))
    if summary["finished"] is not None:
        return plan
    assert status.namespace is not None
    control = control_manifest(
        status.namespace,
        control_document(abort=status.message or "The run is over.", suspend=False),
    )
    if seen.applied.get(control.key) == control.digest:
        return plan
    return replace(plan, apply=(control,))


def _clean(subject: Subject, status: RunStatus, seen: Seen, now: datetime) -> Plan:
    """Keep the namespace for as long as the spec says, then see that it goes."""
    if not _ours(subject, seen):
        return _gone(subject, status, now)
    assert seen.namespace is not None
    kept = keep_until(subject, status)
    deleted = subject.metadata.deleted is not None
    if now < kept and not deleted and not seen.namespace.deleting and status.cleanup_time is None:
        message = f"Namespace {status.namespace} is kept until {kept:%Y-%m-%d %H:%M:%S} UTC."
        claim = Claim(Type.CLEANED_UP, "False", Reason.KEPT, message)
        status = noted(_claim(subject, status, [claim], now), seen.summary)
        plan = Plan(status.model_copy(update={"phase": Phase.CLEANING}), wake_at=kept)
        # Whoever looks at what is kept finds it as it was meant to be.
        return _undoing(plan, due(subject, status, seen, now, all_=True))
    return _delete(subject, status, seen, now)


def _undoing(plan: Plan, faults: Due) -> Plan:
    return replace(plan, undo=faults.undo).waking(faults.look_again)


def _delete(subject: Subject, status: RunStatus, seen: Seen, now: datetime) -> Plan:
    assert seen.namespace is not None
    began = status.cleanup_time or now
    budget = subject.spec.timeouts.cleanup if subject.spec else _DEFAULT_CLEANUP
    claim = Claim(Type.CLEANED_UP, "False", Reason.DELETING)
    if now >= began + budget:
        message = (
            f"Namespace {status.namespace} has not gone for {format_duration(budget)}:"
            f" {seen.namespace.blockers or 'the API server does not say why.'}"
        )
        claim = Claim(Type.CLEANED_UP, "False", Reason.NAMESPACE_STUCK, message)
    status = _claim(subject, status, [claim], now).model_copy(
        update={"phase": Phase.CLEANING, "cleanup_time": began}
    )
    namespace = Delete(
        "Namespace",
        "",
        names.run_namespace(subject.metadata.name, subject.metadata.uid),
        seen.namespace.uid,
    )
    if seen.others_start and now < began + _OTHERS_FIRST and _can_wait(subject, seen):
        return Plan(status, wake_at=began + _OTHERS_FIRST)
    return Plan(
        status,
        delete=() if seen.namespace.deleting else (namespace,),
        wake_at=began + budget if now < began + budget else None,
    )


def _can_wait(subject: Subject, seen: Seen) -> bool:
    """Whether nobody waits for the namespace to go, and nothing in it runs: its pods have ended."""
    assert seen.namespace is not None
    at_rest = subject.spec is not None and not subject.spec.services
    return at_rest and subject.metadata.deleted is None and not seen.namespace.deleting


def _gone(subject: Subject, status: RunStatus, now: datetime) -> Plan:
    """Say that nothing is left, and let the run go."""
    status = _claim(subject, status, [Claim(Type.CLEANED_UP, "True", Reason.DELETED)], now)
    status = status.model_copy(
        update={"phase": Phase.FINISHED, "cleanup_time": status.cleanup_time or now}
    )
    return _finished(subject, status, now)


def _finished(subject: Subject, status: RunStatus, now: datetime) -> Plan:
    held = names.FINALIZER in subject.metadata.finalizers
    plan = Plan(_observed(subject, status), finalizer=False if held else None)
    expires = expiry(subject, status)
    if expires is None:
        return plan
    if now < expires:
        return plan.waking(expires)
    metadata = subject.metadata
    run = Delete("IntegrationTestRun", metadata.namespace, metadata.name, metadata.uid)
    return replace(plan, delete=(run,))


def _ours(subject: Subject, seen: Seen) -> bool:
    """Whether the run's own namespace is there; one that someone else made is not ours to touch."""
    return is_ours(subject, seen.namespace)


def _observed(subject: Subject, status: RunStatus) -> RunStatus:
    return status.model_copy(update={"observed_generation": subject.metadata.generation})


def _claim(subject: Subject, status: RunStatus, claims: list[Claim], now: datetime) -> RunStatus:
    updated = conditions.update(status.conditions, claims, now, subject.metadata.generation)
    return _observed(subject, status.model_copy(update={"conditions": updated}))


def _completed(status: RunStatus) -> datetime:
    assert status.completion_time is not None
    return status.completion_time


def _collecting_end(subject: Subject) -> datetime:
    budget = subject.spec.timeouts.collecting if subject.spec else _DEFAULT_COLLECTING
    return _completed(subject.status) + budget + _COLLECTING_GRACE
