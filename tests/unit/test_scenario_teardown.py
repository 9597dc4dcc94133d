"""Setup and teardown: what decides, and that a teardown runs whatever happens."""

import _thread
import json
import signal
import threading

import pytest
from seatrial_runner.scenario import expand, run_instance
from seatrial_runner.scenario.engine import TEARDOWN_S

from tests.support.loopback import Loopback
from tests.support.scenarios import FakeTime, FaultsByName, a_world, get, run_steps

GOOD, BAD = {"expect": ["true"]}, {"expect": ["1 == 2"]}


@pytest.fixture
def system():
    with Loopback() as each:
        each.answer("DELETE /orders/7", json={})
        each.answer("POST /orders", json={"id": 7})
        yield each


CREATE = {"http": {"post": "http://orders:8080/orders"}, "capture": {"order": "response.json.id"}}
DELETE = {"http": {"delete": "http://orders:8080/orders/{{ order }}"}}


def deleted(system):
    return [each.path for each in system.asked if each.method == "DELETE"]


@pytest.mark.parametrize(
    ("test", "outcome", "message"),
    [
        ({"scenario": [GOOD]}, "passed", ""),
        ({"scenario": [BAD]}, "failed", "step 1 of 1 (expect): expected 1 == 2, but it is false"),
        (
            {"setup": [BAD], "scenario": [GOOD]},
            "error",
            "setup: step 1 of 1 (expect): expected 1 == 2, but it is false",
        ),
        (
            {"scenario": [GOOD], "teardown": [GOOD, BAD]},
            "error",
            "teardown: step 2 of 2 (expect): expected 1 == 2, but it is false",
        ),
        (
            {"scenario": [BAD], "teardown": [BAD]},
            "failed",
            "step 1 of 1 (expect): expected 1 == 2, but it is false",
        ),
    ],
)
def test_what_decides(test, outcome, message):
    [instance] = expand({"name": "x", **test})
    result = run_instance(instance, a_world())
    assert (result.outcome, result.message) == (outcome, message)


def test_a_teardown_that_fails_too_is_in_the_details():
    result = run_steps([BAD], teardown=[{"name": "clean", "expect": ["'dirty' == ''"]}])
    assert result.message.startswith("step 1 of 1 (expect)")
    assert "teardown: step 1 of 1 (clean): expected 'dirty' == ''" in result.details


@pytest.mark.parametrize("inner", [[BAD], [{"steps": [BAD]}], [{"http": get("/none")}, BAD]])
def test_a_teardown_sees_what_was_captured_before_the_failure(system, inner):
    group = {"steps": [{"steps": [CREATE]}, *inner]}
    result = run_steps([group], a_world(system.url), teardown=[DELETE])
    assert result.outcome == "failed"
    assert deleted(system) == ["/orders/7"]
    assert result.steps[-1].name.startswith("teardown > DELETE")


def test_a_teardown_sees_what_branches_and_loops_made_before_they_failed(system):
    made = {"steps": [CREATE, BAD]}
    teardown = [DELETE, {"expect": ["twice == [1, 2]"]}]
    loop = {"forEach": {"in": "[1, 2, 3]"}, "set": {"twice": "item"}, "expect": ["item < 2"]}
    result = run_steps(
        [{"parallel": [made, {"steps": [loop]}]}], a_world(system.url), teardown=[DELETE]
    )
    assert deleted(system) == ["/orders/7"]
    result = run_steps([CREATE, loop], a_world(system.url), teardown=teardown)
    assert result.outcome == "failed"
    assert result.steps[-1].outcome == "passed", result.details


def test_every_step_of_a_teardown_is_tried(system):
    result = run_steps([CREATE], a_world(system.url), teardown=[BAD, DELETE, BAD])
    assert deleted(system) == ["/orders/7"]
    assert result.outcome == "error"
    assert result.message == (
        "teardown: step 1 of 3 (expect): expected 1 == 2, but it is false (and 1 more)"
    )
    assert "teardown: step 3 of 3" in result.details


def test_after_a_time_out_a_teardown_has_time_of_its_own(system):
    time = FakeTime()
    wait = {"expect": ["false"], "eventually": {"within": "1h"}}
    result = run_steps([CREATE, wait], a_world(system.url, time), timeout="5s", teardown=[DELETE])
    assert "the test's time (5 s) is over" in result.message
    assert deleted(system) == ["/orders/7"]


def test_a_teardown_does_not_go_on_without_end():
    time = FakeTime()
    wait = {"expect": ["false"], "eventually": {"within": "1h"}}
    result = run_steps([GOOD], a_world(time=time), teardown=[wait, GOOD])
    assert result.outcome == "error"
    assert "the teardown's time (30 s) is over" in result.message
    assert time.seconds == TEARDOWN_S


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_lets_the_teardown_run_and_then_goes_on(system, stop):
    class Stopping(FaultsByName):
        def start(self, name):
            raise stop

    steps = [CREATE, {"fault": {"start": "x"}}, {"http": get("/never")}]
    world = a_world(system.url, faults=Stopping())
    with pytest.raises(stop):
        run_steps(steps, world, teardown=[DELETE])
    assert deleted(system) == ["/orders/7"]
    assert all(each.path != "/never" for each in system.asked)


@pytest.fixture
def ctrl_c():
    """Have SIGINT interrupt: a shell starts what is in its background with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_a_stop_ends_branches_that_still_run(system):
    """Ctrl-C comes while the main thread waits for a branch, which must not outlive it."""
    torn_down = threading.Event()
    system.answer("GET /waits", json={}, before=lambda: torn_down.wait(10))
    system.answer("GET /never", json={})
    system.answer("DELETE /all", json={}, before=torn_down.set)

    class Interrupting(FaultsByName):
        def start(self, name):
            _thread.interrupt_main()

    branches = [
        {"steps": [{"http": get("/waits")}, {"http": get("/never")}]},
        {"steps": [{"fault": {"start": "x"}}]},
    ]
    delete_all = {"http": {"delete": "http://orders:8080/all"}}
    world = a_world(system.url, faults=Interrupting())
    threads = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        run_steps([CREATE, {"parallel": branches}], world, teardown=[delete_all])
    for thread in set(threading.enumerate()) - threads:
        if thread.is_alive():  # a server's thread may only be on its way to be started
            thread.join(10)
    assert [each.path for each in system.asked][-1] != "/never"


def test_a_setup_runs_first_and_is_named():
    result = run_steps([{"expect": ["a == 1"]}], setup=[{"set": {"a": "1"}}])
    assert result.outcome == "passed", result.details
    assert [step.name for step in result.steps] == ["setup > set a", "expect"]


def test_results_are_json():
    result = run_steps([BAD], setup=[GOOD], teardown=[BAD])
    assert json.loads(json.dumps(result.to_json()))["outcome"] == "failed"
