"""The tutorial, run from top to bottom as a reader would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.e2e.conftest import ROOT, Desk

PAGE = ROOT / "docs/tutorial/first-test.md"
# ```yaml file=NAME is saved under that name; ```console run is run; expect="..." is in its output.
FENCE = re.compile(r"^```(\w+)( [^\n]*)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_tutorial_does_what_it_says(desk: Desk, kubeconfig: str, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl") or str(Path.home() / ".cache/seatrial/bin/kubectl")
    commands = 0
    for language, options, text in FENCE.findall(PAGE.read_text()):
        if match := re.search(r"file=(\S+)", options):
            (tmp_path / match[1]).write_text(text)
        if language != "console" or " run" not in options:
            continue
        output = ""
        for line in text.splitlines():
            command = line.removeprefix("$ ").replace("kubectl ", f"{kubectl} -n {desk.namespace} ")
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env={**os.environ, "KUBECONFIG": kubeconfig},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            output, commands = output + done.stdout, commands + 1
        if match := re.search(r'expect="([^"]+)"', options):
            assert match[1] in output, f"{text}\ngave\n{output}"
    assert commands > 10
