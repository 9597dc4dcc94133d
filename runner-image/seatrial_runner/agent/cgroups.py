"""The target's cgroup: its limits, and how a process of ours gets into it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seatrial.api.errors import NotInjectedError

from seatrial_runner.agent.kernel import mount, unmount

# A limit of version 1 that is none: the largest number that fits, rounded to pages.
_NONE = 1 << 62


@dataclass(frozen=True)
class Cgroup:
    """A cgroup, found by a directory that is open."""

    version: int
    root: int  # the hierarchy, as an open directory
    path: str

    def join(self) -> None:
        """
        Move this process into it.

        Raises:
            OSError: It may not be moved.
        """
        handle = os.open(f"{self.path}/cgroup.procs", os.O_WRONLY, dir_fd=self.root)
        try:
            os.write(handle, b"0")
        finally:
            os.close(handle)

    def read(self, name: str, *, above: int = 0) -> str:
        """Read one of its files, or of the cgroup so many levels above; empty if there is none."""
        parts = self.path.split("/")
        path = "/".join(parts[: len(parts) - above]) or "."
        try:
            handle = os.open(f"{path}/{name}", os.O_RDONLY, dir_fd=self.root)
        except FileNotFoundError:
            return ""
        with os.fdopen(handle) as file:
            return file.read().strip()

    def number(self, name: str, *, above: int = 0) -> int | None:
        """Read a number; None if there is none, or no bound."""
        text = self.read(name, above=above)
        value = int(text) if text.lstrip("-").isdecimal() else None
        return None if value is None or not 0 <= value < _NONE else value

    def fields(self, name: str, *, above: int = 0) -> dict[str, int]:
        """Read a file of names with numbers."""
        pairs = (line.split() for line in self.read(name, above=above).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}

    def memory_limit(self) -> int | None:
        """Bytes that the container, or its pod, may have."""
        return min((limit for _, limit in self._memory_limits()), default=None)

    def memory_room(self) -> int:
        """
        Bytes that the container can still have below its limit and its pod's; 0 without a limit.

        What its pod's other containers use is not its own, but below the pod's limit it is missing.
        """
        rooms = [limit - self._memory_used(level) for level, limit in self._memory_limits()]
        return min(rooms, default=0)

    def _memory_limits(self) -> list[tuple[int, int]]:
        """Give how many levels above there is a limit, and which."""
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        limits = [(level, self.number(name, above=level)) for level in (0, 1)]
        return [(level, limit) for level, limit in limits if limit is not None]

    def _memory_used(self, level: int) -> int:
        """Bytes that cannot be had by dropping caches."""
        name = "memory.usage_in_bytes" if self.version == 1 else "memory.current"
        used = self.number(name, above=level)
        statistics = self.fields("memory.stat", above=level)
        cached = statistics.get("total_inactive_file", statistics.get("inactive_file", 0))
        return max(0, (used or 0) - cached)

    def has_cpu_limit(self) -> bool:
        """Tell whether the container, or its pod, has a limit of CPU time."""
        for level in (0, 1):
            if self.version == 1:
                if self.number("cpu.cfs_quota_us", above=level) is not None:
                    return True
            elif self.read("cpu.max", above=level).split()[:1] not in ([], ["max"]):
                return True
        return False

    def throttled_ms(self) -> int:
        """Time for which its processes had to wait for their limit."""
        statistics = self.fields("cpu.stat")
        return statistics.get("throttled_usec", 0) // 1000 + (
            statistics.get("throttled_time", 0) // 1_000_000
        )

    def close(self) -> None:
        """Close the directory."""
        os.close(self.root)


def cgroup_of(pid: int, controller: str) -> Cgroup:
    """
    Find the cgroup of a process.

    Raises:
        NotInjectedError: It is not to be seen from here.
    """
    version, options, path = _entry(Path(f"/proc/{pid}/cgroup").read_text(), controller)
    if path.startswith("/.."):
        raise NotInjectedError(
            "the container runtime hides the target's cgroup, although the agent is privileged"
        )
    try:
        root = _hierarchy(version, options)
    except OSError as error:
        raise NotInjectedError(f"cgroups cannot be mounted: {error.strerror}") from None
    found = Cgroup(version, root, path.strip("/") or ".")
    if version == 2 and controller not in found.read("cgroup.controllers").split():
        found.close()
        raise NotInjectedError(f"the target's cgroup has no controller {controller}")
    return found


def _entry(text: str, controller: str) -> tuple[int, str, str]:
    """Give version, mount options and path from a process's list of cgroups."""
    unified = "/"
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return 1, controllers, path
        if not controllers:
            unified = path
    return 2, "", unified


def _hierarchy(version: int, options: str) -> int:
    """Mount a hierarchy of cgroups, and keep only the open directory of it."""
    place = tempfile.mkdtemp(prefix="seatrial-")
    try:
        mount("cgroup" if version == 1 else "cgroup2", place, options)
        try:
            return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            unmount(place)
    finally:
        with suppress(OSError):
            os.rmdir(place)
