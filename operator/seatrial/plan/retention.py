"""How long things stay after the verdict."""

from __future__ import annotations

from datetime import datetime

from seatrial.api.status import RunStatus
from seatrial.api.verdict import Verdict
from seatrial.plan.seen import Subject


def keep_until(subject: Subject, status: RunStatus) -> datetime:
    """Say until when the run's namespace stays; spec.keepEnvironment may change it any time."""
    spec = subject.steering
    assert status.completion_time is not None
    if spec is None:
        return status.completion_time
    keep = spec.keep_environment
    passed = status.verdict is Verdict.PASSED
    return status.completion_time + (keep.on_success if passed else keep.on_failure)


def expires_at(subject: Subject, status: RunStatus) -> datetime | None:
    """Say when the run itself is to be deleted; None means never."""
    spec = subject.steering
    if spec is None or spec.ttl_after_finished is None or status.completion_time is None:
        return None
    return status.completion_time + spec.ttl_after_finished
