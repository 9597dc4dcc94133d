"""A volume that is full."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from seatrial.api.errors import NotInjectedError

from seatrial_runner.agent.kernel import open_in_root
from seatrial_runner.agent.processes import Container
from seatrial_runner.agent.quantities import size
from seatrial_runner.agent.tally import Tally

_LOOK_S = 0.1
_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)
# Files that the kubelet and the runtime mount into every container, from the node's own disk.
_OF_THE_NODE = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log")


class Disk:
    """
    Fills a volume with a file that has no name.

    The kernel frees it as soon as this process ends, whatever way that is.
    """

    def __init__(self, params: dict[str, Any], container: Container) -> None:
        self.tally = Tally()
        self._container = container
        self._path = params["path"]
        self._leave = size(params.get("leave", "0"))

    def begin(self, deadline: float) -> None:
        """
        Fill it.

        Raises:
            NotInjectedError: It cannot be filled, or there is nothing to fill.
        """
        self.prepare()
        self._written = 0
        self._until = deadline
        self._fill()
        if self._excess() <= 0:
            volume = os.fstatvfs(self._file)
            if volume.f_bavail and not self._written:
                raise NotInjectedError(
                    f"disk.leave: no more than that is free at {self._path}, so there is nothing"
                    " to fill"
                )
            self.tally.seen()

    def prepare(self) -> None:
        """
        Make the file, empty.

        Raises:
            NotInjectedError: There is no such volume, it is none of its own, or too small.
        """
        directory = open_volume(self._container, self._path)
        try:
            self._file = _unnamed_file(directory)
        except OSError as error:
            raise NotInjectedError(f"disk.path: {self._path}: {error.strerror}") from None
        finally:
            os.close(directory)
        volume = os.fstatvfs(self._file)
        if (size := volume.f_blocks * volume.f_frsize) <= self._leave:
            raise NotInjectedError(
                f"disk.leave: the volume at {self._path} has {size} bytes, which is no more than"
                " is to stay free"
            )

    def renew(self, deadline: float) -> None:
        """Fill it until then: it is free when this process ends."""
        self._until = deadline

    def watched(self) -> Sequence[Any]:
        """Nothing."""
        return ()

    def turn(self) -> float | None:
        """Fill what has become free."""
        self._fill()
        if self._excess() <= 0:
            self.tally.seen()
        return monotonic() + _LOOK_S

    def end(self) -> None:
        """Free it."""
        # On some file systems closing a large file takes a while, and happens behind our back.
        with suppress(OSError):
            os.ftruncate(self._file, 0)
        os.close(self._file)

    def _excess(self) -> int:
        """Bytes that are free and should not be, to a block."""
        volume = os.fstatvfs(self._file)
        return (volume.f_bavail * volume.f_frsize - self._leave) // volume.f_frsize

    def _fill(self) -> None:
        volume = os.fstatvfs(self._file)
        piece = self._excess() * volume.f_frsize
        while piece >= volume.f_frsize and monotonic() < self._until:
            piece = min(piece, self._excess() * volume.f_frsize)
            if piece <= 0:
                break
            if not self._grow(piece):
                piece //= 2
        self.tally.counts["bytes"] = self._written

    def _grow(self, count: int) -> bool:
        """Make the file longer; False if there is no room for so much."""
        try:
            os.posix_fallocate(self._file, self._written, count)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                return False
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            count = os.pwrite(self._file, _ZEROS[:count], self._written)
        self._written += count
        return True


def open_volume(container: Container, path: str) -> int:
    """
    Open a directory on a volume of the container.

    Raises:
        NotInjectedError: There is none, it is read-only, or filling it would fill the node's disk.
    """
    try:
        root = os.open(f"/proc/{container.main()}/root", os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise NotInjectedError(
            f"the files of container {container.name} are not to be seen: {error.strerror}"
        ) from None
    try:
        directory = open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
        shared = _devices_of_the_node(root)
    except OSError as error:
        raise NotInjectedError(
            f"disk.path: {path} in container {container.name}: {error.strerror}"
        ) from None
    finally:
        os.close(root)
    try:
        _check(directory, path, shared)
    except NotInjectedError:
        os.close(directory)
        raise
    return directory


def _check(directory: int, path: str, shared: set[int]) -> None:
    if os.fstatvfs(directory).f_flag & os.ST_RDONLY:
        raise NotInjectedError(f"disk.path: {path} is read-only")
    if os.fstat(directory).st_dev in shared:
        raise NotInjectedError(
            f"disk.path: {path} is on the node's own disk, which all its pods share: use a volume"
            " with a size of its own, such as an emptyDir with medium: Memory and a sizeLimit"
        )


def _devices_of_the_node(root: int) -> set[int]:
    """Devices that the container shares with others: its root, and what the kubelet writes on."""
    found = {os.stat(f"/proc/self/fd/{root}").st_dev}
    for path in _OF_THE_NODE:
        with suppress(OSError):
            found.add(Path(path).stat().st_dev)
        with suppress(OSError):
            handle = open_in_root(root, path, os.O_PATH)
            found.add(os.fstat(handle).st_dev)
            os.close(handle)
    return found


def _unnamed_file(directory: int) -> int:
    flags = os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(".", flags | os.O_TMPFILE, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
    name = f".seatrial-{os.getpid()}"
    handle = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
    os.unlink(name, dir_fd=directory)
    return handle
