"""What a fault has met, counted where it is carried out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from seatrial_runner import clock


@dataclass
class Tally:
    """Counts of one fault."""

    hits: int = 0
    first_hit: datetime | None = None
    last_hit: datetime | None = None
    effective: datetime | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def hit(self, *what: str) -> None:
        """Count a packet or lookup that met the fault, and what was done to it."""
        self.hits += 1
        self.last_hit = clock.now()
        self.first_hit = self.first_hit or self.last_hit
        for each in what:
            self.counts[each] = self.counts.get(each, 0) + 1

    def seen(self) -> None:
        """Note that the effect was seen, if this is the first time."""
        self.effective = self.effective or clock.now()

    def doc(self) -> dict[str, Any]:
        """Write it for the other process."""
        return {
            "hits": self.hits,
            "firstHit": _written(self.first_hit),
            "lastHit": _written(self.last_hit),
            "effective": _written(self.effective),
            "counts": self.counts,
        }


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else clock.rfc3339(moment)
