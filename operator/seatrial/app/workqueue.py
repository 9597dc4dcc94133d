"""Keys to look at: each once, never two looks at the same key at a time, some of them later."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime, timedelta

from seatrial.app import clock


class WorkQueue:
    """
    A queue of keys.

    A key that is added while it waits stays one entry; while it is being looked at, it is looked
    at once more afterwards. Source: client-go, util/workqueue.
    """

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._timers: dict[str, tuple[datetime, asyncio.TimerHandle]] = {}
        self._available = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: str) -> None:
        """Have a look at a key now."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._waiting.append(key)
            self._available.set()

    def add_at(self, key: str, moment: datetime) -> None:
        """Have a look at a key at this time; of several times, the earliest holds."""
        planned = self._timers.get(key)
        if planned is not None:
            if planned[0] <= moment:
                return
            planned[1].cancel()
        delay = max(0.0, (moment - clock.now()).total_seconds())
        handle = asyncio.get_running_loop().call_later(delay, self._due, key)
        self._timers[key] = (moment, handle)

    def add_after(self, key: str, delay: timedelta) -> None:
        """Have a look at a key after this time."""
        self.add_at(key, clock.now() + delay)

    def forget(self, key: str) -> None:
        """Drop the times at which a key was to be looked at."""
        planned = self._timers.pop(key, None)
        if planned is not None:
            planned[1].cancel()

    async def take(self) -> str | None:
        """Wait for a key, to be handed back with ``done``; None once the queue is closed."""
        while not self._waiting and not self._closed:
            self._available.clear()
            await self._available.wait()
        if self._closed:
            return None
        key = self._waiting.popleft()
        self._queued.discard(key)
        self._busy.add(key)
        return key

    def done(self, key: str) -> None:
        """Say that the look at a key is over."""
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Hand out no more keys."""
        self._closed = True
        self._available.set()
        for _, handle in self._timers.values():
            handle.cancel()

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)
