"""What all requests together may take of the memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from seatrial_runner.httpserver.messages import ProblemError

MAX_HELD = 64 * 1024 * 1024  # bytes of all bodies that are arriving or being answered


class Room:
    """What all bodies together may take of the memory, and how many requests are being answered."""

    def __init__(self) -> None:
        self._held = 0
        self._answering = 0
        self.idle = asyncio.Event()
        self.idle.set()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request as long as it is being answered."""
        self._answering += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._answering -= 1
            if not self._answering:
                self.idle.set()

    def take(self, size: int) -> None:
        """Make room; ProblemError 503, which a client may try again, if there is none."""
        if self._held + size > MAX_HELD:
            raise ProblemError(503, "too many requests are held; try again")
        self._held += size

    def give_back(self, size: int) -> None:
        """Say that so much is no longer held."""
        self._held -= size
