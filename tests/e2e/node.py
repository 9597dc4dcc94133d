"""The processes of the local cluster's node, as root on the same machine sees them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.frozen import freeze

PROC = Path("/proc")


def processes_of_pod(uid: str) -> list[int]:
    """Give the processes in all containers of a pod, its pause process among them."""
    return [pid for pid in _pids() if uid in _read(pid, "cgroup").replace("_", "-")]


def first_processes(pod_uid: str, word: str) -> list[int]:
    """Give the processes that a pod's containers began with and that have this word."""
    return [pid for pid in _with_word(pod_uid, word) if _inner_pid(pid) == 1]


def roots(pod_uid: str, word: str) -> list[int]:
    """Give the processes of a pod with this word that no other with it has started."""
    found = _with_word(pod_uid, word)
    return [pid for pid in found if _status(pid, "PPid") not in map(str, found)]


def named(pod_uid: str, name: str) -> list[int]:
    """Give the processes of a pod whose own name begins so; it is not in the command line."""
    return [pid for pid in processes_of_pod(pod_uid) if _read(pid, "comm").startswith(name)]


def _with_word(pod_uid: str, word: str) -> list[int]:
    return [pid for pid in processes_of_pod(pod_uid) if word in _read(pid, "cmdline")]


def _inner_pid(pid: int) -> int:
    """Give the number that a process has in its own container."""
    return int((_status(pid, "NSpid").split() or ["0"])[-1])


def _status(pid: int, field: str) -> str:
    lines = _read(pid, "status").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith(field + ":")), "")


def kill_program(pod_uid: str, word: str) -> int:
    """Kill every process of a pod that has this word in its command line; tell how many."""
    found = [pid for pid in processes_of_pod(pod_uid) if word in _read(pid, "cmdline")]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def api_servers(state: Path) -> list[int]:
    """Give the API server of the cluster whose files are in this folder."""
    return [
        pid
        for pid in _pids()
        if (words := _read(pid, "cmdline").split("\0"))
        and "kube-apiserver" in words[:2]
        and any(str(state) in word for word in words)
    ]


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """Stop processes, and let them go on at the end, whatever happens."""
    try:
        for pid in pids:
            freeze(pid)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def down(state: Path) -> Iterator[None]:
    """Kill the API server, and keep its supervisor from starting it again until the end."""
    supervisor = json.loads((state / "supervisor.json").read_text())["pid"]
    with frozen([supervisor]):
        for pid in api_servers(state):
            os.kill(pid, signal.SIGKILL)
        yield


def _pids() -> list[int]:
    return [int(each.name) for each in PROC.iterdir() if each.name.isdecimal()]


def _read(pid: int, file: str) -> str:
    try:
        return (PROC / str(pid) / file).read_text(errors="replace")
    except OSError:  # it has ended since
        return ""
