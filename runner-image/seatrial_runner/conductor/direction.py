"""What the course of a run needs of the faults: their moments, and the orders of tests."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime
from typing import Any, Protocol

from seatrial.api.journal import FailureDoc

from seatrial_runner.conductor.workers import Json


class Orders(Protocol):
    """
    Starts and stops the run's manual faults, and hears of requests.

    Raises:
        FaultError: There is no such fault, or it cannot be ordered so; the message says why.
    """

    def fault(self, name: str) -> Json | None:
        """Give a fault's state."""

    async def start(self, fault: str, *, test: str) -> Json:
        """Return its state once the fault is in effect."""

    async def stop(self, fault: str) -> Json:
        """Return its state once the fault is undone."""

    async def recovered(self, fault: str) -> Json:
        """Return its state once the system is well again, or it is known that it is not."""

    async def begins_again(self, test: str) -> None:
        """End what an attempt of a test before has left on; return when the system is well."""

    def met(self, at: datetime, host: str, *, test: str = "") -> None:
        """
        Take note of a request that a test has sent.

        Of a fault that was over before the test began, or begins after it, it can have met none,
        whatever moment it tells.
        """

    async def keep_proof(self) -> None:
        """Return when no restart can lose that a fault has met traffic."""


class Direction(Orders, Protocol):
    """Has every fault come and go at its moment."""

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """Give what has to run as long as the faults do."""

    async def prepare(self) -> FailureDoc | None:
        """Make ready what the faults need, before the gate opens; or say what cannot be had."""

    async def gate_opened(self, *, ago_s: float = 0.0) -> None:
        """Begin what begins with the gate; return when what has no offset is in effect."""

    async def begin_with(self, test: str) -> None:
        """Begin what is bound to a test; return when what has no offset is in effect."""

    async def end_with(self, test: str) -> None:
        """End what is bound to a test; return when the system is well again."""

    async def settle(self) -> None:
        """After the last test: give up what never came, wait until all others are over."""

    async def abandon(self, why: str) -> None:
        """End for good: give up what is pending, undo what is open, wait for no recovery."""

    async def undo_open(self, why: str) -> None:
        """Undo whatever is open, at once and without waiting for recovery."""

    async def resume(self) -> None:
        """Take over from an earlier conductor: undo what it left open."""
