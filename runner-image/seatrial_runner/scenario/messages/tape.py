"""
Records all messages of a scenario, in the order in which they came, in bounded memory.

A pod has no file system to write to, so what is not new is kept compressed. Beyond the bound the
bodies of further messages are dropped, and counted; beyond another, the messages themselves.
"""

from __future__ import annotations

import marshal
import threading
import zlib
from array import array
from bisect import bisect_right
from typing import NamedTuple

from seatrial_runner.scenario.brokers.interface import Arrived

BLOCK_BYTES = 256 * 1024  # of messages that are compressed together
MAX_BYTES = 96 * 1024 * 1024  # of compressed blocks
MAX_MESSAGES = 2_000_000
_OVERHEAD = 200  # of a message, besides its texts


class Record(NamedTuple):
    """
    A message on the tape.

    Attributes:
        feed: Number of the subscription that it came with.
        came: When, on the clock of ``World.monotonic``.
        arrived: The message; its body is None if it was dropped.
    """

    feed: int
    came: float
    arrived: Arrived


class Tape:
    """
    Thread-safe; whoever holds ``changed`` can wait for more.

    Attributes:
        changed: Notified when messages have come, or will come no more.
        without_body: How many messages were kept without their bodies.
        dropped: How many messages were not kept at all.
    """

    def __init__(
        self,
        block_bytes: int = BLOCK_BYTES,
        max_bytes: int = MAX_BYTES,
        max_messages: int = MAX_MESSAGES,
    ) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.without_body = 0
        self.dropped = 0
        self._limits = block_bytes, max_bytes, max_messages
        self._sealed: list[bytes] = []
        self._starts = array("Q")  # of each sealed block, the number of its first message
        self._sealed_bytes = 0
        self._open: list[tuple[object, ...]] = []
        self._open_bytes = 0
        self._length = 0
        self._unpacked: tuple[int, list[tuple[object, ...]]] = (-1, [])

    def __len__(self) -> int:
        return self._length

    def append(self, feed: int, came: float, arrived: Arrived) -> int | None:
        """
        Record a message; the caller holds ``changed``.

        Returns:
            Its number; None if there is no room left for it.
        """
        block_bytes, max_bytes, max_messages = self._limits
        if self._length >= max_messages:
            self.dropped += 1
            return None
        if self._sealed_bytes >= max_bytes:
            self.without_body += 1
            arrived = arrived._replace(body=None)
        self._open.append((feed, came, *arrived))
        self._open_bytes += _OVERHEAD + len(arrived.body or b"")
        self._length += 1
        if self._open_bytes >= block_bytes:
            self._seal()
        return self._length - 1

    def read(self, number: int) -> Record:
        """Give a message by its number."""
        with self.changed:
            first = self._length - len(self._open)
            if number >= first:
                entry = self._open[number - first]
            else:
                block = bisect_right(self._starts, number) - 1
                entry = self._block(block)[number - self._starts[block]]
            feed, came, *rest = entry
            return Record(feed, came, Arrived(*rest))  # type: ignore[arg-type]

    def _seal(self) -> None:
        packed = zlib.compress(marshal.dumps(self._open), 1)
        self._starts.append(self._length - len(self._open))
        self._sealed.append(packed)
        self._sealed_bytes += len(packed)
        self._open, self._open_bytes = [], 0

    def _block(self, block: int) -> list[tuple[object, ...]]:
        if self._unpacked[0] != block:
            # It is our own: nobody else writes what is read here.
            self._unpacked = block, marshal.loads(zlib.decompress(self._sealed[block]))  # noqa: S302
        return self._unpacked[1]
