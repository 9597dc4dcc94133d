"""
How many connections a closed port has refused: the kernel answers for us, and only it counts.

It counts resets that were sent. Those that closing and breaking connections cause have counters of
their own, and are taken off: twice, because what a peer had under way makes a second one.
"""

from __future__ import annotations

from pathlib import Path

_OURS = ("TCPAbortOnData", "TCPAbortOnClose", "TCPAbortOnTimeout", "TCPAbortOnLinger")


def resets_sent() -> tuple[int, int]:
    """Give the resets that this network namespace has sent, and those that had a connection."""
    sent = _counters(Path("/proc/self/net/snmp"), "Tcp")["OutRsts"]
    counters = _counters(Path("/proc/self/net/netstat"), "TcpExt")
    return sent, sum(counters.get(name, 0) for name in _OURS)


def refused_since(before: tuple[int, int]) -> int:
    """Give how many connections have been refused since ``resets_sent``, rather too few."""
    now = resets_sent()
    return max(0, now[0] - before[0] - 2 * (now[1] - before[1]))


def _counters(path: Path, group: str) -> dict[str, int]:
    names, values = (
        line.split()[1:] for line in path.read_text().splitlines() if line.startswith(f"{group}:")
    )
    return dict(zip(names, map(int, values), strict=True))
