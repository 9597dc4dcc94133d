"""Memory taken from a container, within its limit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import monotonic
from typing import Any

from seatrial.api.errors import NotInjectedError

from seatrial_runner.agent import children
from seatrial_runner.agent.cgroups import Cgroup, cgroup_of
from seatrial_runner.agent.processes import Container, is_alive
from seatrial_runner.agent.quantities import size
from seatrial_runner.agent.tally import Tally

_CHUNK = 1 << 20
_LOOK_S = 0.25
_REFUSED = 3


class Memory:
    """
    Holds memory that counts as the container's, up to its limit.

    A short-lived process joins the container's cgroup and fills a file in memory, which this one
    keeps open. What is filled stays accounted to the container, yet no process in it has it: if
    the container runs out of memory, the kernel's choice falls on the target. The memory is free
    as soon as this process ends, whatever way that is.
    """

    def __init__(self, params: dict[str, Any], container: Container) -> None:
        self.tally = Tally()
        self._container = container
        self._wanted = size(params["size"])

    def begin(self, deadline: float) -> None:
        """
        Take the memory.

        Raises:
            NotInjectedError: It cannot be accounted to the container, or nothing would bound it.
        """
        self._main = self._container.main()
        self._cgroup = bounded(self._container)
        self._file = os.memfd_create("seatrial", os.MFD_CLOEXEC)
        if self._fill() == _REFUSED:
            raise NotInjectedError(
                f"container {self._container.name}: a process of ours may not join its cgroup"
            )
        if not self._held():
            raise NotInjectedError(
                f"container {self._container.name} has no memory left below its limit"
            )
        self.tally.seen()

    def renew(self, deadline: float) -> None:
        """Nothing to do: the memory is free when this process ends."""

    def watched(self) -> Sequence[Any]:
        """Nothing."""
        return ()

    def turn(self) -> float | None:
        """
        Take what the target has given back since, up to the size.

        Raises:
            NotInjectedError: The container has ended, where the agent does not end with it.
        """
        if not is_alive(self._main):
            raise NotInjectedError(f"container {self._container.name} has ended")
        if self._held() < self._wanted and self._cgroup.memory_room() >= _CHUNK:
            self._fill()
        self.tally.counts["bytes"] = self._held()
        return monotonic() + _LOOK_S

    def end(self) -> None:
        """Give it back."""
        os.close(self._file)
        self._cgroup.close()

    def _fill(self) -> int:
        """Let a process in the cgroup fill the file; give its exit status."""
        pid = children.start(self._allocate)
        _, status = os.waitpid(pid, 0)
        self.tally.counts["bytes"] = self._held()
        if os.WIFSIGNALED(status):  # the kernel's choice fell on it after all
            self.tally.counts["outOfMemory"] = self.tally.counts.get("outOfMemory", 0) + 1
        return os.waitstatus_to_exitcode(status)

    def _allocate(self) -> int:
        try:
            self._cgroup.join()
        except OSError:
            return _REFUSED
        held = self._held()
        while held < self._wanted and self._cgroup.memory_room() >= _CHUNK:
            chunk = min(_CHUNK, self._wanted - held)
            try:
                os.posix_fallocate(self._file, held, chunk)
            except OSError:  # the limit was reached in between
                break
            held += chunk
        return 0

    def _held(self) -> int:
        return os.fstat(self._file).st_blocks * 512


def bounded(container: Container) -> Cgroup:
    """
    Find the container's cgroup, if its memory has a limit.

    Raises:
        NotInjectedError: It has none, or cannot be found.
    """
    cgroup = cgroup_of(container.main(), "memory")
    if cgroup.memory_limit() is None:
        cgroup.close()
        raise NotInjectedError(
            f"container {container.name} has no limit of memory, so the whole node would be hit:"
            " give it resources.limits.memory"
        )
    return cgroup
