"""What a part that carries faults out must be able to do: the gateway, and the agent in a pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from seatrial.api.control import FaultOrder


@dataclass(frozen=True)
class Evidence:
    """What a fault has met since it was put into effect; the conductor's probes do not count."""

    hits: int = 0
    first_hit: datetime | None = None
    last_hit: datetime | None = None
    effective: datetime | None = None  # it saw the effect itself
    counts: Mapping[str, int] = field(default_factory=dict)  # what was done: bytes, connections
    why: str = ""  # it ended before its time


class Carrier(Protocol):
    """
    Carries faults out.

    It ends each fault by itself at its deadline, whatever becomes of the rest of the process: the
    ledger's own ``delete`` at the deadline is for the books, and the second rope. Calls for one
    name come one after another, those for different names at the same time.
    """

    async def put(self, name: str, order: FaultOrder, deadline: float) -> datetime | None:
        """
        Put a fault into effect that is not; it is in effect on return.

        Args:
            name: Of the fault.
            order: What to do; only its common fields have been checked, not ``params``.
            deadline: When it ends, on ``time.monotonic``, which all processes of a machine share.

        Returns:
            When it was in effect; None: the evidence will say when its effect was seen.

        Raises:
            ValueError: The order makes no sense; the message names the field (400).
            FaultError: It cannot be done here; the message says why (409). Nothing is left of it.
        """

    async def renew(self, name: str, order: FaultOrder, deadline: float) -> None:
        """Move the deadline of a fault that was put with the same order; as ``put`` otherwise."""

    async def delete(self, name: str) -> None:
        """
        End a fault; it is undone on return. One that has ended, or was never put, is no error.

        Raises:
            FaultError: It may still be there. It is tried again.
        """

    async def evidence(self, name: str) -> Evidence:
        """Give what a fault has met; asked also after it has ended, until the next ``put``."""

    async def abilities(self) -> dict[str, str]:
        """Give each kind with an empty text, or with why it cannot be done here."""
