"""
The board: memory that all processes of the gateway share, for what has been counted.

A worker writes only its own cells, so that nothing is lost when it is killed, and nobody waits.
Of a fault there is a slot, with a row of cells for each worker.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from enum import IntEnum

SLOTS = 256
ABSENT = -1


class Cell(IntEnum):
    """What a worker counts of a fault. The names from DELAYED on are those of the report."""

    HITS = 0  # connections that met it
    FIRST = 1  # milliseconds since 1970; 0: none yet
    LAST = 2
    OPEN = 3  # connections that hold a place of a connection limit
    PROBES = 4  # probes that do
    DELAYED = 5
    DROPPED = 6
    PACED = 7
    CORRUPTED = 8
    CLOSES = 9
    REFUSED = 10
    RESET = 11
    WAITED = 12
    HELD = 13


COUNTS = {
    Cell.DELAYED: "delayedBytes",
    Cell.DROPPED: "droppedBytes",
    Cell.PACED: "pacedBytes",
    Cell.CORRUPTED: "corruptedBytes",
    Cell.CLOSES: "delayedCloses",
    Cell.REFUSED: "refusedConnections",
    Cell.RESET: "resetConnections",
    Cell.WAITED: "waitingConnections",
    Cell.HELD: "heldConnections",
}
_CELLS = len(Cell)
_WORD = 8


class Board:
    """The shared memory; made before the processes are forked."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        # The load of each worker, a ticket for each slot, the slots, the process of each worker,
        # and the connections lost.
        words = workers + SLOTS + SLOTS * workers * _CELLS + workers + 1
        self._fd = os.memfd_create("seatrial-board")
        os.ftruncate(self._fd, words * _WORD)
        self._memory = memoryview(mmap.mmap(self._fd, words * _WORD)).cast("q")

    def cells(self, slot: int, worker: int) -> memoryview:
        """Give the cells of one worker for one fault; index by ``Cell``."""
        start = self.workers + SLOTS + (slot * self.workers + worker) * _CELLS
        return self._memory[start : start + _CELLS]

    def loads(self) -> memoryview:
        """Give the number of connections of each worker; ABSENT for one that is not there."""
        return self._memory[: self.workers]

    def processes(self) -> memoryview:
        """Give the process of each worker; 0 for one that is not there."""
        return self._memory[-1 - self.workers : -1]

    def clear(self, slot: int) -> None:
        """Make a slot ready for a new fault."""
        self._memory[self.workers + slot] = 0
        for worker in range(self.workers):
            cells = self.cells(slot, worker)
            for cell in range(_CELLS):
                cells[cell] = 0

    def leave(self, worker: int) -> None:
        """Take back what a worker that is gone still holds, and count what went with it."""
        loads = self.loads()
        self._memory[-1] += max(0, loads[worker])
        loads[worker] = ABSENT
        self.processes()[worker] = 0
        for slot in range(SLOTS):
            cells = self.cells(slot, worker)
            cells[Cell.OPEN] = 0
            cells[Cell.PROBES] = 0

    @property
    def lost(self) -> int:
        """How many connections have broken because a worker died."""
        return self._memory[-1]

    def total(self, slot: int, cell: Cell) -> int:
        """Add up a cell of all workers."""
        return sum(self.cells(slot, worker)[cell] for worker in range(self.workers))

    def moments(self, slot: int) -> tuple[int, int]:
        """Give the first and the last hit, in milliseconds; 0: none yet."""
        firsts = [self.cells(slot, worker)[Cell.FIRST] for worker in range(self.workers)]
        lasts = [self.cells(slot, worker)[Cell.LAST] for worker in range(self.workers)]
        return min((first for first in firsts if first), default=0), max(lasts)

    def ticket(self, slot: int) -> int:
        """
        Draw the next number of a fault.

        What is left to chance follows from the fault's seed and this number: so the third
        connection that a fault meets fares alike in every run.
        """
        with self.locked():
            at = self.workers + slot
            number = self._memory[at]
            self._memory[at] = number + 1
        return number

    def take_place(self, slot: int, worker: int, cell: Cell, most: int) -> bool:
        """Take one of so many places, if one is free; ``cell`` is OPEN or PROBES."""
        with self.locked():
            if self.total(slot, cell) >= most:
                return False
            self.cells(slot, worker)[cell] += 1
        return True

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the other processes out; the kernel lets go of the lock when we are killed."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
