"""CPU time taken from a container, within its limit."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic, sleep, thread_time
from typing import Any

from seatrial.api.errors import NotInjectedError

from seatrial_runner.agent import children
from seatrial_runner.agent.cgroups import Cgroup, cgroup_of
from seatrial_runner.agent.processes import Container
from seatrial_runner.agent.quantities import share
from seatrial_runner.agent.tally import Tally

_PERIOD_S = 0.05
_LOOK_S = 0.1
_START_S = 5.0
_SPENT = struct.Struct("=d")
_REFUSED = 3


class Cpu:
    """
    Computes without end, in processes that join the container's cgroup.

    So the container's limit is theirs too: it is throttled, and no other pod is touched.
    """

    def __init__(self, params: dict[str, Any], container: Container) -> None:
        self.tally = Tally()
        self._container = container
        self._count = int(params.get("workers", 1))
        self._load = share(params.get("load", "100%"))
        self._workers: list[int] = []
        self._spent = mmap.mmap(-1, max(mmap.PAGESIZE, self._count * _SPENT.size))

    def begin(self, deadline: float) -> None:
        """
        Start the processes.

        Raises:
            NotInjectedError: They cannot join the container, or nothing would bound them.
        """
        self._cgroup = bounded(self._container)
        self._beside = beside(self._container) if self._cgroup.version == 1 else []
        self._throttled = self._cgroup.throttled_ms()
        self._workers = [
            children.start(lambda number=number: self._compute(number))  # type: ignore[misc]
            for number in range(self._count)
        ]
        give_up = min(deadline, monotonic() + _START_S)
        while self._load and not all(self._seconds(number) for number in range(self._count)):
            if not self._all_there():
                self.end()
                raise NotInjectedError(
                    f"container {self._container.name}: a process of ours may not join its cgroup"
                )
            if monotonic() > give_up:
                self.end()
                raise NotInjectedError("its time was over before all of its processes computed")
            sleep(0.005)
        self.tally.seen()

    def renew(self, deadline: float) -> None:
        """Nothing to do: they end with this process."""

    def watched(self) -> Sequence[Any]:
        """Nothing."""
        return ()

    def turn(self) -> float | None:
        """
        Count.

        Raises:
            NotInjectedError: A process is gone: with the container, or for the memory it had there.
        """
        self._take_down()
        if not self._all_there():
            raise NotInjectedError("one of the processes that compute was killed")
        return monotonic() + _LOOK_S

    def end(self) -> None:
        """End the processes."""
        with suppress(OSError):  # of the cgroup, if the container is gone
            self._take_down()
        for pid in self._workers:
            children.kill(pid)
        self._workers = []
        for cgroup in (self._cgroup, *self._beside):
            cgroup.close()

    def _take_down(self) -> None:
        counts = self.tally.counts
        counts["cpuMilliseconds"] = round(1000 * sum(map(self._seconds, range(self._count))))
        counts["throttledMilliseconds"] = self._cgroup.throttled_ms() - self._throttled

    def _compute(self, number: int) -> int:
        try:
            for cgroup in (self._cgroup, *self._beside):
                cgroup.join()
        except OSError:
            return _REFUSED
        self._note(number)
        while True:
            until = monotonic() + self._load * _PERIOD_S
            while monotonic() < until:
                math.factorial(300)
            self._note(number)
            sleep((1 - self._load) * _PERIOD_S)

    def _note(self, number: int) -> None:
        _SPENT.pack_into(self._spent, number * _SPENT.size, thread_time())

    def _seconds(self, number: int) -> float:
        return float(_SPENT.unpack_from(self._spent, number * _SPENT.size)[0])

    def _all_there(self) -> bool:
        return all(children.is_running(pid) for pid in self._workers)


def beside(container: Container) -> list[Cgroup]:
    """Find the cgroups of version 1 that count its CPU time, and say on which processors."""
    found = []
    for controller in ("cpuacct", "cpuset"):
        with suppress(NotInjectedError):  # the machine has none
            found.append(cgroup_of(container.main(), controller))
    return found


def bounded(container: Container) -> Cgroup:
    """
    Find the container's cgroup, if its CPU time has a limit.

    Raises:
        NotInjectedError: It has none, or cannot be found.
    """
    cgroup = cgroup_of(container.main(), "cpu")
    if not cgroup.has_cpu_limit():
        cgroup.close()
        raise NotInjectedError(
            f"container {container.name} has no limit of CPU time, so the whole node would be hit:"
            " give it resources.limits.cpu"
        )
    return cgroup
