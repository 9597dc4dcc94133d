"""Whatever a scenario is made of: it ends in time, is told as a result, and its teardown runs."""

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seatrial_runner.scenario import expand, run_instance
from seatrial_runner.scenario.branches import MAX_THREADS
from seatrial_runner.scenario.engine import TEARDOWN_S
from seatrial_runner.scenario.flow import MAX_RESULTS, MAX_TROUBLES

from tests.support.examples import examples
from tests.support.scenarios import FakeTime, FaultsByName, a_world

NAMES = ("a", "b", "item", "in", "response", "a-b")
EXPRESSIONS = (
    "true", "false", "1", "a == 1", "a + 1", "item", "index", "nope", "[1, 2, 3]", "[]", "'x'",
    "outputs.a", "hasShape(a, 'int')", "now > now", "1 +", "duration('1s')", "size(a) > 0",
)  # fmt: skip
DURATIONS = ("10ms", "1s", "3s", "1h")

_names = st.sampled_from(NAMES)
_expressions = st.sampled_from(EXPRESSIONS)
_durations = st.sampled_from(DURATIONS)
_leaves = st.one_of(
    st.fixed_dictionaries({"expect": st.lists(_expressions, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"set": st.dictionaries(_names, _expressions, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"fault": st.just({"start": "good"}) | st.just({"stop": "broken"})}),
    st.fixed_dictionaries({"snapshot": st.fixed_dictionaries({"value": _expressions})}),
)
_calls = st.fixed_dictionaries(
    {
        "scenario": st.fixed_dictionaries(
            {"name": st.sampled_from(["one", "other", "none"])},
            optional={"with": st.dictionaries(_names, st.sampled_from([1, "{{ a }}", "{{"]))},
        )
    }
)
_repetitions = st.one_of(
    st.fixed_dictionaries(
        {
            "eventually": st.fixed_dictionaries(
                {"within": _durations}, optional={"every": _durations}
            )
        }
    ),
    st.fixed_dictionaries(
        {"always": st.fixed_dictionaries({"for": _durations}, optional={"every": _durations})}
    ),
    st.fixed_dictionaries({"repeat": st.fixed_dictionaries({"times": st.integers(1, 4)})}),
    st.fixed_dictionaries(
        {
            "repeat": st.fixed_dictionaries(
                {"until": _expressions, "atMost": st.integers(1, 5)}, optional={"every": _durations}
            )
        }
    ),
    st.fixed_dictionaries(
        {"repeat": st.fixed_dictionaries({"while": _expressions, "atMost": st.integers(1, 5)})}
    ),
    st.fixed_dictionaries(
        {
            "forEach": st.fixed_dictionaries(
                {"in": _expressions}, optional={"item": _names, "parallelism": st.integers(1, 5)}
            )
        }
    ),
    st.just({}),
)
_more = st.fixed_dictionaries(
    {},
    optional={
        "when": _expressions,
        "retries": st.integers(0, 2),
        "capture": st.dictionaries(_names, _expressions, max_size=1),
        "name": st.text(max_size=5),
    },
)


def _repeated(steps):
    return st.builds(
        lambda *parts: {k: v for p in parts for k, v in p.items()}, steps, _repetitions, _more
    )


def _nested(inner):
    lists = st.lists(inner, min_size=1, max_size=3)
    groups = st.fixed_dictionaries({"steps": lists})
    branches = st.lists(st.fixed_dictionaries({"steps": lists}), min_size=1, max_size=3)
    return _repeated(groups | st.fixed_dictionaries({"parallel": branches}))


steps = st.recursive(_repeated(_leaves | _calls), _nested, max_leaves=8)
scenarios = st.lists(steps, min_size=1, max_size=3)
called = st.builds(
    lambda one, other: [
        {"name": "one", "inputs": {"a": {"default": 1}}, "steps": one, "outputs": {"a": "a"}},
        {"name": "other", "inputs": {"b": {}}, "steps": other},
    ],
    scenarios,
    scenarios,
)


@settings(max_examples=examples(80), deadline=None)
@given(scenario=scenarios, setup=st.none() | scenarios, others=called)
def test_any_scenario_ends_in_time_and_is_torn_down(scenario, setup, others):
    time, faults = FakeTime(), FaultsByName("broken")
    test = {
        "name": "any",
        "timeout": "30s",
        "scenario": scenario,
        "setup": setup or [],
        "teardown": [{"expect": ["false"]}, {"fault": {"stop": "torn-down"}}],
    }
    threads = set(threading.enumerate())
    [instance] = expand(test, others)
    result = run_instance(instance, a_world(time=time, faults=faults))
    assert result.outcome in ("failed", "error")  # at least the teardown fails
    assert faults.orders.count("stop torn-down") == 1
    assert time.seconds <= 30 + TEARDOWN_S
    assert "the engine broke" not in result.details
    assert "Traceback" not in result.details
    assert json.loads(json.dumps(result.to_json())) == result.to_json()
    assert len(result.steps) <= 8 * (MAX_RESULTS + MAX_TROUBLES)
    assert all(step.outcome in ("passed", "failed", "error", "skipped") for step in result.steps)
    assert set(threading.enumerate()) <= threads  # of a test before, some may have ended


@settings(max_examples=examples(30), deadline=None)
@given(scenario=scenarios, others=called, tick=st.sampled_from([0.1, 1.0]))
def test_a_clock_that_runs_on_ends_any_scenario(scenario, others, tick):
    """Every look at the clock takes time: nothing may go on without looking."""
    time = FakeTime(tick=tick)
    [instance] = expand({"name": "any", "timeout": "20s", "scenario": scenario}, others)
    result = run_instance(instance, a_world(time=time))
    # What is under way when the time is over still writes its results, each with looks of its own.
    assert time.seconds <= 20 + 200 * tick * 4
    assert "the engine broke" not in result.details


def test_a_bug_of_ours_is_told_and_the_teardown_runs(monkeypatch):
    from seatrial_runner.scenario import flow

    def broken(*_):
        raise ZeroDivisionError

    faults = FaultsByName()
    monkeypatch.setattr(flow, "act", broken)
    [instance] = expand(
        {
            "name": "x",
            "scenario": [{"expect": ["true"]}],
            "teardown": [{"steps": [{"fault": {"stop": "x"}}]}],
        }
    )
    result = run_instance(instance, a_world(faults=faults))
    assert result.outcome == "error"
    assert "the engine broke: ZeroDivisionError" in result.message
    assert [step.name for step in result.steps][-1] == "teardown > group > stop fault x"


def test_at_most_so_many_threads_run():
    most = []

    class Counting(FaultsByName):
        def start(self, name):
            most.append(threading.active_count())

    loop = {"in": str(list(range(40))), "parallelism": 16}
    step = {"forEach": loop, "steps": [{"forEach": loop, "fault": {"start": "x"}}]}
    before = threading.active_count()
    result = run_steps_with(step, Counting())
    assert result.outcome == "passed", result.message
    assert max(most) - before <= MAX_THREADS
    assert len(most) == 1600


def run_steps_with(step, faults):
    [instance] = expand({"name": "x", "scenario": [step]})
    return run_instance(instance, a_world(faults=faults))


@pytest.mark.parametrize("word", ["eventually", "always"])
def test_a_group_that_hangs_in_a_try_is_bounded_by_the_tests_time(word):
    time = FakeTime()
    inner = {"expect": ["false"], "eventually": {"within": "1h"}}
    when = {"within": "1h"} if word == "eventually" else {"for": "1h"}
    [instance] = expand(
        {"name": "x", "timeout": "7s", "scenario": [{word: when, "steps": [inner]}]}
    )
    result = run_instance(instance, a_world(time=time))
    assert "the test's time (7 s) is over" in result.message
    assert time.seconds == 7
