"""Processes by identity: a pid alone may be another process by now."""

import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessId:
    """
    One process, for as long as the machine is up.

    Attributes:
        pid: Its number, which the kernel gives to another process later.
        started: Its start, in clock ticks since boot (field 22 of /proc/PID/stat).
        boot: The kernel's id of this boot.
    """

    pid: int
    started: int
    boot: str

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return self == identify(self.pid)

    def kill(self, *, timeout_s: float = 20) -> None:
        """
        Kill it and wait until it is gone.

        Raises:
            TimeoutError: it is still there, most likely stuck in the kernel.
        """
        deadline = time.monotonic() + timeout_s
        while self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"process {self.pid} is still there {timeout_s:.0f} s after SIGKILL"
                )
            time.sleep(0.02)

    def save(self, file: Path) -> None:
        """Write it where `load` finds it, whole or not at all."""
        write_whole(file, json.dumps(asdict(self)))


def identify(pid: int, proc: Path = Path("/proc")) -> ProcessId | None:
    """The process that has this pid now; None when there is none, or only a zombie."""
    try:
        stat = (proc / str(pid) / "stat").read_text()
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in brackets, and may hold spaces and brackets itself.
    state, *fields = stat.rpartition(")")[2].split()
    if state in {"Z", "X"}:
        return None
    return ProcessId(pid, int(fields[18]), boot)


def load(file: Path) -> ProcessId | None:
    """The process that was saved; None when the file is missing or half-written."""
    try:
        return ProcessId(**json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_whole(file: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that a reader, or the next start after a kill, sees all of it or none."""
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.write_text(text)
    scratch.chmod(mode)
    scratch.replace(file)
