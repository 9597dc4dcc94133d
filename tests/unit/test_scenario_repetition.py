"""``eventually`` and ``retries``: how often, how long, and what is told in the end."""

import pytest
from seatrial_runner.scenario import World, repetition

from tests.support.loopback import Loopback
from tests.support.scenarios import FakeTime, a_world, get, run_steps


@pytest.fixture
def system():
    with Loopback() as each:
        yield each


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    """What a try may take is real time: a service on a busy machine gets enough of it."""
    monkeypatch.setattr(repetition, "LEAST_TRY_S", 30.0)


def orders(system, *states):
    for state in states:
        system.answer("GET /orders/1", json={"status": state})


PAID = ["response.json.status == 'paid'"]


def test_a_step_is_tried_until_it_holds(system):
    orders(system, "new", "new", "paid")
    time = FakeTime()
    step = {
        "http": get(),
        "eventually": {"within": "10s"},
        "expect": PAID,
        "capture": {"s": "response.json.status"},
    }
    result = run_steps([step, {"expect": ["s == 'paid'"]}], a_world(system.url, time))
    assert (result.outcome, result.steps[0].tries, result.flaky) == ("passed", 3, False)
    assert time.slept == [0.05, 0.1]


def test_pauses_grow_to_a_second(system):
    orders(system, "new")
    time = FakeTime()
    run_steps(
        [{"http": get(), "eventually": {"within": "4s"}, "expect": PAID}], a_world(system.url, time)
    )
    assert time.slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 0.45]


def test_pauses_are_as_long_as_every_says(system):
    orders(system, "new")
    time = FakeTime()
    eventually = {"within": "1s", "every": "300ms"}
    run_steps(
        [{"http": get(), "eventually": eventually, "expect": PAID}], a_world(system.url, time)
    )
    assert time.slept == [0.3, 0.3, 0.3, 0.1]


def test_in_the_end_the_last_observation_is_told(system):
    orders(system, "new", "sent")
    step = {"http": get(), "eventually": {"within": "500ms", "every": "250ms"}, "expect": PAID}
    result = run_steps([step], a_world(system.url, FakeTime()))
    assert result.message.endswith(
        "not within 500ms (3 tries in 0.5 s): expected response.json.status == 'paid',"
        ' but response.json.status is "sent"'
    )
    assert "The last of 3 tries in 0.5 s:" in result.details
    assert '"status": "sent"' in result.details
    assert "(3 tries)" in result.details


def test_refused_connections_are_tried_again():
    step = {"http": get(), "eventually": {"within": "200ms", "every": "100ms"}}
    result = run_steps([step], a_world(time=FakeTime()))
    assert "not within 200ms (3 tries in 0.2 s): connection refused" in result.message


@pytest.mark.parametrize(
    "broken",
    [
        {"expect": ["response.status = 200"]},
        {"expect": ["order == 1"]},
        {"http": get("/{{ order }}")},
        {"capture": {"x": "nope"}},
        {"capture": {"env": "1"}},
    ],
)
def test_what_no_time_can_mend_fails_at_once(system, broken):
    orders(system, "new")
    step = {"http": get(), "eventually": {"within": "1h"}, "retries": 5, **broken}
    result = run_steps([step], a_world(system.url, FakeTime()))
    assert (result.outcome, result.steps[0].tries, result.steps[0].attempts) == ("failed", 1, 1)
    assert "not within" not in result.message


def test_a_try_that_hangs_does_not_hide_what_was_seen(system, monkeypatch):
    monkeypatch.setattr(repetition, "LEAST_TRY_S", 0.1)
    time = FakeTime()
    system.answer("GET /orders/1", json={"status": "new"})
    # The second try comes at the end of ``within`` and has LEAST_TRY_S of it: it sees nothing.
    system.serve = _hang_from_second(system)
    step = {
        "http": get(timeout="1h"),
        "eventually": {"within": "30s", "every": "30s"},
        "expect": PAID,
    }
    result = run_steps([step], a_world(system.url, time))
    assert 'response.json.status is "new"' in result.message
    assert "2 tries" in result.message


def _hang_from_second(system):
    answer = type(system).serve.__get__(system)
    seen = []

    def serve(handler):
        seen.append(handler)
        if len(seen) == 1:
            answer(handler)
        else:
            handler.rfile.read(1)  # until the client gives up

    return serve


def test_a_retry_that_passes_makes_the_test_flaky(system):
    orders(system, "new", "paid")
    result = run_steps([{"http": get(), "expect": PAID, "retries": 2}], a_world(system.url))
    assert (result.outcome, result.flaky, result.steps[0].attempts) == ("passed", True, 2)
    assert result.to_case()["properties"]["flaky"] == "true"


def test_retries_come_to_an_end(system):
    orders(system, "new")
    result = run_steps([{"http": get(), "expect": PAID, "retries": 2}], a_world(system.url))
    assert (result.outcome, result.requests, result.flaky) == ("failed", 3, False)
    assert "(3 attempts)" in result.details


def test_the_time_of_the_test_ends_eventually(system):
    orders(system, "new")
    step = {"http": get(), "eventually": {"within": "1h"}, "expect": PAID, "retries": 3}
    result = run_steps([step], a_world(system.url, FakeTime()), timeout="3s")
    assert "the test's time (3 s) is over: not within 1h" in result.message
    assert result.steps[0].attempts == 1


def test_no_step_begins_after_the_time_of_the_test():
    time = FakeTime(tick=1.0)
    result = run_steps([{"expect": ["true"]}] * 9, a_world(time=time), timeout="10s")
    assert "the test's time (10 s) is over: it could not begin" in result.message


def test_the_callers_deadline_counts_too():
    time = FakeTime(tick=1.0)
    world = World(now=time.now, monotonic=time.monotonic, sleep=time.sleep, deadline=3.0)
    result = run_steps([{"expect": ["true"]}] * 9, world)
    assert result.outcome == "failed"
    assert "is over: it could not begin" in result.message
