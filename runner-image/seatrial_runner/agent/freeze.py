"""Processes stopped, as a machine that hangs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from seatrial.api.errors import NotInjectedError

from seatrial_runner.agent.kernel import detach, interrupt, seize
from seatrial_runner.agent.processes import Container, state, threads
from seatrial_runner.agent.tally import Tally

_LOOK_S = 0.002
_STOP_S = 5.0
_REAP_S = 0.05
_WALL = 0x40000000  # threads too
_GONE = ("", "Z", "X")


class Freeze:
    """
    Stops every thread of a container by tracing it.

    NB: not by SIGSTOP: to the first process of a PID namespace signals from inside mean nothing,
    and the stop would outlive us. The kernel lets a traced thread go when its tracer ends.
    """

    def __init__(self, container: Container) -> None:
        self.tally = Tally()
        self._container = container
        self._stopped: set[tuple[int, int]] = set()  # process and thread
        self._since = 0.0

    def begin(self, deadline: float) -> None:
        """
        Stop them.

        Raises:
            NotInjectedError: One cannot be stopped. None stays so.
        """
        self._container.main()
        self._since = monotonic()
        give_up = min(deadline, self._since + _STOP_S)
        # A thread may start another one until it has stopped: look until there is nothing new.
        while self._seize_new() or not self._all_stopped():
            if monotonic() > give_up:
                raise NotInjectedError(
                    f"container {self._container.name}: a process did not stop within {_STOP_S:g} s"
                )
            sleep(_LOOK_S)
        self.tally.seen()
        self.tally.counts["processes"] = len({pid for pid, _ in self._stopped})
        self.tally.counts["threads"] = len(self._stopped)

    def renew(self, deadline: float) -> None:
        """Nothing to do: its end is the end of this process."""

    def watched(self) -> Sequence[Any]:
        """Nothing."""
        return ()

    def turn(self) -> float | None:
        """Take leave of those that were killed: their parents learn of it only then."""
        self.tally.counts["milliseconds"] = round((monotonic() - self._since) * 1000)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG | _WALL)[0]:
                pass
        return monotonic() + _REAP_S

    def end(self) -> None:
        """Let them go."""
        for _, thread in self._stopped:
            with suppress(ProcessLookupError):  # it has ended
                detach(thread)
        self.tally.counts["milliseconds"] = round((monotonic() - self._since) * 1000)

    def _seize_new(self) -> bool:
        new = False
        for pid in self._container.processes():
            for thread in threads(pid):
                if (pid, thread) in self._stopped:
                    continue
                try:
                    seize(thread)
                    interrupt(thread)
                except ProcessLookupError:
                    continue
                except PermissionError as error:
                    if state(pid, thread) in _GONE:
                        continue
                    raise NotInjectedError(
                        f"container {self._container.name}: process {pid} may not be stopped"
                        f" ({error.strerror}); is a debugger attached?"
                    ) from None
                self._stopped.add((pid, thread))
                new = True
        return new

    def _all_stopped(self) -> bool:
        states = [state(pid, thread) for pid, thread in self._stopped]
        return all(each in ("t", *_GONE) for each in states)
