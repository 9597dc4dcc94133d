"""What a fault has met, counted where it is carried out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from seatrial_runner import clock


@dataclass
class Tally:
    """Counts of one fault; moments are RFC 3339."""

    hits: int = 0
    first_hit: str | None = None
    last_hit: str | None = None
    effective: str | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def hit(self, *what: str) -> None:
        """Count a packet or lookup that met the fault, and what was done to it."""
        self.hits += 1
        self.last_hit = clock.rfc3339(clock.now())
        self.first_hit = self.first_hit or self.last_hit
        for each in what:
            self.counts[each] = self.counts.get(each, 0) + 1

    def seen(self) -> None:
        """Note that the effect was seen, if this is the first time."""
        self.effective = self.effective or clock.rfc3339(clock.now())

    def doc(self) -> dict[str, Any]:
        """Write it for the other process."""
        return {
            "hits": self.hits,
            "firstHit": self.first_hit,
            "lastHit": self.last_hit,
            "effective": self.effective,
            "counts": self.counts,
        }
