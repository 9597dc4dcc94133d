"""Everything of a cluster is killed at once, and the next start finds a clean machine."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster import local, processes
from localcluster.layout import ROOT, ClusterFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="the built-in cluster needs root"),
]


def cli(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "localcluster", *arguments],
        cwd=ROOT,
        env={**os.environ, "CLUSTER": "local", "CLUSTER_NAME": "killed"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


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


def program(pid: int) -> str:
    """Which program of the one binary a process is: its first argument."""
    return [*Path(f"/proc/{pid}/cmdline").read_text().split("\0"), ""][1]


@pytest.fixture
def cluster():
    cli("up", "--bare")
    yield ClusterFolder("killed")
    cli("down")


def leftovers(cluster: ClusterFolder) -> list[str]:
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**{cluster.cgroup}")]
    mounts = [
        line for line in Path("/proc/mounts").read_text().splitlines() if cluster.name in line
    ]
    return [*groups, *mounts, *([str(cluster.path)] if cluster.path.exists() else [])]


@pytest.mark.parametrize("victims", ["everything", "the first process"])
def test_a_cluster_comes_up_after_its_processes_were_killed(cluster, victims):
    cli("kubectl", "create", "deployment", "pods", "--image=docker.io/seatrial/pause:1")
    cli("kubectl", "rollout", "status", "deployment/pods", "--timeout=60s")
    supervisor = processes.load(cluster.supervisor)
    pids = processes_of(cluster) if victims == "everything" else [supervisor.pid]

    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # the first one took it along
    supervisor.kill()  # only waits
    assert not local.well(cluster)

    cli("up", "--bare")
    assert local.well(cluster)
    cli("kubectl", "create", "deployment", "pods", "--image=docker.io/seatrial/pause:1")
    cli("kubectl", "rollout", "status", "deployment/pods", "--timeout=60s")


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
    links = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    assert addresses.interface not in links
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
