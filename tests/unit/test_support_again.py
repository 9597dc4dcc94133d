"""Tests that failed are run once more, and told apart; what fails each time fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
from pathlib import Path

import pytest

ALWAYS, ONCE = {always}, {once}


@pytest.mark.parametrize("number", range(ALWAYS + ONCE + 1))
def test_it(number: int) -> None:
    before = Path(__file__).with_name(f"ran-{{number}}")
    if number < ALWAYS:
        raise AssertionError
    if number < ALWAYS + ONCE and not before.exists():
        before.touch()
        raise AssertionError
"""


def again(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.support.again", "-q", "-c", "/dev/null"]
    options = ["--import-mode=importlib", "--rootdir", str(folder), str(folder)]
    ran = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout


def outcome(folder: Path, *, always: int = 0, once: int = 0, files: int = 1) -> tuple[int, str]:
    for number in range(files):
        made = folder / str(number)
        made.mkdir()
        (made / f"test_{number}.py").write_text(TESTS.format(always=always, once=once))
    return again(folder)


def test_what_passes_is_run_once(tmp_path: Path) -> None:
    status, said = outcome(tmp_path)

    assert status == 0
    assert "once more" not in said
    assert "by chance" not in said


@pytest.mark.parametrize("files", [1, 3])
def test_what_failed_by_chance_is_named(tmp_path: Path, files: int) -> None:
    status, said = outcome(tmp_path, once=2, files=files)

    assert status == 0
    told = said.partition("Failed by chance")[2]
    for number in range(files):
        assert f"test_{number}.py::test_it[0]" in told
        assert f"test_{number}.py::test_it[1]" in told
        assert f"test_{number}.py::test_it[2]" not in told


@pytest.mark.parametrize(
    ("always", "once", "files"), [(1, 0, 1), (1, 2, 1), (1, 0, 3), (1, 0, 4), (0, 1, 4)]
)
def test_what_fails_each_time_and_much_that_fails_is_red(
    tmp_path: Path, always: int, once: int, files: int
) -> None:
    status, said = outcome(tmp_path, always=always, once=once, files=files)

    assert status == 1
    assert "by chance" not in said
    assert ("once more" in said) == (files <= 3)


def test_what_cannot_be_collected_is_red(tmp_path: Path) -> None:
    (tmp_path / "test_them.py").write_text("nonsense(")

    assert again(tmp_path)[0] == pytest.ExitCode.INTERRUPTED
