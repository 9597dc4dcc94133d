"""The commands of test pods: gate, collect, pytest, and how they are found."""

import os
import signal
import subprocess
import sys

import pytest
from seatrial_runner.__main__ import main
from seatrial_runner.runner import collect_command, gate_command
from seatrial_runner.runner.conductor_api import (
    ConductorApi,
    ConductorError,
    ConductorUnavailableError,
)
from seatrial_runner.runner.suite import SuiteError, lay_out, path_of

from tests.support.fake_conductor import TOKEN, FakeConductor
from tests.support.loopback import Answer
from tests.support.scenarios import FakeTime
from tests.support.suites import run_python, write

RUN_SUITE = (
    "import sys, pathlib; from seatrial_runner.runner.pytest_command import main;"
    " sys.exit(main(sys.argv[2:], suite=pathlib.Path(sys.argv[1])))"
)


@pytest.fixture
def conductor():
    with FakeConductor() as each:
        yield each


@pytest.fixture
def pod(conductor, monkeypatch):
    for name, value in conductor.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # that of this process stays as it is


def an_api(conductor, time=None):
    time = time or FakeTime()
    return ConductorApi(conductor.url, TOKEN, sleep=time.sleep, monotonic=time.monotonic)


def test_an_unknown_command_is_told(capsys):
    assert main(["cook"]) == 2
    assert (
        "no command 'cook'; give one of: conductor, gateway, agent, pytest, gate, collect"
        in capsys.readouterr().err
    )
    assert main([]) == 2


def test_the_gate_blocks_until_it_is_open(conductor, pod):
    conductor.open_after = 3
    conductor.outages = 1
    assert main(["gate"]) == 0
    assert len(conductor.asked) == 5
    assert conductor.asked[-1].query == {"test": ["suite"], "shard": ["0"], "wait": ["25"]}


def test_a_turn_that_never_comes_keeps_the_container_from_starting(conductor, pod, capsys):
    conductor.cancelled = True
    assert gate_command.main([]) == 75
    assert "the run ends without test 'suite'" in capsys.readouterr().err


def test_a_wrong_token_is_told(conductor, pod, monkeypatch, capsys):
    monkeypatch.setenv("SEATRIAL_TOKEN", "wrong")
    assert gate_command.main([]) == 77
    assert "GET /v1/gate: wrong token" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["gate", "pytest", "collect"])
def test_outside_of_a_test_pod_the_commands_say_so(command, monkeypatch, capsys):
    monkeypatch.delenv("SEATRIAL_URL", raising=False)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "pthread_sigmask", lambda *_: None)
    arguments = ["--junit", "/x/*.xml"] if command == "collect" else []
    assert main([command, *arguments]) == 64
    assert "SEATRIAL_URL is not set" in capsys.readouterr().err


def test_asking_goes_on_until_patience_is_over(conductor):
    time = FakeTime()
    conductor.outages = 1000
    with pytest.raises(ConductorUnavailableError, match=r"does not answer: .*, for 30 s"):
        an_api(conductor, time).insist("GET", "/v1/gate", patience_s=30)
    assert 20 < time.seconds <= 30
    assert max(time.slept) <= 2.0


def test_a_refusal_is_not_asked_again(conductor):
    with pytest.raises(ConductorError, match="GET /v1/faults/nope: there is no fault 'nope'"):
        an_api(conductor).insist("GET", "/v1/faults/nope")
    assert len(conductor.asked) == 1


def test_an_unwell_conductor_is_asked_again(conductor):
    answers = [Answer(503, {"error": "not yet"}), Answer(200, {"open": True})]
    conductor.respond = lambda asked: answers.pop(0)
    assert an_api(conductor).insist("GET", "/v1/gate") == {"open": True}


def test_junit_files_are_handed_in_by_their_path_below_the_glob(conductor, tmp_path):
    write(tmp_path, {"a.xml": "<a/>", "deep/b c.xml": "<b/>", "x.txt": "x"})
    conductor.outages = 1
    status = collect_command.hand_in(an_api(conductor), "suite", f"{tmp_path}/**/*.xml")
    assert status == 0
    assert conductor.junit == {"a.xml": b"<a/>", "deep/b c.xml": b"<b/>"}
    assert (conductor.collected, conductor.missing) == ([2], "")


def test_a_conductor_that_came_in_between_gets_the_files_again(conductor, tmp_path):
    write(tmp_path, {"a.xml": "<a/>"})
    conductor.forgets = 1
    assert collect_command.hand_in(an_api(conductor), "suite", f"{tmp_path}/*.xml") == 0
    assert conductor.junit == {"a.xml": b"<a/>"}
    assert conductor.collected == [1, 1]


def test_a_conductor_that_is_away_for_half_a_minute_gets_the_files(conductor, tmp_path):
    write(tmp_path, {f"{name}.xml": "<a/>" for name in "abc"})
    time = FakeTime()
    away_s = 30.0

    def respond(asked):
        return Answer(broken=True) if time.seconds < away_s else conductor._respond(asked)

    conductor.respond = respond
    assert collect_command.hand_in(an_api(conductor, time), "suite", f"{tmp_path}/*.xml") == 0
    assert sorted(conductor.junit) == ["a.xml", "b.xml", "c.xml"]


def test_a_conductor_that_never_comes_is_waited_for_once(conductor, tmp_path, capsys):
    write(tmp_path, {f"{name}.xml": "<a/>" for name in "abc"})
    conductor.outages = 1000
    time = FakeTime()
    assert collect_command.hand_in(an_api(conductor, time), "suite", f"{tmp_path}/*.xml") == 76
    assert time.seconds <= collect_command.PATIENCE_S
    assert "does not answer" in capsys.readouterr().err


def test_a_test_that_never_began_has_nothing_to_hand_in(conductor, tmp_path):
    command = [sys.executable, "-m", "seatrial_runner", "collect", "--junit", f"{tmp_path}/*.xml"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=conductor.environment()
    )
    with process:
        assert "waits for the test's end" in process.stderr.readline()
        assert os.listdir(tmp_path) == [gate_command.READY_MARK]  # the gate has not taken it away
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert conductor.asked == []


def test_a_file_that_cannot_be_handed_in_keeps_no_other_back(
    conductor, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(collect_command, "MAX_FILE_BYTES", 10)
    write(tmp_path, {"a.xml": "<a>too long</a>", "b.xml": "<b/>"})
    assert collect_command.hand_in(an_api(conductor), "suite", f"{tmp_path}/*.xml") == 76
    assert list(conductor.junit) == ["b.xml"]
    assert "a.xml: 15 bytes are more than" in capsys.readouterr().err
    assert conductor.missing == "a.xml: 15 bytes are more than the 0 MiB allowed"


def test_more_files_than_are_read_are_told(conductor, tmp_path, monkeypatch):
    monkeypatch.setattr(collect_command, "MAX_FILES", 2)
    monkeypatch.setattr(collect_command, "MAX_FILE_BYTES", 10)
    write(tmp_path, {"a.xml": "<a>too long</a>", "b.xml": "<b/>", "c.xml": "<c/>", "d.xml": ""})
    assert collect_command.hand_in(an_api(conductor), "suite", f"{tmp_path}/*.xml") == 76
    assert list(conductor.junit) == ["b.xml"]
    assert conductor.missing == (
        "4 files match, and 2 are read at most (and 1 more: a.xml: 15 bytes are more than the 0"
        " MiB allowed)"
    )


@pytest.mark.parametrize("target", ["fifo", "/dev/zero"])
def test_what_only_looks_like_a_file_does_not_keep_the_collector(
    conductor, tmp_path, capsys, target
):
    if target == "fifo":
        os.mkfifo(tmp_path / "a.xml")
    else:
        (tmp_path / "a.xml").symlink_to(target)
    (tmp_path / "b.xml").write_text("<b/>")
    assert collect_command.hand_in(an_api(conductor), "suite", f"{tmp_path}/*.xml") == 76
    assert conductor.junit == {"b.xml": b"<b/>"}
    assert "a.xml: is no regular file" in capsys.readouterr().err


def test_the_collector_waits_for_the_kubelet(conductor, tmp_path):
    write(tmp_path, {"a.xml": "<a/>"})
    command = [sys.executable, "-m", "seatrial_runner", "collect", "--junit", f"{tmp_path}/*.xml"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=conductor.environment()
    )
    with process:
        assert "waits for the test's end" in process.stderr.readline()
        gate_command.wait_for_collector(str(tmp_path))
        assert conductor.junit == {}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert conductor.junit == {"a.xml": b"<a/>"}


def test_nothing_starts_until_the_collector_would_notice_its_end(conductor, pod, tmp_path):
    write(tmp_path, {"a.xml": "<a/>"})
    runner = [sys.executable, "-m", "seatrial_runner"]
    environ = conductor.environment()
    gate = subprocess.Popen([*runner, "gate", "--collector", str(tmp_path)], env=environ)
    with gate:
        with pytest.raises(subprocess.TimeoutExpired):
            gate.wait(timeout=0.5)
        collect = subprocess.Popen(
            [*runner, "collect", "--junit", f"{tmp_path}/*.xml"], env=environ
        )
        with collect:
            assert gate.wait(timeout=60) == 0
            collect.send_signal(signal.SIGTERM)
            assert collect.wait(timeout=60) == 0
    assert conductor.junit == {"a.xml": b"<a/>"}
    assert os.listdir(tmp_path) == ["a.xml"]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("test_a.py", "test_a.py"),
        ("pkg__test_a.py", "pkg/test_a.py"),
        ("a__b__test_c.py", "a/b/test_c.py"),
        ("__init__.py", "__init__.py"),
        ("pkg____init__.py", "pkg/__init__.py"),
        ("conftest.py", "conftest.py"),
    ],
)
def test_a_key_stands_for_a_path(key, path):
    assert path_of(key) == path


def test_a_mounted_configmap_becomes_plain_files(tmp_path):
    # As the kubelet mounts it: links through a hidden folder.
    mount, data = tmp_path / "suite", tmp_path / "suite" / "..2026"
    write(data, {"test_a.py": "a", "pkg__test_b.py": "b"})
    (mount / "..data").symlink_to("..2026")
    for name in ("test_a.py", "pkg__test_b.py"):
        (mount / name).symlink_to(f"..data/{name}")
    assert lay_out(mount, tmp_path / "out") == ["pkg/test_b.py", "test_a.py"]
    assert (tmp_path / "out/pkg/test_b.py").read_text() == "b"
    assert not (tmp_path / "out/test_a.py").is_symlink()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (["a__b.py", "a"], "to be both a file and a folder"),
        (None, "is not there: is the suite's ConfigMap mounted?"),
    ],
)
def test_a_suite_that_cannot_be_laid_out_is_told(tmp_path, keys, problem):
    mount = tmp_path / "suite"
    if keys:
        write(mount, dict.fromkeys(keys, ""))
    with pytest.raises(SuiteError, match=problem):
        lay_out(mount, tmp_path / "out")


def run_suite(conductor, folder, files, *arguments):
    write(folder / "suite", files)
    quiet = ["-pno:asyncio", "-pno:hypothesispytest", "-pno:anyio", "-Werror"]
    return run_python(
        ["-c", RUN_SUITE, str(folder / "suite"), "--", *quiet, *arguments],
        folder,
        conductor.environment(),
    )


def test_a_suite_runs_when_its_turn_has_come_and_says_when_it_is_done(conductor, tmp_path):
    conductor.open_after, conductor.outages, conductor.attempt = 1, 2, 3
    files = {
        "conftest.py": "import os\nassert os.environ['SEATRIAL_ATTEMPT'] == '3'\n",
        "pkg__test_a.py": "def test_a(tmp_path, services): open('made', 'w').close()\n",
        "test_b.py": "def test_b(): pass\n",
    }
    done = run_suite(conductor, tmp_path, files, "-k", "test_a")
    assert done.returncode == 0, done.stdout
    assert conductor.finished == [
        {"shard": 0, "attempt": 3, "exitCode": 0, "collected": 1, "message": ""}
    ]
    assert list(conductor.cases()) == ["pkg/test_a.py::test_a"]
    assert [path.name for path in (tmp_path / "suite").iterdir() if path.name == "made"] == []


def test_what_failed_is_run_again_with_fresh_modules(conductor, tmp_path):
    conductor.answers_to_finished = [{"retry": True, "attempt": 2}]
    files = {
        "shared.py": "seen = []\n",
        "test_a.py": (
            "import os, shared\n"
            "def test_good(): shared.seen.append(1)\n"
            "def test_bad():\n"
            "    assert os.environ['SEATRIAL_ATTEMPT'] == '2' and not shared.seen\n"
        ),
    }
    done = run_suite(conductor, tmp_path, files)
    assert done.returncode == 0, done.stdout
    assert conductor.cases(1)["test_a.py::test_bad"]["outcome"] == "failed"
    assert {k: v["outcome"] for k, v in conductor.cases(2).items()} == {
        "test_a.py::test_bad": "passed"
    }
    assert [body["attempt"] for body in conductor.finished] == [1, 2]


def test_what_is_left_to_chance_is_of_the_seed_of_the_run(conductor, tmp_path, monkeypatch):
    conductor.answers_to_finished = [{"retry": True, "attempt": 2}]
    environment = conductor.environment(SEATRIAL_SEED="as-before")
    monkeypatch.setattr(conductor, "environment", lambda: environment)
    test = "def test_a(pytestconfig): assert pytestconfig.getoption('--seatrial-seed') == '7'\n"
    assert run_suite(conductor, tmp_path, {"test_a.py": test}).returncode == 1
    told = [conductor.cases(attempt)["test_a.py::test_a"]["message"] for attempt in (1, 2)]
    assert "'as-before' == '7'" in told[0]
    assert "'as-before.2' == '7'" in told[1]  # what is unique must be so in another attempt
    given = run_suite(conductor, tmp_path / "given", {"test_a.py": test}, "--seatrial-seed=7")
    assert given.returncode == 0, given.stdout


def test_results_are_sent_again_to_a_conductor_that_lost_them(conductor, tmp_path):
    conductor.answers_to_finished = [{"retry": False, "resend": True}]
    run_suite(conductor, tmp_path, {"test_a.py": "def test_a(): pass\n"})
    assert len(conductor.results) == 2
    assert conductor.results[0] == conductor.results[1]
    assert len(conductor.finished) == 2


def test_a_suite_that_kills_its_process_is_told(conductor, tmp_path):
    text = "import os, signal\ndef test_a(): os.kill(os.getpid(), signal.SIGKILL)\n"
    run_suite(conductor, tmp_path, {"test_a.py": text})
    [ended] = conductor.finished
    assert ended["exitCode"] == -9
    assert ended["message"] == "pytest ended without a result: killed by SIGKILL (out of memory?)"


def test_a_suite_that_is_not_there_is_told(conductor, tmp_path):
    arguments = ["-c", RUN_SUITE, str(tmp_path / "none")]
    done = run_python(arguments, tmp_path, conductor.environment())
    assert done.returncode == 2
    [ended] = conductor.finished
    assert "the suite cannot be laid out" in ended["message"]


def test_a_suite_whose_turn_never_comes_is_not_run(conductor, tmp_path):
    conductor.cancelled = True
    done = run_suite(conductor, tmp_path, {"test_a.py": "def test_a(): pass\n"})
    assert done.returncode == 75
    assert "the run ends without test 'suite'" in done.stdout
    assert conductor.finished == []
