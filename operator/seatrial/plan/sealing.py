"""How a run knows its own namespace from one that somebody else has put in its place."""

from __future__ import annotations

import hashlib

from seatrial.api.status import RunStatus
from seatrial.plan.seen import NamespaceSeen, Seen, Subject

# Of operators that were restarted before they had made the namespace.
_KEPT = 4


def is_ours(subject: Subject, namespace: NamespaceSeen | None) -> bool:
    """
    Tell whether a namespace is the one that was made for the run.

    Its name and labels can be guessed by whoever sees the run in the queue. What cannot is the
    seal, which the operator draws: status holds its digest before the namespace is made, so that
    the seal itself is known to nobody until then.
    """
    if namespace is None or namespace.owner != subject.metadata.uid:
        return False
    seals = subject.status.seals
    return not seals or _digest(namespace.seal) in seals


def sealed(status: RunStatus, seen: Seen) -> RunStatus:
    """Note the seal of a namespace that is about to be made."""
    digest = _digest(seen.seal)
    if seen.namespace is not None or digest in status.seals:
        return status
    return status.model_copy(update={"seals": [*status.seals, digest][-_KEPT:]})


def _digest(seal: str) -> str:
    return hashlib.sha256(seal.encode()).hexdigest()
