"""
``collect``: a sidecar that hands in the JUnit files of a container test.

The kubelet ends it with SIGTERM once the user's container has ended. It lies idle beside every
container test, so it imports little.
"""

from __future__ import annotations

import glob
import os
import re
import signal
import stat
import sys
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from seatrial_runner.runner import exit_status
from seatrial_runner.runner.conductor_api import (
    ConductorApi,
    ConductorError,
    ConductorUnavailableError,
    test_path,
)
from seatrial_runner.runner.gate_command import READY_MARK
from seatrial_runner.runner.settings import MissingSettingError, Settings

MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_FILES = 100
# Together less than the 60 s of grace that the pod has: what is not handed in by then is lost.
PATIENCE_S = 40.0
ANSWER_S = 15.0
_MOST_TIMES = 5


def main(argv: list[str]) -> int:
    """Wait for SIGTERM, post the files that ``--junit GLOB`` names, and exit with 0."""
    # Blocked first: a signal that comes during what follows is kept for sigwait.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    if len(argv) != 2 or argv[0] != "--junit":
        sys.stderr.write("seatrial collect: give --junit GLOB\n")
        return exit_status.MISUSED
    try:
        settings = Settings().require()
        api = ConductorApi(settings.url, settings.token)
    except (MissingSettingError, ValueError) as error:
        sys.stderr.write(f"seatrial collect: {error}\n")
        return exit_status.MISUSED
    _be_ready(argv[1])
    sys.stderr.write("seatrial collect: waits for the test's end\n")
    sys.stderr.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    if os.path.exists(_ready_mark(argv[1])) and not _found(argv[1]):
        return 0  # the gate has not opened: nothing to hand in, and perhaps nobody to hand it to
    return hand_in(api, settings.test, argv[1])


def _be_ready(pattern: str) -> None:
    """
    Let the gate know that the signal will be seen.

    Before this process had blocked it, the kernel would have dropped it: it is PID 1.
    """
    with suppress(OSError):  # then the gate goes on without
        open(_ready_mark(pattern), "x").close()


def _ready_mark(pattern: str) -> str:
    return os.path.join(_root(pattern), READY_MARK)


def _root(pattern: str) -> str:
    return os.path.dirname(re.split(r"[*?\[]", pattern)[0])


def hand_in(api: ConductorApi, test: str, pattern: str) -> int:
    """
    Post every file that matches; say of each that could not be posted why, and give 76.

    The conductor is told of the first of them, because without it nobody knows how the test went.

    A conductor that came while they were posted, and has not all of them, asks for them again.
    """
    try:
        for _ in range(_MOST_TIMES):
            sent, problems = _post_all(api, test, pattern)
            told = {"files": sent, "missing": _in_short(problems)}
            if not _insist(api, test_path(test, "collected"), told).get("resend"):
                break
    except (ConductorError, ConductorUnavailableError) as error:
        sys.stderr.write(f"seatrial collect: {error}\n")
        return exit_status.NOT_REPORTED
    return exit_status.NOT_REPORTED if problems else 0


def _in_short(problems: list[str]) -> str:
    more = f" (and {len(problems) - 1} more: {problems[1]})" if len(problems) > 1 else ""
    return f"{problems[0]}{more}" if problems else ""


def _found(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))


def _post_all(api: ConductorApi, test: str, pattern: str) -> tuple[int, list[str]]:
    sent, problems = 0, []
    root = _root(pattern)
    found = _found(pattern)
    if len(found) > MAX_FILES:
        problems.append(f"{len(found)} files match, and {MAX_FILES} are read at most")
    for path in found[:MAX_FILES]:
        name = os.path.relpath(path, root)
        try:
            _post(api, test, path, name)
            sent += 1
        except (OSError, ValueError, ConductorError) as error:
            sys.stderr.write(f"seatrial collect: {path}: {error}\n")
            problems.append(f"{name}: {error}")
    return sent, problems


def _post(api: ConductorApi, test: str, path: str, name: str) -> None:
    # NB: opened without waiting, because the name may be that of a pipe nobody writes to.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("is no regular file")
        content = file.read(MAX_FILE_BYTES + 1)
        size = os.fstat(file.fileno()).st_size
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{size} bytes are more than the {MAX_FILE_BYTES // 2**20} MiB allowed")
    target = test_path(test, f"junit?file={quote(name, safe='')}")
    _insist(api, target, content)


def _insist(api: ConductorApi, path: str, body: bytes | Any) -> dict[str, Any]:
    return api.insist("POST", path, body, timeout_s=ANSWER_S, patience_s=PATIENCE_S)
