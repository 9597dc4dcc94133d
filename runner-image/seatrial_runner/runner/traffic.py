"""Evidence of traffic: which requests a test sent, told to the conductor where there is one."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

from seatrial_runner.clock import rfc3339
from seatrial_runner.runner.conductor_api import ConductorApi
from seatrial_runner.runner.delivery import Delivery

# Evidence is wanted, but not worth holding up the end of a suite for long.
PATIENCE_S = 60.0
MAX_BATCH = 1000


class Traffic:
    """Counts the requests of the test that runs. Thread-safe."""

    def __init__(self, api: ConductorApi | None) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._delivery: Delivery | None = None
        if api:
            self._delivery = Delivery(
                api, "/v1/requests", _envelope, max_batch=MAX_BATCH, patience_s=PATIENCE_S
            )

    def add(self, at: datetime, host: str) -> None:
        """Take note of a request that is about to be sent."""
        with self._lock:
            self._count += 1
        if self._delivery:
            self._delivery.put({"at": rfc3339(at), "host": host})

    def take(self) -> int:
        """Give the number of requests since the last call."""
        with self._lock:
            count, self._count = self._count, 0
            return count

    def close(self) -> str:
        """Deliver what is left, and say what was lost; empty if nothing was."""
        lost = self._delivery.close() if self._delivery else 0
        problem = self._delivery.problem if self._delivery else ""
        return f"{lost} requests could not be reported as evidence: {problem}" if lost else ""


def _envelope(requests: list[Any]) -> dict[str, Any]:
    return {"requests": requests}
