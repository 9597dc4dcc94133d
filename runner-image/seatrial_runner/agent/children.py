"""Processes that do a part of a fault, and end with whoever started them."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic

from seatrial_runner.agent.kernel import die_with_parent


def start(work: Callable[[], int]) -> int:
    """
    Start a process that does ``work`` and ends with its exit status.

    It is killed as soon as this one has ended, whatever way that was.

    Returns:
        Its PID.
    """
    parent = os.getpid()
    if pid := os.fork():
        return pid
    status = 70
    try:
        die_with_parent(parent)
        gc.disable()  # what it shares with its parent stays shared
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        status = work()
    except BaseException as error:  # noqa: BLE001 - the process ends here
        os.write(2, f"seatrial: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def go_first() -> None:
    """
    Go before other processes of the node, if that is allowed; not so what is started from here.

    An ephemeral container can have no share of CPU time of its own: on a busy node it got so little
    that an order took 16 s, and packets waited for longer than they should.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def end_by_itself(deadline: float) -> None:
    """Let the kernel end this process shortly after the deadline, even if it hangs."""
    signal.setitimer(signal.ITIMER_REAL, max(0.001, deadline - monotonic()))


def kill(pid: int) -> None:
    """End a child and wait for its end."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def ended() -> Iterator[int]:
    """Give the PIDs of children that have ended; they are gone afterwards."""
    with suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            yield pid


def is_running(pid: int) -> bool:
    """Tell whether a child has not ended; one that has is gone afterwards."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False
