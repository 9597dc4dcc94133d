"""What the watches have brought of the runs that are not over, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.api.journal import SummaryDoc
from seatrial.api.run import Metadata, parse_metadata
from seatrial.api.spec import RunSpec
from seatrial.api.verdict import Phase
from seatrial.app.workqueue import WorkQueue
from seatrial.cluster.client import Object
from seatrial.cluster.record import Record
from seatrial.plan.admission import Brief, Standing, Ticket, brief, starting, tickets
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.objects import ObjectKey
from seatrial.plan.objects.manifest import FOUND
from seatrial.plan.seen import see_namespace, see_pod, see_summary

# At the start, namespaces may be listed before the runs they belong to.
STRAY_DELAY = timedelta(seconds=10)


@dataclass
class Entry:
    """A run that is not over: itself, its environment, and what was worked out from its spec."""

    record: Record
    summary: SummaryDoc | None = None
    read_at: datetime | None = None  # when its environment was last read live
    written_at: datetime | None = None  # when its status was last written
    generation: int = 0  # that the next four were worked out from
    is_small: bool = False
    spec: RunSpec | None = None
    problem: InvalidSpecError | None = None
    blueprint: Blueprint | None = None
    spares: Mapping[str, Mapping[str, Any]] | None = None  # None: nobody has looked

    _heard: tuple[int, int] | None = None  # start and sequence of the last summary
    _ahead: timedelta | None = None

    @property
    def metadata(self) -> Metadata:
        """Of the run, as it is known now."""
        return parse_metadata(self.record.run)

    def hear(self, now: datetime) -> timedelta | None:
        """
        Say how far the conductor's clock is ahead of ours; None if it has not been heard.

        That is at least its clock when it wrote a summary less ours when that has come, and the
        most of what the summaries have told comes near it. The first one that this process meets
        may be old.
        """
        if self.summary is None:
            return self._ahead
        heard = (self.summary["starts"], self.summary["sequence"])
        before, self._heard = self._heard, heard
        if before is None or heard == before:
            return self._ahead
        ahead = datetime.fromisoformat(self.summary["updatedAt"]) - now
        same = before[0] == heard[0]  # or it may have moved to another node
        self._ahead = max(ahead, self._ahead) if same and self._ahead is not None else ahead
        return self._ahead


@dataclass(frozen=True)
class Stray:
    """A namespace made for a run that is not known; perhaps the run is gone."""

    name: str
    uid: str
    run_namespace: str


class World:
    """
    Everything the operator remembers.

    It grows with the runs that are not over. Of finished ones phase and verdict are kept, for the
    metrics, the version, and where those are that are to be deleted one day: with all that comes
    with it the operator grows by about 10 KiB for each (docs/performance.md).
    """

    def __init__(self, queue: WorkQueue, limit: int) -> None:
        self.entries: dict[str, Entry] = {}
        self.strays: dict[str, Stray] = {}
        self.resting: dict[str, tuple[str, str]] = {}  # finished, to be deleted one day
        self.phases: dict[str, tuple[str, str]] = {}  # phase and verdict of every run
        self._versions: dict[str, int] = {}  # of every run, the newest known
        self._queue = queue
        self._limit = limit
        self._briefs: dict[str, Brief] = {}
        self._tickets: dict[str, Ticket] = {}
        self._starting: frozenset[str] = frozenset()

    def ticket(self, uid: str) -> Ticket:
        """Say what the queue says to a run."""
        return self._tickets.get(uid, Ticket(waits_for="its turn"))

    def others_start(self, uid: str) -> bool:
        """Tell whether environments of other runs are being made."""
        return bool(self._starting - {uid})

    def log_fields(self, uid: str) -> dict[str, str]:
        """Say which run a log line is about, as far as it is known."""
        if (entry := self.entries.get(uid)) is not None:
            return log_fields(entry.metadata)
        if (stray := self.strays.get(uid)) is not None:
            return {"namespace": stray.run_namespace, "environment": stray.name, "uid": uid}
        namespace, name = self.resting.get(uid, ("", ""))
        return {"run": name, "namespace": namespace, "uid": uid} if name else {"uid": uid}

    def see_run(self, body: Object) -> None:
        """Take in a run as a watch brought it, unless something newer is known."""
        uid = body["metadata"]["uid"]
        if _version(body) <= self._versions.get(uid, -1):
            return  # our own writes are known before a watch brings them, and what was before them
        entry = self.entries.get(uid)
        if entry is not None:
            entry.record.run = body
        elif not is_over(body):
            self.entries[uid] = Entry(Record(run=body))
        self.settle(uid, body)
        if uid in self.entries or uid in self.resting:
            self._queue.add(uid)

    def settle(self, uid: str, body: Object) -> None:
        """Bring what the others need to know of a run up to date; forget it once it is over."""
        status = body.get("status") or {}
        self._versions[uid] = max(_version(body), self._versions.get(uid, -1))
        self.phases[uid] = (status.get("phase") or Phase.QUEUED, status.get("verdict") or "")
        if is_over(body):
            self.entries.pop(uid, None)
            self._queue.forget(uid)
            if (body.get("spec") or {}).get("ttlAfterFinished"):
                self.resting[uid] = (body["metadata"]["namespace"], body["metadata"]["name"])
            else:
                self.resting.pop(uid, None)
            self._place(uid, None)
        else:
            self._place(uid, brief(body))

    def lose_run(self, uid: str) -> None:
        """Take in that a run is gone; what is left of its environment has to go, too."""
        entry = self.entries.pop(uid, None)
        self.phases.pop(uid, None)
        self._versions.pop(uid, None)
        self.resting.pop(uid, None)
        self._queue.forget(uid)
        self._place(uid, None)
        if entry is not None and entry.record.namespace is not None:
            metadata = entry.metadata
            name = names.run_namespace(metadata.name, metadata.uid)
            self.strays[uid] = Stray(name, entry.record.namespace.uid, metadata.namespace)
            self._queue.add(uid)

    def see_namespace(self, body: Object, *, gone: bool) -> None:
        """Take in a namespace of a run, or that it is gone."""
        metadata = body["metadata"]
        uid = metadata["labels"][names.LABEL_RUN_UID]
        entry = self.entries.get(uid)
        if entry is None:
            self._see_stray(uid, metadata, gone=gone)
            return
        known = entry.record.namespace
        if metadata["name"] != names.run_namespace(entry.metadata.name, uid):
            return
        if gone:
            if known is None or known.uid != metadata["uid"]:
                return
            entry.record.namespace = None
            entry.record.conductor = None
            entry.record.applied.clear()
            entry.summary = None
        else:
            entry.record.namespace = see_namespace(body)
        self._queue.add(uid)

    def see_conductor(self, body: Object, *, gone: bool) -> None:
        """Take in a conductor's pod, or that it is gone."""
        metadata = body["metadata"]
        entry = self._entry_of(metadata)
        if entry is None or metadata["name"] != names.CONDUCTOR:
            return
        key = ObjectKey("Pod", metadata["namespace"], names.CONDUCTOR)
        if gone:
            if entry.record.conductor is None or entry.record.conductor.uid != metadata["uid"]:
                return
            entry.record.conductor = None
            entry.record.applied.pop(key, None)
        else:
            seen = see_pod(body)
            if seen == entry.record.conductor:
                return  # the kubelet reports much that decides nothing
            entry.record.conductor = seen
            entry.record.applied.setdefault(key, FOUND)
        self._queue.add(metadata["labels"][names.LABEL_RUN_UID])

    def see_journal(self, body: Object, *, gone: bool) -> None:
        """Take in what a conductor says."""
        metadata = body["metadata"]
        entry = self._entry_of(metadata)
        if entry is None or metadata["name"] != names.JOURNAL_CONFIGMAP:
            return
        if gone:
            key = ObjectKey("ConfigMap", metadata["namespace"], names.JOURNAL_CONFIGMAP)
            entry.record.applied.pop(key, None)
            entry.summary = None  # what is written into a new one counts from its own beginning
        else:
            summary = see_summary(body)
            known = entry.summary
            if summary is None or (known and summary["sequence"] <= known["sequence"]):
                return
            entry.summary = summary
        self._queue.add(metadata["labels"][names.LABEL_RUN_UID])

    def _entry_of(self, metadata: Mapping[str, Any]) -> Entry | None:
        """Find the run of an object; one in a namespace other than the run's own is none of it."""
        uid = (metadata.get("labels") or {}).get(names.LABEL_RUN_UID, "")
        entry = self.entries.get(uid)
        if entry is None:
            return None
        expected = names.run_namespace(entry.metadata.name, uid)
        return entry if metadata["namespace"] == expected else None

    def _see_stray(self, uid: str, metadata: Mapping[str, Any], *, gone: bool) -> None:
        if gone:
            self.strays.pop(uid, None)
            return
        labels = metadata["labels"]
        # NB: a label is written by whoever may; what does not look like ours in every respect was
        # labelled by someone else, and is not ours to delete.
        ours = labels.get(names.LABEL_COMPONENT) == names.COMPONENT_ENVIRONMENT
        expected = names.run_namespace(labels.get(names.LABEL_RUN_NAME, ""), uid)
        if not ours or metadata["name"] != expected:
            return
        run_namespace = labels.get(names.LABEL_RUN_NAMESPACE, "")
        self.strays[uid] = Stray(metadata["name"], metadata["uid"], run_namespace)
        self._queue.add_after(uid, STRAY_DELAY)

    def _place(self, uid: str, current: Brief | None) -> None:
        """Let the queue of runs know; look at those whose turn has come."""
        if current is not None and current.standing is Standing.DONE:
            current = None
        if self._briefs.get(uid) == current:
            return
        if current is None:
            self._briefs.pop(uid, None)
        else:
            self._briefs[uid] = current
        before, self._tickets = self._tickets, tickets(self._briefs.values(), self._limit)
        were, self._starting = self._starting, starting(self._briefs.values(), self._tickets)
        if were and not self._starting:
            for other in self.entries:
                if self.phases[other][0] == Phase.CLEANING:
                    self._queue.add(other)  # it may have let the others go first
        for other, ticket in self._tickets.items():
            if ticket != before.get(other) and (ticket.admitted or ticket.replaced_by):
                self._queue.add(other)


def is_over(body: Object) -> bool:
    """Tell whether nothing has to be done about a run any more, but for deleting it one day."""
    metadata, status = body["metadata"], body.get("status") or {}
    return (
        status.get("phase") == Phase.FINISHED
        and names.FINALIZER not in (metadata.get("finalizers") or ())
        and status.get("observedGeneration") == metadata.get("generation")
    )


def _version(body: Object) -> int:
    # Source: Kubernetes API concepts, "Resource versions": comparable as numbers since 1.35, and
    # in fact since etcd 3.
    return int(body["metadata"]["resourceVersion"])


def log_fields(metadata: Metadata) -> dict[str, str]:
    """Say which run a log line is about."""
    return {"run": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid}
