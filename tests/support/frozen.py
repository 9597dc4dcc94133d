"""A process that is stopped where it is."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def freeze(pid: int, *, within_s: float = 30.0) -> None:
    """
    Stop a process, and return when it has stopped.

    NB: SIGSTOP is taken by one of its threads, when it is next run; until then the others go on.
    """
    os.kill(pid, signal.SIGSTOP)
    give_up = time.monotonic() + within_s
    while not _all_stand(pid):
        assert time.monotonic() < give_up, f"process {pid} goes on {within_s:g} s after SIGSTOP"
        time.sleep(0.001)


def _all_stand(pid: int) -> bool:
    """Tell whether every thread is stopped ("T"), or has ended ("Z", "X")."""
    states = []
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.append(thread.read_text().rpartition(")")[2].split()[0])
        except OSError:  # it has ended meanwhile
            continue
    return set(states) <= {"T", "Z", "X"}
