"""Changes bytes of a stream: each with the same probability, the same ones for the same seed."""

from __future__ import annotations

import math
import random


class Corruption:
    """What is changed on one way of a connection; however the stream is cut into pieces."""

    def __init__(self, share: float, chance: random.Random) -> None:
        self._share = share
        self._chance = chance
        self._gap = self._next_gap()

    def apply(self, data: bytes) -> tuple[bytes, int]:
        """Give the bytes as they arrive, and how many were changed."""
        if self._gap >= len(data):
            self._gap -= len(data)
            return data, 0
        changed, count, at = bytearray(data), 0, self._gap
        while at < len(changed):
            changed[at] ^= self._chance.randint(1, 255)
            count += 1
            at += 1 + self._next_gap()
        self._gap = at - len(changed)
        return bytes(changed), count

    def _next_gap(self) -> int:
        """Give how many bytes in a row are left as they are."""
        if self._share >= 1.0:
            return 0
        if self._share <= 0.0:
            return 2**62
        return int(math.log(1.0 - self._chance.random()) / math.log1p(-self._share))
