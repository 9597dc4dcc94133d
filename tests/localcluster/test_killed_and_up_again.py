"""A cluster, or what brings it up, is killed; the next start finds its way."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster import images, local, processes
from localcluster.layout import ROOT, ClusterFolder
from tests.support.local_clusters import leftovers, links, supervisors

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="the built-in cluster needs root"),
]


ENVIRONMENT = {**os.environ, "CLUSTER": "local", "CLUSTER_NAME": "killed"}


def cli(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "localcluster", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def up_killed(moment: str) -> None:
    """Bring it up, and kill that at a moment; supervisor and pods are in no group of it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_at", moment, "up", "--bare"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == -signal.SIGKILL, f"{moment} never came: {done.stdout}{done.stderr}"


def eventually_none_of(cluster: ClusterFolder) -> None:
    deadline = time.monotonic() + 120
    while left := supervisors(cluster):
        assert time.monotonic() < deadline, f"{left} wait for a plan that nobody will give them"
        time.sleep(0.05)


def processes_of(cluster: ClusterFolder) -> list[int]:
    """The components, which share a PID namespace, and the pods, which share a control group."""
    supervisor = processes.load(cluster.supervisor)
    namespace = os.stat(f"/proc/{supervisor.pid}/ns/pid").st_ino
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            component = os.stat(folder / "ns/pid").st_ino == namespace
            pod = f"{cluster.cgroup}/" in (folder / "cgroup").read_text()
        except OSError:
            continue
        if component or pod:
            found.append(int(folder.name))
    return found


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # the first one took it along
        os.kill(pid, signal.SIGKILL)


def program(pid: int) -> str:
    """Which program of the one binary a process is: its first argument."""
    return [*Path(f"/proc/{pid}/cmdline").read_text().split("\0"), ""][1]


@pytest.fixture
def cluster():
    cli("up", "--bare")
    yield ClusterFolder("killed")
    cli("down")


@pytest.mark.parametrize("victims", ["everything", "the first process"])
def test_a_cluster_comes_up_after_its_processes_were_killed(cluster, victims):
    cli("kubectl", "create", "deployment", "pods", "--image=docker.io/seatrial/pause:1")
    cli("kubectl", "rollout", "status", "deployment/pods", "--timeout=180s")
    supervisor = processes.load(cluster.supervisor)
    pids = processes_of(cluster) if victims == "everything" else [supervisor.pid]

    for pid in pids:
        kill(pid)
    supervisor.kill()  # only waits
    assert not local.well(cluster)

    cli("up", "--bare")
    assert local.well(cluster)
    cli("kubectl", "create", "deployment", "pods", "--image=docker.io/seatrial/pause:1")
    cli("kubectl", "rollout", "status", "deployment/pods", "--timeout=180s")


# Before the supervisor has its plan, nobody may be left of it; from then on it is the cluster.
BEFORE_THE_PLAN = [
    "call:localcluster.machine.forget_checks",
    "call:localcluster.local._start",
    "call:localcluster.processes.write_whole",
    "return:localcluster.sandbox.make_cgroups",
    "call:localcluster.processes.ProcessId.save",
    "call:localcluster.sandbox._ip_batch",
    "call:localcluster.components.make_certificates",
    "return:localcluster.components.Node.write",
]
AFTER_IT = [
    ("call:localcluster.images.pause_archive", "the first process"),
    ("call:localcluster.images.load_pause", "nothing else"),
    ("call:localcluster.images.load_pause", "everything"),
    ("return:localcluster.local.node_ready", "nothing else"),
]


def test_what_brings_it_up_is_killed_at_any_moment():
    cluster = ClusterFolder("killed")
    cli("down")
    try:
        # Each finds what the one before has left, and gets further.
        for moment in BEFORE_THE_PLAN:
            up_killed(moment)
            eventually_none_of(cluster)
        for moment, victims in AFTER_IT:
            up_killed(moment)
            assert len(supervisors(cluster)) == 1, moment
            for pid in [] if victims == "nothing else" else processes_of(cluster):
                if victims == "everything" or pid == processes.load(cluster.supervisor).pid:
                    kill(pid)
        cli("up", "--bare")
        assert local.well(cluster)
        assert images.PAUSE_IMAGE in images.imported(cluster)  # without it no pod starts
        assert supervisors(cluster) == [processes.load(cluster.supervisor).pid]
        interface = local.addresses_of(cluster).interface
    finally:
        cli("down")
    assert leftovers(cluster) == []
    assert interface not in links()


def test_a_component_that_keeps_ending_is_named_with_the_end_of_its_log(tmp_path):
    cluster = ClusterFolder("killed")
    containerd = tmp_path / "containerd"
    containerd.write_text("#!/bin/sh\necho no room on the device; exit 1\n")
    containerd.chmod(0o755)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "localcluster", "up", "--bare"],
            cwd=ROOT,
            env={**ENVIRONMENT, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert f"containerd keeps ending: see {cluster.logs}/containerd.log" in done.stderr
        assert "  no room on the device" in done.stderr
        assert "containerd keeps ending" in cli("status")
    finally:
        cli("down")


def test_a_component_that_dies_is_started_again(cluster):
    supervisor = processes.load(cluster.supervisor)
    apiserver = next(p for p in processes_of(cluster) if program(p) == "kube-apiserver")
    os.kill(apiserver, signal.SIGKILL)
    cli("up", "--bare")
    assert processes.load(cluster.supervisor) == supervisor
    assert local.well(cluster)


def test_after_down_nothing_is_left():
    cluster = ClusterFolder("killed")
    cli("up", "--bare")
    addresses = local.addresses_of(cluster)
    cli("down")
    assert addresses.interface not in links()
    assert leftovers(cluster) == []


def test_down_twice_is_no_error():
    cli("down")
    cli("down")


def test_a_cluster_that_another_version_has_made_is_made_anew(cluster):
    before = processes.load(cluster.supervisor)
    facts = json.loads(cluster.facts.read_text())
    processes.write_whole(cluster.facts, json.dumps({**facts, "code": "another"}))

    cli("up", "--bare")

    assert processes.load(cluster.supervisor) != before
    assert not before.alive()
