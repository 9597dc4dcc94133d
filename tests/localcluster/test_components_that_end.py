"""A supervisor without a plan ends; a component that keeps ending is told, with its log."""

import json
import subprocess
import sys
import time

import pytest

from localcluster import local, supervisor
from localcluster.layout import ROOT, ClusterFolder


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("SEATRIAL_STATE", str(tmp_path))
    cluster = ClusterFolder("ends")
    cluster.logs.mkdir(parents=True)
    return cluster


def plan_of(cluster, script):
    component = {"name": "kubelet", "argv": ["/bin/sh", "-c", script], "needs": [], "env": {}}
    ends, logs = str(cluster.ends), str(cluster.logs)
    return json.dumps({"logs": logs, "ends": ends, "components": [component]})


def supervise(cluster, plan):
    command = [sys.executable, "-m", "localcluster.supervisor", str(cluster.path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdin.write(plan)
        process.stdin.close()
        yield process
        process.kill()


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_supervisor_whose_plan_never_comes_or_ends_in_the_middle_ends(cluster, share):
    plan = plan_of(cluster, "exit 3")
    for process in supervise(cluster, plan[: int(len(plan) * share)]):
        assert process.wait() == 1
        assert "who was to write it has ended" in process.stderr.read()
    assert [*cluster.logs.iterdir()] == []


def test_a_component_that_keeps_ending_is_named_with_the_end_of_its_log(cluster, monkeypatch):
    monkeypatch.setattr(local, "KEEPS_ENDING", 2)
    assert local.what_keeps_ending(cluster) == ""
    for _ in supervise(cluster, plan_of(cluster, "echo no disk; exit 3")):
        while not (told := local.what_keeps_ending(cluster)):
            time.sleep(0.02)
    log = f"{cluster.logs}/kubelet.log"
    assert told.startswith(f"kubelet keeps ending: see {log}, which ends:\n  no disk")


def test_a_component_that_has_run_for_long_enough_is_forgiven():
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        component = supervisor.Component("kubelet", [], [], {}, process, failures=5)
        component.started = time.monotonic()
        supervisor.forgive(component)
        assert component.failures == 5
        component.started -= supervisor.WELL_AFTER_S + 1
        supervisor.forgive(component)
        assert component.failures == 0
        process.kill()
