"""How long this process has waited for a processor: whether others want the node as well."""

from __future__ import annotations

_SCHEDSTAT = "/proc/self/schedstat"
_AT_MOST_S = 5.0


def patience_s() -> float:
    """
    Say how long to let others go first: as long as one had to wait oneself, on a busy node.

    None where the kernel does not count it.
    """
    try:
        with open(_SCHEDSTAT) as file:
            return of_schedstat(file.read())
    except (OSError, ValueError):
        return 0.0


def of_schedstat(text: str) -> float:
    """
    Read the counts of a thread: nanoseconds on a processor, nanoseconds of waiting for one, ...

    Source: Linux, Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat.

    Returns:
        Seconds of patience; none where less was waited than worked.
    """
    worked_ns, waited_ns = (int(each) for each in text.split()[:2])
    return min(waited_ns / 1e9, _AT_MOST_S) if waited_ns > worked_ns else 0.0
