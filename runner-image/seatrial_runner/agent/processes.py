"""The processes of the container that is hit, as this PID namespace shows them."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seatrial.api.errors import NotInjectedError

_PROC = Path("/proc")
_PAUSE = "pause"


@dataclass(frozen=True)
class Container:
    """The container that is hit."""

    name: str
    id: str = ""  # as the runtime has it; needed where the pod's containers share their processes

    def main(self) -> int:
        """
        Give the PID of its first process.

        Raises:
            NotInjectedError: It is not to be seen from here.
        """
        if os.getpid() == 1:
            raise NotInjectedError(
                f"the container runtime does not let us see the processes of container {self.name}"
            )
        pids = self.processes()
        if not pids:
            raise NotInjectedError(f"container {self.name} has no process")
        return pids[0]

    def processes(self, *, besides: Collection[int] = ()) -> list[int]:
        """Give the PIDs of its processes, the first one first; but for those that are known."""
        belongs = self._mark()
        session = os.getsid(0)
        found = []
        for entry in _PROC.iterdir():
            if not entry.name.isdecimal() or (pid := int(entry.name)) in besides:
                continue
            with suppress(OSError):  # it has ended
                if os.getsid(pid) == session or not is_alive(pid):
                    continue  # NB: what we start has our session, see ``main``
                if _belongs(_cgroup(pid), belongs, by_id=bool(self.id)):
                    found.append(pid)
        return sorted(found)

    def _mark(self) -> str:
        """What the cgroups of its processes have in common."""
        if self.id:
            return self.id
        with suppress(OSError):
            if (_PROC / "1/comm").read_text().strip() == _PAUSE:
                raise NotInjectedError(
                    "the pod's containers share their processes (shareProcessNamespace): leave"
                    " that out of the pod, or this container can't be told from the others"
                )
        return _cgroup(1)


def threads(pid: int) -> list[int]:
    """Give the threads of a process; none if it has ended."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        return []


def state(pid: int, thread: int) -> str:
    """Give the state of a thread, such as S or t (stopped by a tracer); empty if it is gone."""
    return _field(Path(f"/proc/{pid}/task/{thread}/stat"), 0)


def is_alive(pid: int) -> bool:
    """Tell whether a process has not ended."""
    return _field(_PROC / str(pid) / "stat", 0) not in ("", "Z", "X")


def is_entering(pid: int) -> bool:
    """
    Tell whether a process is still the runtime's, about to become one of the container's.

    Source: runc, ``libcontainer/nsenter/nsexec.c``, which names it so until its exec.
    """
    try:
        return (_PROC / str(pid) / "comm").read_text().startswith("runc:[")
    except OSError:  # it has ended
        return False


def _field(file: Path, number: int) -> str:
    try:
        # The name of the program comes before, in brackets, and may hold anything.
        return file.read_text().rpartition(")")[2].split()[number]
    except (OSError, IndexError):
        return ""


def _cgroup(pid: int) -> str:
    return (_PROC / str(pid) / "cgroup").read_text()


def _belongs(cgroup: str, mark: str, *, by_id: bool) -> bool:
    if by_id:
        return mark in cgroup
    # Line by line: the same cgroup, or one below it that the container has made.
    theirs, ours = cgroup.splitlines(), mark.splitlines()
    return len(theirs) == len(ours) and all(
        one == other or one.startswith(other.rstrip("/") + "/")
        for one, other in zip(theirs, ours, strict=True)
    )
