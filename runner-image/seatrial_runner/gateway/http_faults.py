"""What the gateway asks of whoever carries ``http`` faults out: Envoy beside it, or nobody."""

from __future__ import annotations

from typing import Protocol

from seatrial.api.control import FaultOrder
from seatrial.api.errors import NotInjectedError

from seatrial_runner.control import Carrier, Evidence


class HttpFaults(Carrier, Protocol):
    """
    A carrier for orders of kind ``http``; lives in the gateway's control process, on its loop.

    That process may be killed and started anew at any time: ``start`` then finds what the one
    before has left, and ends it.
    """

    async def start(self) -> None:
        """Begin: end every fault that is on. Returns at once when Envoy is not there yet."""

    def ready(self) -> str:
        """Give an empty text, or why it cannot serve yet, such as: Envoy does not answer."""

    async def stop(self) -> None:
        """End what runs in the background."""


class NoHttpFaults:
    """There is no Envoy: every order is refused."""

    async def start(self) -> None:
        """Nothing to begin."""

    def ready(self) -> str:
        """Nothing to wait for."""
        return ""

    async def stop(self) -> None:
        """Nothing to end."""

    async def put(self, name: str, order: FaultOrder, deadline: float) -> None:
        """Refuse."""
        raise NotInjectedError("http faults need Envoy, which is not beside this gateway")

    async def renew(self, name: str, order: FaultOrder, deadline: float) -> None:
        """Refuse."""
        await self.put(name, order, deadline)

    async def delete(self, name: str) -> None:
        """There is none."""

    async def evidence(self, name: str) -> Evidence:
        """Nothing was met."""
        return Evidence()

    async def abilities(self) -> dict[str, str]:
        """Say that it can't be done."""
        return {"http": "Envoy is not beside this gateway"}
