"""
How many connections a closed port has refused: the kernel answers for us, and only it counts.

It counts the resets that were sent (``OutRsts``): one for a connection that is refused, and one for
a connection that is broken, which has a counter of its own, too. What a peer had under way when its
connection was broken makes one more, and nothing tells that from a refusal. So for a moment after a
connection was broken, one reset is taken for that: never is one of ours taken for a refusal.

While a port is closed, workers break connections only at certain moments, the same for all of them:
what is refused in between is then counted, however many are broken.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from pathlib import Path

_OURS = ("TCPAbortOnData", "TCPAbortOnClose", "TCPAbortOnTimeout", "TCPAbortOnLinger")
_PROC = Path("/proc/self/net")
_BREAK_EVERY_S = 0.02
# After these moments: before what was under way has come, after it has, and before the next one.
_LOOK_AFTER_S = (0.003, 0.007, 0.018)
# Within a cluster it takes far less.
_UNDER_WAY = timedelta(milliseconds=3)
_DISTURBED = timedelta(seconds=1)
_READS = 5


def next_resets(now: float) -> float:
    """Give the next moment of ``time.monotonic`` to break connections."""
    return (now // _BREAK_EVERY_S + 1) * _BREAK_EVERY_S


def next_look(now: float) -> float:
    """Give the next moment to look, where connections are being broken."""
    last = now // _BREAK_EVERY_S * _BREAK_EVERY_S
    moments = (last + after for after in (*_LOOK_AFTER_S, _BREAK_EVERY_S + _LOOK_AFTER_S[0]))
    return next(moment for moment in moments if moment > now)


class Refusals:
    """What has been refused since it was made; rather too few than too many."""

    def __init__(self, proc: Path = _PROC) -> None:
        """``proc`` is where the counters of this network namespace are."""
        self._proc = proc
        self._sent, self._ours = self._resets()
        self._broken: deque[tuple[datetime, int]] = deque()  # whose second reset may still come
        self._last_broken: datetime | None = None
        self._looked: datetime | None = None
        self.count = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def look(self, now: datetime) -> None:
        """Count; moments are as exact, and few are missed, as this is called often."""
        sent, ours = self._resets()
        broken = ours - self._ours
        resets = sent - self._sent - broken
        self._sent, self._ours = sent, ours
        # By the moment of the look before: what was broken since then counts from now.
        while self._broken and self._looked and self._broken[0][0] + _UNDER_WAY < self._looked:
            self._broken.popleft()
        self._looked = now
        if broken > 0:
            self._broken.append((now, broken))
            self._last_broken = now
        if (count := self._without_those_under_way(resets)) > 0:
            self.count += count
            self.first = self.first or now
            self.last = now

    def are_disturbed(self, now: datetime) -> bool:
        """Tell whether connections are being broken: then only frequent looks tell them apart."""
        return self._last_broken is not None and now - self._last_broken < _DISTURBED

    def _without_those_under_way(self, resets: int) -> int:
        while resets > 0 and self._broken:
            moment, number = self._broken.popleft()
            if number > resets:
                self._broken.appendleft((moment, number - resets))
            resets -= number
        return resets

    def _resets(self) -> tuple[int, int]:
        """Give the resets that were sent, and those of them that had a connection."""
        # They are in two files, which are of one moment if no reset was sent meanwhile.
        for _ in range(_READS):
            sent = self._sent_now()
            counters = _counters(self._proc / "netstat", "TcpExt")
            if self._sent_now() == sent:
                break
        return sent, sum(counters.get(name, 0) for name in _OURS)

    def _sent_now(self) -> int:
        return _counters(self._proc / "snmp", "Tcp")["OutRsts"]


def _counters(path: Path, group: str) -> dict[str, int]:
    names, values = (
        line.split()[1:] for line in path.read_text().splitlines() if line.startswith(f"{group}:")
    )
    return dict(zip(names, map(int, values), strict=True))
