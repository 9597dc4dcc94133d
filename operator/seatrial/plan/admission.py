"""Who leaves the queue: concurrency groups, priority, age, and the cluster's limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from seatrial.api.run import parse_metadata
from seatrial.api.verdict import Phase


class Standing(Enum):
    """What a run is to the others."""

    QUEUED = "waits"
    ACTIVE = "holds a place, and its group"
    DONE = "holds nothing any more, although its namespace may still be there"


@dataclass(frozen=True)
class Brief:
    """What the others need to know of a run."""

    uid: str
    name: str
    namespace: str
    created: datetime
    standing: Standing
    starting: bool = False  # its environment is being made
    suspended: bool = False
    priority: int = 0
    group: str = ""
    replaces: bool = False

    @property
    def place(self) -> tuple[int, datetime, str, str]:
        """Sort key: who is earlier in the queue comes first."""
        return (-self.priority, self.created, self.namespace, self.name)


@dataclass(frozen=True)
class Ticket:
    """What the queue says to one run."""

    admitted: bool = False
    waits_for: str = ""
    replaced_by: str = ""


def brief(body: Mapping[str, Any]) -> Brief:
    """Read a run, whatever its spec looks like: a bad one is found out later."""
    metadata = parse_metadata(body)
    spec = body.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    concurrency = spec.get("concurrency")
    concurrency = concurrency if isinstance(concurrency, dict) else {}
    priority = spec.get("priority")
    status = body.get("status") or {}
    standing = _standing(status, deleted=metadata.deleted is not None)
    return Brief(
        uid=metadata.uid,
        name=metadata.name,
        namespace=metadata.namespace,
        created=metadata.created,
        standing=standing,
        starting=standing is Standing.ACTIVE and status.get("phase") == Phase.PROVISIONING,
        suspended=spec.get("suspend") is True,
        priority=priority if isinstance(priority, int) else 0,
        group=str(concurrency.get("group") or ""),
        replaces=concurrency.get("policy") == "Replace",
    )


def _standing(status: Mapping[str, Any], *, deleted: bool) -> Standing:
    if deleted or status.get("phase") in (Phase.CLEANING, Phase.FINISHED):
        return Standing.DONE
    return Standing.ACTIVE if status.get("startTime") else Standing.QUEUED


def tickets(briefs: Iterable[Brief], limit: int) -> dict[str, Ticket]:
    """
    Decide who may start, by UID of the run.

    1. A queued run with policy Replace takes the place of every older run of its group.
    2. The queue is walked by priority, then age. A run is passed over while it is suspended,
       while its group is at work, and once all places are taken.
    """
    unfinished = [each for each in briefs if each.standing is not Standing.DONE]
    newest = _newest(unfinished)
    result = {
        each.uid: Ticket(replaced_by=newer)
        for each in unfinished
        if (newer := _replaced_by(each, newest))
    }
    active = [each for each in unfinished if each.standing is Standing.ACTIVE]
    places = limit - len(active)
    busy = {(each.namespace, each.group): each.name for each in active if each.group}
    for each in sorted(unfinished, key=lambda each: each.place):
        if each.standing is Standing.ACTIVE or each.uid in result:
            continue
        group = (each.namespace, each.group)
        if each.suspended:
            result[each.uid] = Ticket(waits_for="spec.suspend to be unset")
        elif each.group and group in busy:
            result[each.uid] = Ticket(waits_for=f"run {busy[group]} of group {each.group}")
        elif places <= 0:
            result[each.uid] = Ticket(waits_for=f"one of {limit} places; all are taken")
        else:
            places -= 1
            result[each.uid] = Ticket(admitted=True)
        if each.group and not each.suspended:
            busy.setdefault(group, each.name)
    return result


def starting(briefs: Iterable[Brief], given: Mapping[str, Ticket]) -> frozenset[str]:
    """Give the UIDs of the runs whose environments are being made, or will be at once."""
    begun = {each.uid for each in briefs if each.starting}
    return frozenset(begun | {uid for uid, ticket in given.items() if ticket.admitted})


def _newest(unfinished: Iterable[Brief]) -> dict[tuple[str, str], Brief]:
    """Give the newest run that takes the place of others, by namespace and group."""
    # NB: of all runs at once: they are asked anew with each event, and anybody may make thousands.
    newest: dict[tuple[str, str], Brief] = {}
    for each in unfinished:
        if each.replaces and each.group and not each.suspended and each.standing is Standing.QUEUED:
            key = (each.namespace, each.group)
            newest[key] = max(newest.get(key, each), each, key=_age)
    return newest


def _replaced_by(run: Brief, newest: Mapping[tuple[str, str], Brief]) -> str:
    """Name the run that takes the place of this one; empty if there is none."""
    newer = newest.get((run.namespace, run.group)) if run.group else None
    return newer.name if newer is not None and _age(newer) > _age(run) else ""


def _age(run: Brief) -> tuple[datetime, str]:
    return (run.created, run.uid)
