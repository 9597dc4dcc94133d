"""In a test pod: every result goes to the conductor, whatever happens on the way."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.conductor.cases import read_case
from seatrial_runner.runner import delivery
from seatrial_runner.runner.conductor_api import ConductorApi
from seatrial_runner.runner.delivery import Delivery
from seatrial_runner.runner.sharding import is_ours, is_wanted
from seatrial_runner.scenario.kinds import message

from tests.support.fake_conductor import TOKEN, FakeConductor
from tests.support.loopback import Loopback
from tests.support.suites import run_pytest, write

pytest_plugins = ["pytester"]

SUITE = """
import pytest

def test_passes(record_property):
    record_property("ticket", 7)

def test_fails():
    print("out")
    assert 1 == 2, "one is not two"

@pytest.mark.parametrize("sku", ["A1", "ü/["])
def test_each(sku):
    pass

@pytest.mark.skip(reason="not today")
def test_skipped():
    pass

@pytest.mark.xfail(reason="known")
def test_known():
    assert False

@pytest.mark.xfail(strict=True)
def test_mended():
    pass

@pytest.fixture
def broken():
    raise ConnectionError("no database")

@pytest.fixture
def untidy():
    yield
    raise ValueError("left over")

def test_setup(broken):
    pass

def test_teardown(untidy):
    pass
"""

FAILS = "scenario: [{http: {get: 'http://orders/y'}, expect: ['false']}]"


@pytest.fixture
def conductor():
    with FakeConductor() as each:
        yield each


def test_every_outcome_is_reported(pytester, conductor):
    write(pytester.path, {"test_it.py": SUITE})
    run_pytest(pytester, environment=conductor.environment(SEATRIAL_SHARD="0"))
    found = {
        case["id"].removeprefix("test_it.py::"): (case["outcome"], case["message"])
        for case in conductor.cases().values()
    }
    assert found == {
        "test_passes": ("passed", ""),
        "test_fails": ("failed", "AssertionError: one is not two"),
        "test_each[A1]": ("passed", ""),
        "test_each[\\xfc/[]": ("passed", ""),
        "test_skipped": ("skipped", "not today"),
        "test_known": ("skipped", "expected to fail: known"),
        "test_mended": ("failed", "[XPASS(strict)]"),
        "test_setup": ("error", "in setup: ConnectionError: no database"),
        "test_teardown": ("error", "in teardown: ValueError: left over"),
    }


def test_a_case_has_what_a_person_needs(pytester, conductor):
    write(pytester.path, {"test_it.py": SUITE})
    run_pytest(pytester, environment=conductor.environment(SEATRIAL_ATTEMPT="2"))
    cases = conductor.cases()
    failed, passed = cases["test_it.py::test_fails"], cases["test_it.py::test_passes"]
    assert "E       AssertionError: one is not two" in failed["details"]
    assert "Captured stdout call:\nout" in failed["details"]
    assert (failed["file"], failed["line"], failed["attempt"]) == ("test_it.py", 6, 2)
    assert failed["startedAt"] <= failed["finishedAt"]
    assert passed["properties"] == {"ticket": "7"}
    assert passed["details"] == ""
    assert {body["attempt"] for body in conductor.results} == {2}


def test_scenarios_are_reported_with_their_details_and_requests(pytester, conductor):
    write(
        pytester.path,
        {
            "test_s.yaml": """
            scenario:
            - http: {get: "http://orders/x"}
              retries: 1
              expect: ["response.status == 200"]
            """
        },
    )
    with Loopback() as system:
        system.answer("GET /x", status=500, json={})
        system.answer("GET /x", status=200, json={})
        option = f"--service=orders={system.url}"
        run_pytest(pytester, option, environment=conductor.environment())
        write(pytester.path, {"test_s.yaml": FAILS})
        run_pytest(pytester, option, environment=conductor.environment(SEATRIAL_ATTEMPT="2"))
    first, second = conductor.cases(1)["test_s.yaml::s"], conductor.cases(2)["test_s.yaml::s"]
    assert (first["outcome"], first["properties"].get("flaky"), first["requests"]) == (
        "passed",
        "true",
        2,
    )
    assert second["outcome"] == "failed"
    assert second["message"].startswith("step 1 of 1 (GET http://orders/y): expected")
    assert "Response:\n  404" in second["details"]
    assert len(conductor.requests) == 3


TOLD = """
scenario:
- message: {to: events, topic: orders, json: {id: 1}}
- message: {from: events, topic: orders}
"""
BROKER = """
from seatrial_runner.scenario.kinds import message
from tests.support.fake_broker import FakeBroker

broker = FakeBroker()
message.adapter = lambda url, tls: broker
"""


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_the_messages_of_a_scenario_are_reported(pytester, conductor, monkeypatch, workers):
    monkeypatch.setattr(message, "adapter", message.adapter)  # taken back, whoever replaces it
    root = str(Path(__file__).parents[2])
    write(pytester.path, {"test_s.yaml": TOLD, "conftest.py": BROKER})
    environment = conductor.environment(
        SEATRIAL_CONNECTIONS='{"events": "kafka://broker:9092"}', PYTHONPATH=root
    )
    done = run_pytest(pytester, workers, "-rA", environment=environment)
    case = conductor.cases()["test_s.yaml::s"]
    assert case["outcome"] == "passed", done.stdout
    assert read_case(case)["messages"]["messages"][0]["text"] == '{"id": 1}'
    if workers == "-n0":
        assert "Messages recorded: 1" in done.stdout


def test_a_file_that_cannot_be_collected_is_reported(pytester, conductor):
    write(
        pytester.path,
        {"test_bad.py": "import nope\n", "test_odd.yaml": "scenario: [{}]\n", "test_ok.py": SUITE},
    )
    run_pytest(pytester, environment=conductor.environment())
    cases = conductor.cases()
    assert set(cases) == {"test_bad.py", "test_odd.yaml"}
    bad, odd = cases["test_bad.py"], cases["test_odd.yaml"]
    assert bad["outcome"] == odd["outcome"] == "error"
    assert bad["message"] == "not collected: ModuleNotFoundError: No module named 'nope'"
    assert odd["message"].startswith("not collected: test_odd.yaml: scenario[0]: a step needs")


def test_details_and_output_are_bounded(pytester, conductor):
    text = "def test_it():\n    print('x' * 1_000_000)\n    assert 'y' * 1_000_000 == ''\n"
    write(pytester.path, {"test_it.py": text})
    run_pytest(pytester, "-vv", environment=conductor.environment())
    case = conductor.cases()["test_it.py::test_it"]
    assert len(case["details"].encode()) <= 16 * 1024
    assert len(case["message"]) <= 500


def test_a_restart_of_the_conductor_loses_nothing(pytester, conductor):
    write(pytester.path, {"test_it.py": SUITE})
    conductor.outages = 3
    done = run_pytest(pytester, environment=conductor.environment())
    assert len(conductor.cases()) == 9
    assert done.returncode == 1


def test_results_that_cannot_be_handed_in_are_told_by_the_exit_status(pytester, conductor):
    write(pytester.path, {"test_it.py": "def test_it(): pass\n"})
    conductor.refuse = "this run has ended"
    outcome = pytester.path / "outcome.json"
    environment = conductor.environment(SEATRIAL_OUTCOME_FILE=str(outcome))
    done = run_pytest(pytester, environment=environment)
    assert done.returncode == 76
    problem = "1 results could not be handed in: POST /v1/tests/suite/results: this run has ended"
    assert f"seatrial: {problem}" in done.stdout
    told = json.loads(outcome.read_text())
    assert (told["lost"], told["message"], told["collected"]) == (1, problem, 1)


def test_without_a_conductor_nothing_is_reported(pytester, conductor):
    write(pytester.path, {"test_it.py": "def test_it(): pass\n"})
    assert run_pytest(pytester).returncode == 0
    assert conductor.asked == []


def test_workers_of_xdist_report_through_their_controller(pytester, conductor):
    write(pytester.path, {"test_it.py": SUITE})
    outcome = pytester.path / "outcome.json"
    environment = conductor.environment(SEATRIAL_OUTCOME_FILE=str(outcome))
    done = run_pytest(pytester, "-n2", environment=environment)
    assert len(conductor.cases()) == 9, done.stdout
    assert sum(len(body["cases"]) for body in conductor.results) == 9
    assert json.loads(outcome.read_text())["collected"] == 9


def test_shards_share_the_tests_and_repeat_none(pytester, conductor):
    write(pytester.path, {"test_it.py": SUITE})
    for shard in ("0", "1", "2"):
        environment = conductor.environment(SEATRIAL_SHARD=shard, SEATRIAL_SHARDS="3")
        run_pytest(pytester, environment=environment)
    by_shard = {0: set(), 1: set(), 2: set()}
    for body in conductor.results:
        by_shard[body["shard"]] |= {case["id"] for case in body["cases"]}
    assert len(conductor.cases()) == sum(map(len, by_shard.values())) == 9


def test_a_shard_without_tests_ends_well(pytester, conductor):
    write(pytester.path, {"test_it.py": "def test_it(): pass\n"})
    statuses = [
        run_pytest(
            pytester,
            environment=conductor.environment(SEATRIAL_SHARD=shard, SEATRIAL_SHARDS="2"),
        ).returncode
        for shard in ("0", "1")
    ]
    assert statuses == [0, 0]
    assert list(conductor.cases()) == ["test_it.py::test_it"]


def test_a_suite_without_tests_does_not(pytester, conductor):
    assert run_pytest(pytester, environment=conductor.environment()).returncode == 5


def test_a_further_attempt_runs_what_failed(pytester, conductor):
    write(pytester.path, {"test_it.py": SUITE, "test_other.py": "def test_it(): pass\n"})
    only = pytester.path / "only.json"
    only.write_text(json.dumps(["test_it.py::test_fails", "test_other.py"]))
    run_pytest(pytester, environment=conductor.environment(SEATRIAL_ONLY_FILE=str(only)))
    assert set(conductor.cases()) == {"test_it.py::test_fails", "test_other.py::test_it"}


@given(st.text(), st.integers(1, 20))
def test_each_test_belongs_to_one_shard(node_id, shards):
    assert sum(is_ours(node_id, shard, shards) for shard in range(shards)) == 1


def test_shards_are_the_same_everywhere():
    # A known value: another Python, or another hash, must not move tests between pods.
    assert is_ours("test_it.py::test_each[A1]", 0, 3)
    assert is_ours("test_it.py::test_each[B2]", 2, 3)


def test_a_test_is_wanted_by_its_id_or_its_file():
    assert is_wanted("a.py::t[1]", ["a.py::t[1]"])
    assert not is_wanted("a.py::t[1]", ["a.py::t[2]", "b.py"])
    assert is_wanted("b.py::t", ["b.py"])


def test_a_queue_is_sent_in_batches_and_in_order(conductor, monkeypatch):
    monkeypatch.setattr(delivery, "GATHER_S", 0.0)
    api = ConductorApi(conductor.url, TOKEN)
    queue = Delivery(
        api, "/v1/requests", lambda batch: {"requests": batch}, max_batch=7, patience_s=9
    )
    for number in range(50):
        queue.put({"n": number})
    assert queue.close() == 0
    assert [request["n"] for request in conductor.requests] == list(range(50))
    assert all(len(asked.json()["requests"]) <= 7 for asked in conductor.asked)
