"""The network plugin's cache goes with the last cluster, wherever the clusters' folders are."""

import os
import subprocess
from pathlib import Path

import pytest

from localcluster import sandbox
from localcluster.backends import Local
from localcluster.layout import ClusterFolder
from localcluster.progress import Progress

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
CLUSTER = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && echo mounted && read end']


@pytest.fixture
def cache(tmp_path, monkeypatch):
    cache = tmp_path / "cni"
    cache.mkdir()
    monkeypatch.setattr(sandbox, "CNI_CACHE", cache)
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEATRIAL_STATE", str(tmp_path / "state"))
    return cache


def down(cache):
    ClusterFolder("x").path.mkdir(parents=True)
    Local(ClusterFolder("x")).down(Progress(cache.parent / "times.json"))


def test_a_cluster_of_another_folder_keeps_its_mount(cache):
    with subprocess.Popen(
        [*CLUSTER, str(cache)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as cluster:
        assert cluster.stdout.readline() == "mounted\n"
        down(cache)
        mounts = Path(f"/proc/{cluster.pid}/mountinfo").read_text()
        cluster.kill()
    assert f" {cache} " in mounts


def test_the_last_cluster_takes_it_along(cache):
    down(cache)
    assert not cache.exists()
