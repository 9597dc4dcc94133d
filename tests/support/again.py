"""
Run tests, and those that failed once more by themselves: what passes then failed by chance.

Such a test is a defect of its own or of the product, and is named at the end; it does not hide what
fails each time, nor that much fails. See docs/decisions/0022-what-fails-by-chance-is-told-apart.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

MOST = 3  # files: tests of one file share a run, and its fate


def failed_in(cache: Path) -> list[str]:
    """Give the ids of the tests that failed, as pytest has kept them; none if it kept nothing."""
    kept = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(kept.read_text())) if kept.exists() else []


def run(options: Sequence[str]) -> int:
    """Run pytest with these options, twice if a few failed; give its exit status."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "pytest", *options, "-o", f"cache_dir={cache}"]
        status = subprocess.call(command)
        failed = failed_in(Path(cache))
        files = {each.partition("::")[0] for each in failed}
        if status != pytest.ExitCode.TESTS_FAILED or not 0 < len(files) <= MOST:
            return status
        _say(f"{len(failed)} failed, and run once more:", failed)
        status = subprocess.call([*command, "-n0", "--last-failed"])
        if status == pytest.ExitCode.OK:
            _say("Failed by chance: mend the test or what it tests:", failed)
        return status


def _say(what: str, tests: Sequence[str]) -> None:
    print("", what, *(f"  {each}" for each in tests), "", sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
