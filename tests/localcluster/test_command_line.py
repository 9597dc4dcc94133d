"""What goes wrong with files is said in one line, with what to do."""

import errno
import os
import subprocess
import sys

import pytest

from localcluster import __main__ as command_line
from localcluster.layout import ROOT


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEATRIAL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CLUSTER", "local")
    monkeypatch.setenv("CLUSTER_NAME", "x")
    monkeypatch.delenv("SEATRIAL_DEBUG", raising=False)


@pytest.fixture
def logs(tmp_path):
    folder = tmp_path / "state" / "x" / "logs"
    folder.mkdir(parents=True)
    for name in ("kubelet", "etcd"):
        (folder / f"{name}.log").write_text(f"{name} says this\n")
    return folder


@pytest.fixture
def called(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["localcluster", *arguments])
        return command_line.main(), *capsys.readouterr()

    return call


@pytest.mark.parametrize("arguments", [["logs"], ["logs", "kubelet"]], ids=" ".join)
def test_without_a_cluster_there_are_no_logs(called, arguments, tmp_path):
    status, _, err = called(*arguments)
    assert status == 1
    assert err.strip() == f"There are no logs in {tmp_path}/state/x/logs: `make up` first."


def test_a_component_that_is_not_there_is_told_with_those_that_are(called, logs):
    status, _, err = called("logs", "kublet")
    assert status == 1
    assert err.strip() == "There is no component kublet; there are: etcd, kubelet."


def test_the_log_of_a_component_is_printed(called, logs):
    assert called("logs", "etcd") == (0, "etcd says this\n", "")


@pytest.mark.parametrize(
    ("number", "path", "said"),
    [
        (errno.EACCES, "CACHE/locks/a", "sudo chown -R"),
        (errno.EACCES, "/etc/shadow", "SEATRIAL_DEBUG=1"),
        (errno.ENOSPC, None, "Make room there"),
        (errno.EROFS, "/cache/tmp", "/cache/tmp: Read-only file system."),
    ],
    ids=["of-another-user", "of-the-system", "full", "any-other"],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(
    called, monkeypatch, tmp_path, number, path, said
):
    path = path and path.replace("CACHE", f"{tmp_path}/cache")

    def fail(*_):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(command_line, "run_command", fail)
    status, _, err = called("up")
    assert status == 1
    assert err.count("\n") == 2  # an empty one ends what a stage shows
    assert os.strerror(number) in err
    assert (path or "") in err
    assert said in err


def test_a_cache_that_is_no_folder_is_told(called, monkeypatch, tmp_path):
    (tmp_path / "cache").touch()
    status, _, err = called("down")
    assert status == 1
    assert f"{tmp_path}/cache/locks: Not a directory" in err


def test_the_traceback_is_there_for_who_asks(called, monkeypatch, tmp_path):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("SEATRIAL_DEBUG", "1")
    with pytest.raises(NotADirectoryError):
        called("down")


def test_a_reader_that_has_had_enough_ends_the_logs(logs):
    for name in ("etcd", "kubelet"):
        (logs / f"{name}.log").write_text("a" * 1_000_000)
    command = [sys.executable, "-m", "localcluster", "logs"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0
