"""Two commands at one cluster: the second waits, and says for whom."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from localcluster.backends import Local
from localcluster.builds import locked
from localcluster.layout import ROOT, ClusterFolder
from localcluster.progress import Progress

HOLDER = """
from localcluster.builds import locked
with locked("cluster-x"):
    print("held", flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEATRIAL_STATE", str(tmp_path / "state"))


@pytest.fixture
def holder():
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


class Said:
    """What was said, and a way to wait for it; stands in for a terminal."""

    def __init__(self):
        self.text = ""
        self.waits = threading.Event()

    def isatty(self):
        return False

    def write(self, text):
        self.text += text
        if "waiting" in text:
            self.waits.set()

    def flush(self):
        pass


def test_down_waits_for_an_up_and_says_for_which_process(holder, tmp_path):
    cluster = ClusterFolder("x")
    cluster.logs.mkdir(parents=True)
    said = Said()
    down = threading.Thread(
        target=Local(cluster).down, args=(Progress(tmp_path / "times.json", said),)
    )

    down.start()
    assert said.waits.wait(30)
    assert cluster.path.exists()
    holder.communicate("\n")
    down.join(30)

    assert not cluster.path.exists()
    assert f"Cluster x is in use by process {holder.pid} ({sys.executable} -c" in said.text
    assert "✓ Remove cluster x" in said.text


def test_an_up_that_was_killed_is_not_waited_for(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    said = Said()

    Local(ClusterFolder("x")).down(Progress(tmp_path / "times.json", said))

    assert not said.waits.is_set()


def test_a_lock_names_who_holds_it_now_not_who_held_it_first(holder):
    holder.communicate("\n")
    said, told = [], threading.Event()

    def wait():
        with locked("cluster-x", lambda who: (said.append(who), told.set())):
            pass

    second = threading.Thread(target=wait)
    with locked("cluster-x"):
        second.start()
        assert told.wait(30)
    second.join(30)

    (name,) = said
    assert name.startswith(f"process {os.getpid()} (")
