"""Ends what takes longer than it may: one thread for all statements of a scenario."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Limited:
    """Something that is under way; ``over`` tells whether it was ended."""

    end: Callable[[], None]
    over: bool = False
    done: bool = False
    # Held while it is being ended: what is done may not be followed by its end.
    lock: threading.Lock = field(default_factory=threading.Lock)


class Watchdog:
    """Calls a function when its time has come, unless what it would end is done by then."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, Limited]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def limit(self, seconds: float, end: Callable[[], None]) -> Iterator[Limited]:
        """Let the body take this long; ``end`` is then called in another thread."""
        limited = Limited(end)
        entry = (time.monotonic() + max(0.0, seconds), next(self._numbers), limited)
        with self._changed:
            heapq.heappush(self._queue, entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
            elif self._queue[0] is entry:
                self._changed.notify()
        try:
            yield limited
        finally:
            with limited.lock:
                limited.done = True

    def close(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (wait := self._wait()) != 0:
                    self._changed.wait(wait)
                if self._closed:
                    return
                _, _, limited = heapq.heappop(self._queue)
            with limited.lock:
                if not limited.done:
                    limited.over = True
                    limited.end()

    def _wait(self) -> float | None:
        """Give the seconds until the next is due; None: nothing is under way."""
        while self._queue and self._queue[0][2].done:
            heapq.heappop(self._queue)
        return max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else None
