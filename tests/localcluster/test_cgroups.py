"""The groups of a cluster where there is one hierarchy: on a machine, and in a container on it."""

import errno
from pathlib import Path

import pytest

from localcluster import sandbox
from localcluster.layout import LocalClusterError


class Kernel:
    """One hierarchy, with the kernel's rule that a group below the root holds one or the other."""

    def __init__(self, root: Path, processes: str, *, container: bool) -> None:
        self.root = root
        self.container = container
        self.stuck: set[str] = set()
        (root / "cgroup.controllers").write_text("cpu memory")
        (root / "cgroup.subtree_control").write_text("")
        (root / "cgroup.procs").write_text(processes)

    def write(self, file: Path, text: str) -> None:
        if file.name == "cgroup.procs":
            self._move(text, file)
            return
        top = self.root / "cgroup.procs"
        if file.parent == self.root and self.container and top.read_text().split():
            raise OSError(errno.EBUSY, "Device or resource busy")
        file.write_text(text)

    def _move(self, pid: str, target: Path) -> None:
        top = self.root / "cgroup.procs"
        if pid not in self.stuck:
            top.write_text(" ".join(p for p in top.read_text().split() if p != pid))
            had = target.read_text() if target.exists() else ""
            target.write_text(f"{had} {pid}")


def kernel(folder: Path, patch: pytest.MonkeyPatch, processes: str, *, container: bool) -> Kernel:
    made = Kernel(folder, processes, container=container)
    patch.setattr(sandbox, "CGROUPS", folder)
    patch.setattr(sandbox, "_write", made.write)
    return made


def test_a_machine_s_root_passes_its_controllers_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(tmp_path, monkeypatch, "1 2", container=False)
    sandbox.make_cgroups("/cluster")
    for group in (tmp_path, tmp_path / "cluster"):
        assert (group / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (tmp_path / "cgroup.procs").read_text() == "1 2"


def test_in_a_container_the_processes_move_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(tmp_path, monkeypatch, "1 2", container=True)
    sandbox.make_cgroups("/cluster")
    assert (tmp_path / "cluster/cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (tmp_path / sandbox.OTHERS / "cgroup.procs").read_text().split() == ["1", "2"]


def test_processes_that_cannot_be_moved_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(tmp_path, monkeypatch, "1 2", container=True).stuck.add("2")
    with pytest.raises(LocalClusterError, match=r"cannot be moved out of it.*\['2'\]"):
        sandbox.make_cgroups("/cluster")


def test_a_tree_that_is_read_only_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(tmp_path, monkeypatch, "1 2", container=True)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(sandbox, "_write", refuse)
    with pytest.raises(LocalClusterError, match=r"Read-only file system\. .*--privileged"):
        sandbox.make_cgroups("/cluster")
