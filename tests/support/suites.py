"""Runs pytest as a user's machine or a test pod does, in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import httpx  # noqa: F401 - see below
import pytest
import yaml  # noqa: F401 - see below
from seatrial_runner.scenario import expressions

# Pytester takes back what an inner pytest imported; CEL's extension module can be imported only
# once, and the others cost time.
expressions.preload()

# Other plugins of this environment cost time and have opinions.
QUIET = [f"-pno:{name}" for name in ("cacheprovider", "asyncio", "hypothesispytest", "anyio")]


@dataclass(frozen=True)
class Done:
    stdout: str  # both streams
    returncode: int


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"))


def run_pytest(
    pytester: pytest.Pytester, *arguments: str, environment: Mapping[str, str] | None = None
) -> Done:
    """Run pytest in this process, in pytester's folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SEATRIAL_")]:
            patch.delenv(name)
        for name, value in {"COLUMNS": "160", **(environment or {})}.items():
            patch.setenv(name, value)
        result = pytester.runpytest_inprocess(*QUIET, *arguments)
    return Done("\n".join([*result.outlines, *result.errlines]), int(result.ret))


def run_python(arguments: Iterable[str], folder: Path, environment: Mapping[str, str]) -> Done:
    """Run Python in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEATRIAL_")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**kept, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "160", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    return Done(done.stdout, done.returncode)
