"""Stands in for the director in a run that declares no faults, and so imports nothing of it."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from seatrial.api.errors import FaultError
from seatrial.api.journal import FailureDoc

from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.workers import Json


class NoFaults:
    """What ``faults.Director`` does, for no fault at all."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """Nothing to do."""
        return []

    async def prepare(self) -> FailureDoc | None:
        """Nothing is needed."""
        return None

    async def gate_opened(self, *, ago_s: float = 0.0) -> None:
        """Nothing begins with the gate."""

    async def begin_with(self, test: str) -> None:
        """Note that a test runs."""
        self._stage.running.add(test)

    async def end_with(self, test: str) -> None:
        """Note that a test has ended."""
        self._stage.running.discard(test)

    async def begins_again(self, test: str) -> None:
        """Nothing is on."""

    async def settle(self) -> None:
        """Nothing is open."""

    async def abandon(self, why: str) -> None:
        """Nothing is open."""

    async def undo_open(self, why: str) -> None:
        """Nothing is open."""

    async def resume(self) -> None:
        """Nothing was open."""

    def fault(self, name: str) -> Json | None:
        """There is none."""
        return None

    async def start(self, fault: str, *, test: str) -> Json:
        """Refuse."""
        raise FaultError(f"there is no fault {fault[:60]!r} in spec.faults")

    async def stop(self, fault: str) -> Json:
        """Refuse."""
        raise FaultError(f"there is no fault {fault[:60]!r} in spec.faults")

    async def recovered(self, fault: str) -> Json:
        """Refuse."""
        raise FaultError(f"there is no fault {fault[:60]!r} in spec.faults")

    def met(self, at: datetime, host: str, *, test: str = "") -> None:
        """Nothing to count."""

    async def keep_proof(self) -> None:
        """Nothing to lose."""
