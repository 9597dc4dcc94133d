"""``seatrial run`` shows a run as it goes, and ends with an exit status for its verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from localcluster.chart import kubectl_command
from localcluster.layout import cache_dir
from localcluster.progress import Progress
from tests.e2e.conftest import ROOT, Desk

SEATRIAL = Path(sys.executable).with_name("seatrial")


def seatrial(desk: Desk, kubeconfig: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SEATRIAL, "-n", desk.namespace, *arguments],
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": kubeconfig},
        capture_output=True,
        text=True,
        timeout=300,
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


def test_kubectl_finds_it(kubeconfig: str) -> None:
    kubectl = kubectl_command(Progress(cache_dir() / "times.json"))
    path = f"{SEATRIAL.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [kubectl, "seatrial", "version"],
        env={**os.environ, "KUBECONFIG": kubeconfig, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resource seatrial.dev/v1alpha1" in done.stdout
    assert ": Kubernetes v" in done.stdout
    assert ": seatrial.dev v1alpha1" in done.stdout


def test_a_run_that_fails_does_not_end_with_0_and_says_why(desk: Desk, kubeconfig: str) -> None:
    done = seatrial(desk, kubeconfig, "run", "examples/shop-broken/run.yaml")
    assert done.returncode not in {0, 2}, done.stdout + done.stderr
    assert "during fault payments-down" in done.stdout
