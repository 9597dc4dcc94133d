"""
How many connections a closed port has refused: the kernel answers for us, and only it counts.

It counts resets that were sent. Those that closing and breaking connections cause have counters of
their own, and are taken off: twice, because what a peer had under way makes a second one.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

_OURS = ("TCPAbortOnData", "TCPAbortOnClose", "TCPAbortOnTimeout", "TCPAbortOnLinger")
_PROC = Path("/proc/self/net")


class Refusals:
    """What has been refused since it was made; rather too few than too many."""

    def __init__(self, proc: Path = _PROC) -> None:
        """``proc`` is where the counters of this network namespace are."""
        self._proc = proc
        self._before = self._resets()
        self.count = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def look(self, now: datetime) -> None:
        """Count; moments are as exact as this is called often."""
        sent, ours = self._resets()
        count = sent - self._before[0] - 2 * (ours - self._before[1])
        if count > self.count:
            self.count = count
            self.first = self.first or now
            self.last = now

    def _resets(self) -> tuple[int, int]:
        """Give the resets that were sent, and those of them that had a connection."""
        sent = _counters(self._proc / "snmp", "Tcp")["OutRsts"]
        counters = _counters(self._proc / "netstat", "TcpExt")
        return sent, sum(counters.get(name, 0) for name in _OURS)


def _counters(path: Path, group: str) -> dict[str, int]:
    names, values = (
        line.split()[1:] for line in path.read_text().splitlines() if line.startswith(f"{group}:")
    )
    return dict(zip(names, map(int, values), strict=True))
