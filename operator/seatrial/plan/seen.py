"""What is observed of a run: parsed from the API server's JSON into what decisions need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.api.journal import SummaryDoc
from seatrial.api.run import Metadata
from seatrial.api.spec import RunSpec
from seatrial.api.status import RunStatus
from seatrial.plan.admission import Ticket
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.objects.manifest import ObjectKey
from seatrial.plan.summary import read_summary


@dataclass(frozen=True)
class Subject:
    """
    The run itself.

    ``problem`` says why it cannot work as written, then ``spec`` may be None, and ``partial`` has
    what may change of a run that has started, and nothing else. ``blueprint`` is there while
    objects have to be made from it: from admission until the gate opens. ``spares`` are the
    Secrets that faults remove as a whole, from then on.
    """

    metadata: Metadata
    status: RunStatus
    spec: RunSpec | None = None
    blueprint: Blueprint | None = None
    problem: InvalidSpecError | None = None
    spares: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    partial: RunSpec | None = None

    @property
    def steering(self) -> RunSpec | None:
        """What its fields that may change are read from."""
        return self.spec or self.partial


@dataclass(frozen=True)
class NamespaceSeen:
    """The namespace that has the name of the run's environment."""

    uid: str
    owner: str  # UID of the run that made it; empty if no run did
    deleting: bool = False
    blockers: str = ""  # what keeps it from going, in the API server's words
    seal: str = ""  # drawn by the operator that made it


@dataclass(frozen=True)
class PodSeen:
    """The conductor's pod."""

    uid: str
    created: datetime
    phase: str = "Pending"
    deleted: datetime | None = None
    waiting: str = ""  # reason its container does not run, such as ImagePullBackOff
    waiting_message: str = ""
    unschedulable: str = ""  # the scheduler's message
    restarts: int = 0
    exit_code: int | None = None  # of the container's last end
    reason: str = ""  # of a failed pod, such as Evicted


@dataclass(frozen=True)
class Refusal:
    """An object of the run that the API server will not have, however often it is tried."""

    reason: str
    message: str


class UndoKey(NamedTuple):
    """What names an undoing by the operator: the fault, which time it is played, the object."""

    fault: str
    mark: str
    kind: str
    name: str


@dataclass(frozen=True)
class Seen:
    """Everything else that a decision rests on; None means that it is not there."""

    ticket: Ticket = field(default_factory=Ticket)
    others_start: bool = False  # environments of other runs are being made
    seal: str = ""  # drawn for the namespace, if it is yet to be made
    namespace: NamespaceSeen | None = None
    conductor: PodSeen | None = None
    summary: SummaryDoc | None = None
    ahead: timedelta | None = None  # of us the conductor's clock is, at least; None: not heard
    # What the operator has undone, and when by the conductor's clock; empty if another one has.
    undone: Mapping[UndoKey, str] = field(default_factory=dict)
    applied: Mapping[ObjectKey, str] = field(default_factory=dict)  # digest of what was written
    report_copied: bool = False
    report_problem: str = ""  # why it cannot be copied
    report_error: str = ""  # why the last attempt to copy it failed; it may yet succeed
    refusal: Refusal | None = None


def see_namespace(body: Mapping[str, Any]) -> NamespaceSeen:
    """Read a Namespace."""
    metadata = body["metadata"]
    conditions = (body.get("status") or {}).get("conditions") or ()
    blockers = [
        condition.get("message", "")
        for condition in conditions
        if condition.get("status") == "True" and condition.get("type") in _BLOCKING
    ]
    return NamespaceSeen(
        uid=metadata["uid"],
        owner=(metadata.get("labels") or {}).get(names.LABEL_RUN_UID, ""),
        deleting=bool(metadata.get("deletionTimestamp")),
        blockers=" ".join(blockers)[:1024],
        seal=(metadata.get("annotations") or {}).get(names.ANNOTATION_SEAL, ""),
    )


# Source: Kubernetes, pkg/controller/namespace/deletion/status_condition_utils.go.
_BLOCKING = (
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
)


def see_pod(body: Mapping[str, Any]) -> PodSeen:
    """Read the conductor's pod, which has one container."""
    metadata = body["metadata"]
    status = body.get("status") or {}
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    waiting = (container.get("state") or {}).get("waiting") or {}
    ended = (container.get("state") or {}).get("terminated") or (
        container.get("lastState") or {}
    ).get("terminated")
    unschedulable = [
        condition.get("message", "")
        for condition in status.get("conditions") or ()
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable"
    ]
    deleted = metadata.get("deletionTimestamp")
    return PodSeen(
        uid=metadata["uid"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        phase=status.get("phase") or "Pending",
        deleted=datetime.fromisoformat(deleted) if deleted else None,
        waiting=waiting.get("reason", ""),
        waiting_message=waiting.get("message", "")[:1024],
        unschedulable=(unschedulable or [""])[0][:1024],
        restarts=container.get("restartCount", 0),
        exit_code=ended.get("exitCode") if ended else None,
        reason=status.get("reason", ""),
    )


def see_summary(configmap: Mapping[str, Any]) -> SummaryDoc | None:
    """
    Read what the conductor says; None while it has said nothing.

    A summary that cannot be read counts as none: then deadlines end the run.
    """
    text = (configmap.get("data") or {}).get(names.SUMMARY_KEY)
    return read_summary(text) if text else None
