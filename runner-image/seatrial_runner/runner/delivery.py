"""Sends things to the conductor from a thread of its own, in batches, without losing any."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from seatrial_runner.runner.conductor_api import (
    ConductorApi,
    ConductorError,
    ConductorUnavailableError,
)

GATHER_S = 0.1  # how long the first of a batch waits for company


class Delivery:
    """
    A queue that is emptied in the background.

    Args:
        api: Where to send to.
        path: What to POST to; it must be one that may be sent twice.
        envelope: From a batch to the body.
        max_batch: How many to send at once; the conductor takes bodies of up to 8 MiB.
        patience_s: How long to try to deliver one batch.
    """

    def __init__(
        self,
        api: ConductorApi,
        path: str,
        envelope: Callable[[list[Any]], dict[str, Any]],
        *,
        max_batch: int,
        patience_s: float,
    ) -> None:
        self._api = api
        self._path = path
        self._envelope = envelope
        self._max_batch = max_batch
        self._patience_s = patience_s
        self._waiting: list[Any] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self.lost = 0
        self.problem = ""

    def put(self, item: Any) -> None:
        """Queue something; it is on its way within GATHER_S."""
        with self._changed:
            self._waiting.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> int:
        """Wait until everything is delivered or given up, and give the number of what was lost."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        return self.lost

    def _work(self) -> None:
        while batch := self._next():
            try:
                self._api.insist(
                    "POST", self._path, self._envelope(batch), patience_s=self._patience_s
                )
            except (ConductorError, ConductorUnavailableError) as error:
                self.lost += len(batch)
                self.problem = str(error)

    def _next(self) -> list[Any]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._closing:
                self._changed.wait_for(
                    lambda: self._closing or len(self._waiting) >= self._max_batch, GATHER_S
                )
            batch = self._waiting[: self._max_batch]
            del self._waiting[: self._max_batch]
            return batch
