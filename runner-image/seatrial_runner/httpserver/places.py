"""Who may have how many connections, so that nobody can have all of them."""

from __future__ import annotations

import asyncio
from collections import Counter

from seatrial_runner.httpserver.exchange import Exchange

MAX_CONNECTIONS = 512
MAX_OF_A_PEER = 128

Task = asyncio.Task[None]


class Places:
    """
    The connections that are open.

    Once all places are taken, whoever has the most gives one up that is waiting for a request, for
    one who has fewer: who holds connections open to keep others out keeps out itself alone.
    """

    def __init__(self) -> None:
        self._taken: dict[Task, tuple[str, Exchange]] = {}
        self._of: Counter[str] = Counter()

    def take(self, task: Task, peer: str, exchange: Exchange) -> bool:
        """
        Take a place; False if there is none.

        Args:
            task: Serves the connection, and is cancelled if it loses its place.
            peer: Its address; empty for one on this machine, which may take all.
            exchange: What goes on there.
        """
        if peer and self._of[peer] >= MAX_OF_A_PEER:
            return False
        if len(self._taken) >= MAX_CONNECTIONS and not self._make_room(peer):
            return False
        self._taken[task] = (peer, exchange)
        self._of[peer] += 1
        return True

    def give_back(self, task: Task) -> None:
        """Say that a connection is over; nothing, if it had lost its place."""
        if task in self._taken:
            peer, _ = self._taken.pop(task)
            self._of[peer] -= 1
            if not self._of[peer]:
                del self._of[peer]

    async def clear(self) -> None:
        """End all connections."""
        tasks = list(self._taken)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _make_room(self, peer: str) -> bool:
        """Take a connection that waits from whoever has the most, and more than this one would."""
        waiting = [(of, task) for task, (of, exchange) in self._taken.items() if exchange.waits]
        if not waiting:
            return False
        # The first of several: it has been open the longest.
        of, task = max(waiting, key=lambda each: self._of[each[0]])
        if self._of[of] <= self._of[peer] + 1:
            return False
        self.give_back(task)
        task.cancel()
        return True
