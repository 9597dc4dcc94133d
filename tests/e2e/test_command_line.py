"""``seatrial run`` shows a run as it goes, and ends with an exit status for its verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.e2e.conftest import ROOT, Desk

SEATRIAL = Path(sys.executable).with_name("seatrial")


def seatrial(desk: Desk, kubeconfig: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SEATRIAL, "-n", desk.namespace, *arguments],
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": kubeconfig},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_a_run_that_passes_ends_with_0(desk: Desk, kubeconfig: str) -> None:
    done = seatrial(desk, kubeconfig, "run", "examples/hello/run.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed" in done.stdout
    assert "it-says-hello" in done.stdout

    junit = seatrial(desk, kubeconfig, "junit", "hello")
    cases = [each.get("name") for each in ElementTree.fromstring(junit.stdout).iter("testcase")]
    assert "it-says-hello" in cases, junit.stderr
    logs = seatrial(desk, kubeconfig, "logs", "hello")
    assert logs.returncode == 0, logs.stderr
    assert "GET /greeting.json" in logs.stdout


def test_a_run_that_fails_does_not_end_with_0_and_says_why(desk: Desk, kubeconfig: str) -> None:
    done = seatrial(desk, kubeconfig, "run", "examples/shop-broken/run.yaml")
    assert done.returncode not in {0, 2}, done.stdout + done.stderr
    assert "during fault payments-down" in done.stdout
