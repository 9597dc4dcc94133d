"""Whether the run has come to its end, and to which."""

from __future__ import annotations

from datetime import datetime

from seatrial.api.reasons import Reason
from seatrial.api.spec import RunSpec
from seatrial.api.status import Condition, RunStatus
from seatrial.api.verdict import Cause, Judgement, judge
from seatrial.plan.conditions import Type, find
from seatrial.plan.deadlines import ABORT_GRACE, backstop, deadline
from seatrial.plan.liveness import describe, health
from seatrial.plan.seen import Seen, Subject
from seatrial.plan.selection import selected


def aborting(status: RunStatus) -> Condition | None:
    """Give the condition that says that, since when and why the run is being aborted."""
    return find(status.conditions, Type.ABORTING)


def ending(subject: Subject, status: RunStatus, seen: Seen, now: datetime) -> Judgement | None:
    """
    Judge a started run if it has come to its end; None while it goes on.

    First, what cannot be made or judged as written. A run that has started goes on by the spec it
    began with, but an operator that is new knows only what it finds: it may be set otherwise, what
    the spec names may be gone, or the spec itself was changed behind the API server's rules. Once
    the gate is open there is nothing left to make, so only one that cannot be read ends the run.
    If it was told to abort as well, that is what it ends as.

    1. The conductor says that the tests have ended, or that there is no environment to test.
    2. Something ends the run that the conductor cannot know of, or is not there to say.
    3. It was told to abort, or a deadline has passed, and it has had its time to say so.
    """
    spec = subject.spec
    if spec is None or (subject.problem is not None and status.gate_time is None):
        message = str(subject.problem)
        if status.gate_time is not None:
            changed = "The spec was changed after the tests had begun, and cannot be read"
            message = f"{changed}: {message}"
        error = Cause(Reason.INVALID_SPEC, message)
        return judge(seen.summary, abort=_told(status), error=error)
    abort = _abort(status, seen, now)
    summary = seen.summary
    if summary and (summary["finished"] or summary["environmentFailure"]):
        return _judge(spec, seen, abort=_told(status))
    if abort is not None:
        return _judge(spec, seen, abort=abort)
    broken = (
        _lost(status, seen) or health(seen.conductor, now).fatal or _late(spec, status, seen, now)
    )
    return _judge(spec, seen, error=broken) if broken else None


def _judge(
    spec: RunSpec, seen: Seen, *, abort: Cause | None = None, error: Cause | None = None
) -> Judgement:
    spec = selected(spec)
    return judge(
        seen.summary,
        tests=[test.name for test in spec.tests],
        faults=[fault.name for fault in spec.faults],
        probes=[probe.name for probe in spec.probes],
        abort=abort,
        error=error,
    )


def _abort(status: RunStatus, seen: Seen, now: datetime) -> Cause | None:
    """Say why the run is aborted, once the conductor has had its time to undo what it did."""
    told = aborting(status)
    if told is None:
        return None
    nothing_to_undo = seen.summary is None and status.gate_time is None
    if nothing_to_undo or now >= told.last_transition_time + ABORT_GRACE:
        return _told(status)
    return None


def _told(status: RunStatus) -> Cause | None:
    """Say why the run is to be aborted, if it is."""
    told = aborting(status)
    return Cause(told.reason, told.message) if told else None


def _lost(status: RunStatus, seen: Seen) -> Cause | None:
    """Say what took the environment away; before the gate opens it is simply made again."""
    if seen.refusal is not None:
        return Cause(seen.refusal.reason, seen.refusal.message)
    if status.gate_time is None:
        return None
    if seen.namespace is None or seen.namespace.deleting:
        return Cause(
            Reason.ENVIRONMENT_LOST,
            f"Namespace {status.namespace} was deleted while the tests ran.",
        )
    return None


def _late(spec: RunSpec, status: RunStatus, seen: Seen, now: datetime) -> Cause | None:
    if now < backstop(spec, status):
        return None
    message = deadline(spec, status).message + describe(seen.conductor, seen.summary)
    return Cause(Reason.TIMED_OUT, message)
