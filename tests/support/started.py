"""Starts servers, and waits until what was started serves."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_PATIENCE_S = 180.0  # with a machine that has other things to do


@contextlib.contextmanager
def serving(
    words: Sequence[str], folder: Path, answers: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run a server from when it answers to the end; then kill it, and remove what it wrote.

    Args:
        words: The program with its arguments.
        folder: Its own, where it also logs.
        answers: Tells whether it is ready.
    """
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            until(answers, server, folder / "log")
            yield server
        finally:
            server.kill()
            server.wait(timeout=60)
            shutil.rmtree(folder)


def until(serves: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    """Ask again and again; fails with the end of its log, at once if it has ended."""
    end = time.monotonic() + _PATIENCE_S
    while not serves():
        assert server.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.05)
