import dataclasses
import json
import os
import subprocess

import pytest

from localcluster import processes
from localcluster.processes import ProcessId, identify, load


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_a_running_process_is_alive(sleeper):
    process = identify(sleeper.pid)
    assert process is not None
    assert process.alive()


def test_a_pid_that_belongs_to_another_process_by_now_is_stale(sleeper):
    process = identify(sleeper.pid)
    assert not dataclasses.replace(process, started=process.started - 1).alive()


def test_a_pid_of_an_earlier_boot_is_stale(sleeper):
    assert not dataclasses.replace(identify(sleeper.pid), boot="an earlier one").alive()


def test_a_zombie_is_not_alive(sleeper):
    process = identify(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive()


def test_a_stale_pid_is_not_killed(sleeper):
    stale = dataclasses.replace(identify(sleeper.pid), started=1)
    stale.kill()
    assert sleeper.poll() is None


def test_killing_waits_until_it_is_gone(sleeper):
    process = identify(sleeper.pid)
    process.kill()
    assert not process.alive()


def test_a_command_with_brackets_and_spaces_is_read_right(tmp_path):
    folder = tmp_path / "7"
    folder.mkdir()
    fields = ["0"] * 18 + ["4321", "0"]  # field 22 of proc(5), counted from the state on
    (folder / "stat").write_text(f"7 (a) b (c) S {' '.join(fields)}")
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot\n")
    assert identify(7, proc=tmp_path) == ProcessId(7, 4321, "boot")


@pytest.mark.parametrize("content", ["", '{"pid": 1', "{}", "[]", '{"pid": 1, "x": 2}'])
def test_a_half_written_file_names_no_process(tmp_path, content):
    (tmp_path / "p.json").write_text(content)
    assert load(tmp_path / "p.json") is None


def test_what_is_saved_is_loaded(tmp_path, sleeper):
    process = identify(sleeper.pid)
    process.save(tmp_path / "p.json")
    assert load(tmp_path / "p.json") == process
    assert json.loads((tmp_path / "p.json").read_text())["pid"] == sleeper.pid


def test_a_missing_file_names_no_process(tmp_path):
    assert load(tmp_path / "nothing") is None
    assert processes.identify(2**22 + 1) is None
