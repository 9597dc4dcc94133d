"""Limits and use of a container's cgroup, and of its pod's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from seatrial_runner.agent.cgroups import Cgroup

MIB = 1 << 20
_LIMIT = {1: "memory.limit_in_bytes", 2: "memory.max"}
_USED = {1: "memory.usage_in_bytes", 2: "memory.current"}
_CACHED = {1: "total_inactive_file", 2: "inactive_file"}
_NO_LIMIT = {1: str((1 << 63) - 4096), 2: "max"}


class Files:
    """A container's cgroup and its pod's, as files."""

    def __init__(self, folder: Path, version: int) -> None:
        self.version = version
        self._levels = {"container": folder / "pod/container", "pod": folder / "pod"}
        self._levels["container"].mkdir(parents=True)
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.cgroup = Cgroup(version, root, "pod/container")

    def has(self, level: str, *, limit: int | None, used: int, cached: int = 0) -> None:
        there, version = self._levels[level], self.version
        text = _NO_LIMIT[version] if limit is None else str(limit)
        (there / _LIMIT[version]).write_text(text)
        (there / _USED[version]).write_text(str(used))
        (there / "memory.stat").write_text(f"anon {used - cached}\n{_CACHED[version]} {cached}\n")


@pytest.fixture(params=[1, 2])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path, request.param)
    yield made
    made.cgroup.close()


def test_room_is_what_the_container_has_below_its_limit(files: Files) -> None:
    files.has("container", limit=100 * MIB, used=70 * MIB, cached=20 * MIB)
    files.has("pod", limit=None, used=500 * MIB)
    assert files.cgroup.memory_room() == 50 * MIB


def test_room_in_the_pod_counts_as_well(files: Files) -> None:
    """Its limit is the sum of its containers', and the agent's own memory is in it, too."""
    files.has("container", limit=100 * MIB, used=40 * MIB)
    files.has("pod", limit=100 * MIB, used=65 * MIB)
    assert files.cgroup.memory_room() == 35 * MIB


def test_room_of_a_container_without_a_limit_is_its_pods(files: Files) -> None:
    files.has("container", limit=None, used=10 * MIB)
    files.has("pod", limit=100 * MIB, used=90 * MIB)
    assert files.cgroup.memory_room() == 10 * MIB


def test_without_a_limit_there_is_no_room(files: Files) -> None:
    files.has("container", limit=None, used=10 * MIB)
    files.has("pod", limit=None, used=90 * MIB)
    assert files.cgroup.memory_room() == 0
