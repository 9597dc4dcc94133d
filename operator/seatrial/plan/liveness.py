"""Whether the conductor's pod can do its work, will be replaced, or ends the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from seatrial.api.journal import SummaryDoc
from seatrial.api.reasons import Reason
from seatrial.api.scheduling import room_may_come
from seatrial.api.verdict import Cause
from seatrial.plan.seen import PodSeen

# A registry that hiccups is asked again by the kubelet; after this time it is not a hiccup.
PULL_GRACE = timedelta(seconds=20)
# Long enough for a node that is just joining, short enough to be told while one is watching.
SCHEDULING_GRACE = timedelta(seconds=60)
# A pod on a node that is gone stays in deletion until someone removes it by force.
DELETION_GRACE = timedelta(seconds=35)
# The conductor may be killed on purpose; it is lost when it cannot even stay up this often.
MAX_RESTARTS = 5

_HOPELESS_PULLS = ("InvalidImageName", "ErrImageNeverPull")
_FAILING_PULLS = ("ImagePullBackOff", "ErrImagePull", "ImageInspectError", "RegistryUnavailable")


@dataclass(frozen=True)
class Health:
    """What to do about the conductor's pod; all empty while it is fine."""

    fatal: Cause | None = None
    remove: bool = False  # delete it, so that it is made again
    force: bool = False  # without grace: nobody is there to end it in order
    look_again: datetime | None = None


def health(pod: PodSeen | None, now: datetime) -> Health:
    """
    Judge the conductor's pod.

    Args:
        pod: None if there is none; then the planner makes it.
        now: The time.
    """
    if pod is None:
        return Health()
    if pod.deleted is not None:
        overdue = pod.deleted + DELETION_GRACE
        if now >= overdue:
            return Health(remove=True, force=True)
        return Health(look_again=overdue)
    if pod.phase == "Failed":  # evicted, preempted, or its node was shut down
        return Health(remove=True)
    if pod.phase == "Succeeded":
        return _fatal(
            Reason.CONDUCTOR_FAILED, "The conductor ended without saying how the tests went."
        )
    if pod.waiting in _HOPELESS_PULLS:
        return _fatal(Reason.CONDUCTOR_IMAGE_PULL_FAILED, _pull_message(pod))
    if pod.waiting in _FAILING_PULLS:
        return _after(PULL_GRACE, pod, now, Reason.CONDUCTOR_IMAGE_PULL_FAILED, _pull_message(pod))
    if pod.unschedulable and not room_may_come(pod.unschedulable):
        message = f"No node has room for the conductor: {pod.unschedulable}"
        return _after(SCHEDULING_GRACE, pod, now, Reason.CONDUCTOR_UNSCHEDULABLE, message)
    if pod.waiting == "CrashLoopBackOff" and pod.restarts >= MAX_RESTARTS:
        message = (
            f"The conductor ended {pod.restarts} times, last with exit status {pod.exit_code};"
            " see the log of pod seatrial-conductor."
        )
        return _fatal(Reason.CONDUCTOR_CRASH_LOOP, message)
    return Health()


def describe(pod: PodSeen | None, summary: SummaryDoc | None) -> str:
    """
    Say why the conductor has not ended the run itself, to be put behind a deadline's message.

    It waits for something, or it has stopped to say anything: then since when.
    """
    if pod is None:
        return " The conductor has no pod."
    if pod.waiting:
        return f" The conductor waits: {pod.waiting} {pod.waiting_message}".rstrip()
    if pod.unschedulable:
        return f" No node has room for the conductor: {pod.unschedulable}"
    if pod.phase == "Pending":
        return " The conductor's pod has not started."
    said = f"since {summary['updatedAt'][:30]}" if summary else "at all"
    return (
        f" The conductor runs, but has said nothing {said}: see the log of pod seatrial-conductor."
    )


def _after(grace: timedelta, pod: PodSeen, now: datetime, reason: Reason, message: str) -> Health:
    end = pod.created + grace
    return _fatal(reason, message) if now >= end else Health(look_again=end)


def _fatal(reason: Reason, message: str) -> Health:
    return Health(fatal=Cause(reason, message))


def _pull_message(pod: PodSeen) -> str:
    return (
        f"The runner image cannot be pulled ({pod.waiting}): {pod.waiting_message}"
        " Check the operator's setting of the runner image and its pull secrets."
    )
