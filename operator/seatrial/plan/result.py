"""What a plan asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from seatrial.api.status import RunStatus
from seatrial.plan.objects.manifest import Manifest


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event about the run, told once its status has been written."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True)
class Delete:
    """An object to delete, and only that one: a newer object of the same name has another UID."""

    kind: Literal["Namespace", "Pod", "IntegrationTestRun"]
    namespace: str
    name: str
    uid: str
    force: bool = False


@dataclass(frozen=True)
class Plan:
    """
    What to do now, in this order: finalizer on, status, objects, report, deletions, finalizer off.

    What must outlive a crash stands in the status before anything is done about it.
    """

    status: RunStatus
    finalizer: bool | None = None  # True: must be there; False: must go; None: leave it
    apply: tuple[Manifest, ...] = ()
    copy_report: bool = False
    delete: tuple[Delete, ...] = ()
    wake_at: datetime | None = None
    events: tuple[Event, ...] = ()

    def waking(self, moment: datetime | None) -> Plan:
        """Make the same plan, looked at again at this moment if that is earlier."""
        if moment is None or (self.wake_at is not None and self.wake_at <= moment):
            return self
        return replace(self, wake_at=moment)
