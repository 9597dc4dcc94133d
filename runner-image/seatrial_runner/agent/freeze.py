"""Processes stopped, as a machine that hangs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from seatrial.api.errors import NotInjectedError

from seatrial_runner.agent.kernel import detach, interrupt, resume, seize
from seatrial_runner.agent.processes import Container, is_alive, is_entering, state, threads
from seatrial_runner.agent.tally import Tally

_LOOK_S = 0.002
_STOP_S = 5.0
_AGAIN_S = 0.05
_WALL = 0x40000000  # threads too
_AS_ASKED = 128  # PTRACE_EVENT_STOP, above the signal in the status of a thread that has stopped
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
        self._seized: set[tuple[int, int]] = set()  # process and thread
        self._moving: dict[int, int] = {}  # threads that have yet to stop, with their processes
        self._settled: set[int] = set()  # processes of which all threads have stopped
        self._since = 0.0

    def begin(self, deadline: float) -> None:
        """
        Stop them.

        Raises:
            NotInjectedError: One cannot be stopped. None stays so.
        """
        self._main = self._container.main()
        self._since = monotonic()
        give_up = min(deadline, self._since + _STOP_S)
        while not self._look():
            if monotonic() > give_up:
                raise NotInjectedError(
                    f"container {self._container.name}: a process did not stop within {_STOP_S:g} s"
                )
            sleep(_LOOK_S)
        self.tally.seen()

    def renew(self, deadline: float) -> None:
        """Nothing to do: its end is the end of this process."""

    def watched(self) -> Sequence[Any]:
        """Nothing."""
        return ()

    def turn(self) -> float | None:
        """
        Stop what has begun since, such as a probe of kind ``exec``.

        Raises:
            NotInjectedError: The container has ended, where the agent does not end with it.
        """
        self.tally.counts["milliseconds"] = round((monotonic() - self._since) * 1000)
        if not is_alive(self._main):
            raise NotInjectedError(f"container {self._container.name} has ended")
        return monotonic() + (_AGAIN_S if self._look() else _LOOK_S)

    def end(self) -> None:
        """Let them go."""
        for _, thread in self._seized:
            with suppress(ProcessLookupError):  # it has ended
                detach(thread)
        self.tally.counts["milliseconds"] = round((monotonic() - self._since) * 1000)

    def _look(self) -> bool:
        """Stop what is new; tell whether nothing was, and everything known had stopped before."""
        self._hear()
        # NB: before the look, because what has not stopped may start another one behind it. What
        # waits in the kernel (D), for a disk or for a child that has stopped before its exec, goes
        # back to its program only through the stop.
        had_stopped = all(
            state(pid, thread) in ("D", *_GONE) for thread, pid in self._moving.items()
        )
        if self._seize_new() or not had_stopped:
            return False
        self._settled = {pid for pid, _ in self._seized}
        self.tally.counts["processes"] = len(self._settled)
        self.tally.counts["threads"] = len(self._seized)
        return True

    def _hear(self) -> None:
        """
        Take note of those that have stopped, and leave of those that were killed.

        The parents of these learn of it only then.
        """
        with suppress(ChildProcessError):
            while (told := os.waitpid(-1, os.WNOHANG | _WALL))[0]:
                thread, status = told
                if os.WIFSTOPPED(status) and status >> 16 != _AS_ASKED:
                    # A signal came before the stop: it is delivered, or it would be lost.
                    with suppress(ProcessLookupError):
                        resume(thread, os.WSTOPSIG(status))
                        interrupt(thread)
                else:
                    self._moving.pop(thread, None)

    def _seize_new(self) -> bool:
        new = False
        for pid in self._container.processes(besides=self._settled):
            if is_entering(pid):
                continue  # the runtime waits for it, and is to be stopped by nobody: again later
            for thread in threads(pid):
                if (pid, thread) in self._seized:
                    continue
                try:
                    seize(thread)
                    interrupt(thread)
                except ProcessLookupError:
                    continue
                except PermissionError as error:
                    # One that begins meanwhile may be of the runtime's still: again later.
                    if self._settled or state(pid, thread) in _GONE:
                        continue
                    raise NotInjectedError(
                        f"container {self._container.name}: process {pid} may not be stopped"
                        f" ({error.strerror}); is a debugger attached, or another freeze in effect?"
                    ) from None
                self._seized.add((pid, thread))
                self._moving[thread] = pid
                new = True
        return new
