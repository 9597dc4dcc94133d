"""What a plan asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from seatrial.api.journal import ChangedDoc
from seatrial.api.status import RunStatus
from seatrial.plan.objects.manifest import Manifest
from seatrial.plan.seen import UndoKey


@dataclass(frozen=True)
class Delete:
    """An object to delete, and only that one: a newer object of the same name has another UID."""

    kind: Literal["Namespace", "Pod", "IntegrationTestRun"]
    namespace: str
    name: str
    uid: str
    force: bool = False


@dataclass(frozen=True)
class Undo:
    """An object to be made what it was before a fault, if it still bears the fault's mark."""

    namespace: str
    fault: str
    mark: str
    changed: ChangedDoc
    at: str  # the moment of the undoing, by the clock of the conductor
    spare: Mapping[str, Any] | None = None  # of a Secret that was removed as a whole

    @property
    def key(self) -> UndoKey:
        """What names it."""
        return UndoKey(self.fault, self.mark, self.changed["kind"], self.changed["name"])


@dataclass(frozen=True)
class Plan:
    """
    What to do now, in this order: faults to be undone, finalizer on, status, objects, report,
    deletions, finalizer off.

    What must outlive a crash stands in the status before anything is done about it.
    """

    status: RunStatus
    finalizer: bool | None = None  # True: must be there; False: must go; None: leave it
    undo: tuple[Undo, ...] = ()
    apply: tuple[Manifest, ...] = ()
    copy_report: bool = False
    delete: tuple[Delete, ...] = ()
    wake_at: datetime | None = None

    def waking(self, moment: datetime | None) -> Plan:
        """Make the same plan, looked at again at this moment if that is earlier."""
        if moment is None or (self.wake_at is not None and self.wake_at <= moment):
            return self
        return replace(self, wake_at=moment)
