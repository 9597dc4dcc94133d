"""Reads what exists of a run, live: at the start, and when a watch may have missed something."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from seatrial.api import names
from seatrial.api.errors import InvalidSpecError, SpecError
from seatrial.api.journal import SummaryDoc
from seatrial.cluster.client import Client, Object
from seatrial.cluster.kinds import CONFIGMAP, NAMESPACE, POD, RUN, kind_of
from seatrial.cluster.record import Record
from seatrial.plan.objects import ObjectKey
from seatrial.plan.objects.manifest import FOUND
from seatrial.plan.seen import see_namespace, see_pod, see_summary


async def read_environment(client: Client, namespace: str, record: Record) -> SummaryDoc | None:
    """
    Read the namespace, the conductor's pod and its journal into the record.

    Returns:
        What the conductor says; None while it has said nothing.
    """
    found, pod, journal = await asyncio.gather(
        client.get(NAMESPACE, "", namespace),
        client.get(POD, namespace, names.CONDUCTOR),
        client.get(CONFIGMAP, namespace, names.JOURNAL_CONFIGMAP),
    )
    record.namespace = see_namespace(found) if found else None
    record.conductor = see_pod(pod) if pod else None
    for kind, body, name in (
        ("Namespace", found, namespace),
        ("Pod", pod, names.CONDUCTOR),
        ("ConfigMap", journal, names.JOURNAL_CONFIGMAP),
    ):
        key = ObjectKey(kind, "" if kind == "Namespace" else namespace, name)
        if body is None:
            record.applied.pop(key, None)
        else:
            record.applied.setdefault(key, FOUND)
    if found is None:
        record.applied.clear()
    return see_summary(journal) if journal else None


# Of everything a run refers to: it is held in memory until the gate opens.
MAX_REFERENCED_BYTES = 8 * 1024 * 1024
_AT_ONCE = 8


async def read_references(
    client: Client, namespace: str, wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Object | None]:
    """
    Read the ConfigMaps and Secrets that a run refers to, by kind and name.

    Of one that does not carry the opt-in label, only its metadata is kept: what it holds is none
    of our business.

    Raises:
        InvalidSpecError: Together they are larger than 8 MiB.
    """
    found: dict[tuple[str, str], Object | None] = {}
    size = 0
    keys = sorted(set(wanted))
    for first in range(0, len(keys), _AT_ONCE):
        some = keys[first : first + _AT_ONCE]
        bodies = await asyncio.gather(*(client.get(kind_of(k), namespace, n) for k, n in some))
        found |= {key: _if_readable(body) for key, body in zip(some, bodies, strict=True)}
        size += sum(_size(found[key]) for key in some)
        if size > MAX_REFERENCED_BYTES:
            problem = f"refers to more than {MAX_REFERENCED_BYTES // 2**20} MiB of ConfigMaps and"
            problem += " Secrets."
            raise InvalidSpecError([SpecError("spec", problem, "Make several runs of it.")])
    return found


def _size(body: Object | None) -> int:
    parts = [(body or {}).get(field) or {} for field in ("data", "binaryData")]
    return sum(len(text) for part in parts for text in part.values())


def _if_readable(body: Object | None) -> Object | None:
    if body is None:
        return None
    labels = body["metadata"].get("labels") or {}
    if labels.get(names.LABEL_READABLE) == names.LABEL_READABLE_VALUE:
        return body
    return {"metadata": body["metadata"]}


async def find_run(client: Client, namespace: str, uid: str) -> Object | None:
    """Look a run up by its UID; None if it is gone."""
    async for body in client.items(RUN, namespace):
        if body["metadata"]["uid"] == uid:
            return body
    return None
