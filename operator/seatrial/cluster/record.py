"""What is known of one run's objects: what was written, and what came back."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from seatrial.cluster.client import Object
from seatrial.plan.objects import ObjectKey
from seatrial.plan.seen import NamespaceSeen, PodSeen, Refusal, UndoKey


@dataclass
class Record:
    """
    Filled while a plan is carried out, so that what was done stays known when a later step fails.

    ``run`` is the run as the last write returned it: newer than what a watch has brought so far.
    """

    run: Object
    namespace: NamespaceSeen | None = None
    conductor: PodSeen | None = None
    applied: dict[ObjectKey, str] = field(default_factory=dict)
    report_copied: bool = False
    report_problem: str = ""
    report_error: str = ""  # of the last attempt to copy it
    refusal: Refusal | None = None
    undone: dict[UndoKey, str] = field(default_factory=dict)
    writes: int = 0
    # Lost with the process, but in the namespace by then; or its digest in status is good for none.
    seal: str = field(default_factory=lambda: secrets.token_urlsafe(16))
