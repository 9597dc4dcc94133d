"""
The first process of the gateway: makes the others, and makes them again.

It does nothing else, so that nothing is likely to end it. The others are the controller, which
serves the control interface, and the workers, which carry connections; they are independent of each
other. When this one ends, the kernel ends them.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from seatrial_runner.gateway.descendants import fork

logger = logging.getLogger("seatrial.gateway")

_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
# One that ends again and again is given more and more time between its lives.
_LIVED_S = 1.0
_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.5


@dataclass
class Child:
    """A process that is to be there."""

    name: str
    run: Callable[[], int]
    died: Callable[[], None] = lambda: None  # takes back what it held, before its successor is made
    pid: int = 0
    born: float = 0.0
    due: float = 0.0  # when it is to be made again
    pause_s: float = 0.0

    def ended(self, now: float) -> None:
        """Note its end, and when it is to be made again."""
        pause_s = min(max(2 * self.pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self.pid = 0
        self.pause_s = pause_s if now - self.born < _LIVED_S else 0.0
        self.due = now + self.pause_s


def supervise(children: list[Child]) -> int:
    """Keep the children alive until SIGTERM; give the exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    gc.collect()
    gc.freeze()  # what the children share with us stays shared
    for child in children:
        _make(child)
    while True:
        due = [child.due for child in children if not child.pid]
        wait_s = max(0.0, min(due) - monotonic()) if due else 60.0
        told = signal.sigtimedwait(_SIGNALS, wait_s)
        if told is not None and told.si_signo != signal.SIGCHLD:
            _end(children)
            return 128 + told.si_signo
        _bury(children)
        for child in children:
            if not child.pid and child.due <= monotonic():
                _make(child)


def _make(child: Child) -> None:
    def run() -> int:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return child.run()

    child.born = monotonic()
    child.pid = fork(child.name, run)


def _bury(children: list[Child]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        # As the first process of a container, we also inherit strangers.
        for child in (each for each in children if each.pid == pid):
            child.ended(monotonic())
            child.died()
            logger.warning("%s ended with status %s", child.name, os.waitstatus_to_exitcode(status))


def _end(children: list[Child]) -> None:
    for child in children:
        if child.pid:
            os.kill(child.pid, signal.SIGTERM)
    for child in children:
        if child.pid:
            os.waitpid(child.pid, 0)
