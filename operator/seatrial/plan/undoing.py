"""
The operator keeps the deadlines of faults too, where nobody else is left who does.

A fault made through the API is undone by the conductor. If that is silent (killed, frozen, on a
node that is lost), nothing else would end it; those of the gateway and of agents end by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from seatrial.api.journal import ChangedDoc, FaultState, SummaryDoc
from seatrial.api.status import FaultStatus, RunStatus
from seatrial.api.undoing import MAX_OBJECTS, OPERATOR, UNDONE_BY_OPERATOR
from seatrial.plan.result import Undo
from seatrial.plan.rundoc import rfc3339
from seatrial.plan.seen import Seen, Subject, UndoKey
from seatrial.plan.status import lead, progress

# The conductor undoes it at the deadline, and has so long to do it: half of the second within which
# every fault is over.
CONDUCTOR_FIRST = timedelta(seconds=0.5)
# Those whose deadlines are this close are undone together: a look takes its time.
TOGETHER = timedelta(seconds=0.3)
_OPEN = ("Requested", "Active")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_MARK = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Due:
    """What has to be undone now, and when to look again."""

    undo: tuple[Undo, ...] = ()
    look_again: datetime | None = None


def due(
    subject: Subject, status: RunStatus, seen: Seen, now: datetime, *, all_: bool = False
) -> Due:
    """
    List the objects whose fault should be over.

    Args:
        subject: The run; only its own faults are undone, and only objects that such a fault
            changes. What the summary says comes from where user code runs.
        status: As it is going to be written.
        seen: What is observed.
        now: By our clock.
        all_: Whatever their deadlines are: nobody tests any more.
    """
    summary, namespace = seen.summary, status.namespace
    if summary is None or namespace is None or subject.spec is None:
        return Due()
    kinds = {fault.name: fault.kind for fault in subject.spec.faults}
    ahead = lead(status, summary, seen.ahead)
    open_: list[tuple[datetime, list[Undo]]] = []
    for fault in summary["faults"]:
        left = [
            each
            for each in _to_undo(fault, kinds)
            if _key(fault, each) not in seen.undone and _can_be_made(each, subject)
        ]
        if not left:
            continue
        moment = datetime.fromisoformat(fault["toUndo"]["until"]) - ahead + CONDUCTOR_FIRST
        at, mark = rfc3339(now + ahead), fault["toUndo"]["mark"]
        undo = [
            Undo(namespace, fault["name"], mark, each, at, _spare(each, subject)) for each in left
        ]
        open_.append((moment, undo))
    first = min((moment for moment, _ in open_), default=now)
    until = now + TOGETHER if first <= now else now
    return Due(
        tuple(each for moment, undo in open_ if moment <= until or all_ for each in undo),
        min((moment for moment, _ in open_ if moment > until and not all_), default=None),
    )


def told(seen: Seen, status: RunStatus) -> SummaryDoc | None:
    """
    Give the summary with what the operator itself has undone, as long as no conductor tells of it.

    Args:
        seen: ``undone`` is what this process has undone.
        status: As it was written last: what an operator before this one has undone.
    """
    summary = seen.summary
    if summary is None:
        return None
    before = {fault.name: fault for fault in status.faults}
    faults = [_told(fault, seen, before.get(fault["name"])) for fault in summary["faults"]]
    return {**summary, "faults": faults}


def noted(status: RunStatus, summary: SummaryDoc | None) -> RunStatus:
    """Take over into a status, of all that a summary says, what the operator has undone."""
    if summary is None:
        return status
    ours = {
        fault.name: fault
        for fault in progress(status, summary).faults
        if fault.reverted_by == OPERATOR
    }
    faults = [ours.get(fault.name, fault) for fault in status.faults]
    return status.model_copy(update={"faults": faults})


def _told(fault: FaultState, seen: Seen, before: FaultStatus | None) -> FaultState:
    if fault["state"] not in _OPEN or "toUndo" not in fault:
        return fault
    objects = fault["toUndo"]["objects"]
    moments = [seen.undone.get(_key(fault, each), "") for each in objects]
    if moments and all(moments):
        waits = [each["restart"] for each in objects if "restart" in each]
        return _back(fault, waits[0]) if waits else _undone(fault, max(moments))
    if before is None or before.reverted_by != OPERATOR or before.reverted is None:
        return fault
    if before.requested is None or rfc3339(before.requested) != fault["requested"]:
        return fault  # that was another time
    return _undone(fault, rfc3339(before.reverted))


def _back(fault: FaultState, service: str) -> FaultState:
    """Say of a configuration that is back that nobody sees whether all pods have it."""
    message = (
        "the operator brought the configuration back, because the conductor was silent, and"
        f" deleted the pods of service {service} that had begun with the other one; the conductor"
        " has not told that they are gone"
    )
    return {**fault, "message": message}


def _undone(fault: FaultState, at: str) -> FaultState:
    # What never was in effect stays Requested: that it is undone makes no proof of it.
    state: FaultState = {**fault, "reverted": at, "revertedBy": OPERATOR}
    if fault["state"] == "Active":
        state["state"] = "Reverted"
        state["message"] = "the operator undid it, because the conductor was silent"
    return state


def _to_undo(fault: FaultState, kinds: Mapping[str, str]) -> Iterator[ChangedDoc]:
    """Give the objects, as far as such a fault can have changed them."""
    document = fault.get("toUndo")
    allowed = UNDONE_BY_OPERATOR.get(kinds.get(fault["name"], ""), ())
    if document is None or not _MARK.fullmatch(document["mark"]):
        return
    if fault["reverted"] is not None and fault["revertedBy"] == OPERATOR:
        return
    for each in document["objects"][:MAX_OBJECTS]:
        names = (each["name"], each.get("kept", "kept"), each.get("restart", "none"))
        if each["kind"] in allowed and all(_NAME.fullmatch(name) for name in names):
            yield each


def _spare(changed: ChangedDoc, subject: Subject) -> Mapping[str, Any] | None:
    """Give the Secret that was removed as a whole; None if it was not, or is none of the run's."""
    whole = changed["kind"] == "Secret" and not changed.get("keys")
    return subject.spares.get(changed["name"]) if whole else None


def _can_be_made(changed: ChangedDoc, subject: Subject) -> bool:
    whole = changed["kind"] == "Secret" and not changed.get("keys")
    return not whole or _spare(changed, subject) is not None


def _key(fault: FaultState, changed: ChangedDoc) -> UndoKey:
    return UndoKey(fault["name"], fault["toUndo"]["mark"], changed["kind"], changed["name"])
