"""What the steps of one scenario open and share: connections, subscriptions, an event loop."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Coroutine, Hashable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class Resources:
    """
    Opened when first asked for, closed with the scenario in reverse order. Thread-safe.

    A client with an interface of coroutines lives on one event loop, in a thread of its own: its
    connections go on receiving while the steps do something else.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[Hashable, Any] = {}
        self._opening: dict[Hashable, threading.RLock] = {}  # held while one is made
        self._records: dict[str, Callable[[], Any]] = {}
        self._stack = ExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self, key: Hashable, make: Callable[[], T], close: Callable[[T], object]) -> T:
        """
        Give what is open under a key, or make it.

        Args:
            key: Of what it is and where it leads, such as ``("sql", url)``.
            make: Called at most once at a time for a key, while others open what they need; what
                it raises is raised here, and the next caller tries again.
            close: Called at the end of the scenario; its errors are dropped.
        """
        with self._lock:
            opening = self._opening.setdefault(key, threading.RLock())
        with opening:
            with self._lock:
                if key in self._open:
                    found: T = self._open[key]
                    return found
            made = make()
            with self._lock:
                self._open[key] = made
                self._stack.callback(_quietly, close, made)
            return made

    def record(self, name: str, give: Callable[[], Any]) -> None:
        """Have what ``give`` gives, as JSON, in the scenario's result; asked before it closes."""
        with self._lock:
            self._records[name] = give

    def records(self) -> dict[str, Any]:
        """Give what has been recorded, by name."""
        with self._lock:
            return {name: give() for name, give in self._records.items()}

    def find(self, key: Hashable) -> Any:
        """Give what is open under a key; None if nothing is."""
        with self._lock:
            return self._open.get(key)

    def forget(self, key: Hashable) -> Any:
        """Give up what is open under a key, closed by the caller: the next to ask makes it anew."""
        with self._lock:
            return self._open.pop(key, None)

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """
        Run a coroutine on the scenario's event loop and wait for its result.

        Raises:
            TimeoutError: It took longer, and was cancelled.
            Exception: Whatever it raises.
        """
        import asyncio

        async def bounded() -> T:
            async with asyncio.timeout(timeout_s):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self.loop()).result()

    def loop(self) -> asyncio.AbstractEventLoop:
        """Give the scenario's event loop, which runs in a thread of its own."""
        with self._lock:
            if self._loop is None:
                import asyncio

                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=self._loop.run_forever, daemon=True)
                thread.start()
                # The first to be made is the last to go: what is opened later closes on it.
                self._stack.callback(_end, self._loop, thread)
            return self._loop

    def close(self) -> None:
        """Close everything, once all is open that is being opened."""
        with self._lock:
            openings = list(self._opening.values())
        for opening in openings:
            with opening:
                continue
        with self._lock:
            self._open.clear()
            self._stack.close()
            self._loop = None


def _quietly(close: Callable[[T], object], resource: T) -> None:
    try:
        close(resource)
    # A connection that died with its service can end in any way; the result stands already.
    except Exception as error:  # noqa: BLE001
        sys.stderr.write(f"closing {type(resource).__name__}: {type(error).__name__}: {error}\n")


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    import asyncio

    async def cancel_all() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(cancel_all(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
