"""Steps inside of steps: groups, loops and scenarios that are called."""

import threading

import pytest
from seatrial_runner.scenario import World, expand, repetition, run_instance

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


def names(result):
    return [step.name for step in result.steps]


def with_scenarios(steps, scenarios, **test):
    [instance] = expand({"name": "pays", "scenario": steps, **test}, scenarios)
    return run_instance(instance, a_world())


# Groups ------------------------------------------------------------------------------------------


def test_a_group_has_a_name_and_its_steps_see_and_define_what_all_do():
    group = {"name": "count", "steps": [{"set": {"b": "a + 1"}}, {"expect": ["b == 2"]}]}
    result = run_steps([{"set": {"a": "1"}}, group, {"expect": ["b == 2"]}])
    assert result.outcome == "passed", result.details
    assert names(result) == ["set a", "count", "count > set b", "count > expect", "expect"]


def test_a_failure_in_a_group_says_where():
    result = run_steps([{"steps": [{"expect": ["true"]}, {"steps": [{"expect": ["1 == 2"]}]}]}])
    assert result.message == (
        "step 1 of 1 (group): step 2 of 2 (group): step 1 of 1 (expect): expected 1 == 2,"
        " but it is false"
    )
    assert result.steps[-1].name == "group > group > expect"


def test_a_group_whose_when_is_false_does_nothing():
    result = run_steps([{"when": "false", "steps": [{"expect": ["false"]}]}])
    assert (result.outcome, len(result.steps)) == ("skipped", 1)


def test_a_group_in_which_every_step_is_skipped_is_skipped():
    result = run_steps([{"steps": [{"when": "false", "expect": ["true"]}]}])
    assert (result.outcome, result.steps[0].message) == ("skipped", "no step of it was carried out")


def test_a_group_is_tried_until_all_of_it_holds_and_tells_how_long_that_took(system):
    for status in ("new", "new", "paid"):
        system.answer("GET /orders/1", json={"status": status})
    group = {
        "name": "paid and seen",
        "eventually": {"within": "10s", "every": "2s"},
        "steps": [
            {"http": get(), "capture": {"order": "response.json"}},
            {"expect": ["order.status == 'paid'"]},
        ],
    }
    result = run_steps(
        [group, {"expect": ["order.status == 'paid'"]}], a_world(system.url, FakeTime())
    )
    assert result.outcome == "passed", result.details
    assert (result.steps[0].tries, result.steps[0].settled_s) == (3, 4.0)
    assert len(result.steps) == 4, "steps of the tries before are not shown"
    assert result.to_case()["properties"]["settled: paid and seen"] == "4.000s"


def test_a_group_that_never_holds_shows_the_last_try(system):
    system.answer("GET /orders/1", json={"status": "new"})
    group = {
        "eventually": {"within": "2s", "every": "1s"},
        "steps": [{"http": get(), "expect": ["response.json.status == 'paid'"]}],
    }
    result = run_steps([group], a_world(system.url, FakeTime()))
    assert "not within 2s (3 tries in 2.0 s): step 1 of 1 (GET" in result.message
    assert '"status": "new"' in result.details
    assert result.steps[0].settled_s is None


def test_a_try_begins_with_the_names_there_were_before_the_first(system):
    system.answer("GET /orders/1", json={"n": 1})
    system.answer("GET /orders/1", json={"n": 2})
    group = {
        "eventually": {"within": "10s"},
        "steps": [
            {"set": {"total": "total + 1"}},
            {"http": get(), "expect": ["response.json.n == 2"]},
        ],
    }
    steps = [{"set": {"total": "0"}}, group, {"expect": ["total == 1"]}]
    result = run_steps(steps, a_world(system.url, FakeTime()))
    assert result.outcome == "passed", result.details


def test_requests_of_a_group_have_no_more_time_than_the_try(system, monkeypatch):
    monkeypatch.setattr(repetition, "LEAST_TRY_S", 0.1)
    system.serve = lambda handler: handler.rfile.read(1)  # until the client gives up
    group = {"eventually": {"within": "100ms"}, "steps": [{"http": get(timeout="1h")}]}
    result = run_steps([group], a_world(system.url))
    assert result.outcome == "failed"
    assert "not within 100ms (1 try in " in result.message


# Always ------------------------------------------------------------------------------------------


def test_always_looks_at_the_beginning_at_the_end_and_between(system):
    system.answer("GET /orders/1", json={"ok": True})
    time = FakeTime()
    step = {
        "http": get(),
        "always": {"for": "1s", "every": "300ms"},
        "expect": ["response.json.ok"],
    }
    result = run_steps([step], a_world(system.url, time))
    assert (result.outcome, result.steps[0].tries) == ("passed", 5)
    assert time.slept == [0.3, 0.3, 0.3, 0.1]


def test_always_fails_at_the_first_violation_and_says_when(system):
    for ok in (True, True, False):
        system.answer("GET /orders/1", json={"ok": ok})
    step = {"http": get(), "always": {"for": "5s"}, "expect": ["response.json.ok"]}
    result = run_steps([step], a_world(system.url, FakeTime()))
    assert (
        "did not hold for 5s: at look 3, after 0.4 s: expected response.json.ok" in result.message
    )
    assert '"ok": false' in result.details
    assert len(system.asked) == 3


def test_always_around_a_group_fails_as_a_whole():
    group = {"always": {"for": "1s"}, "steps": [{"expect": ["1 == 2"]}]}
    result = run_steps([group], a_world(time=FakeTime()))
    assert "did not hold for 1s: at the first look, after 0.0 s: step 1 of 1" in result.message


def test_always_that_the_tests_time_cuts_short_is_no_pass():
    step = {"always": {"for": "1h", "every": "1s"}, "expect": ["true"]}
    result = run_steps([step], a_world(time=FakeTime()), timeout="3s")
    assert result.outcome == "failed"
    assert "the test's time (3 s) is over: it held for 3.0 s of 1h" in result.message


# Repeat ------------------------------------------------------------------------------------------


def test_a_step_is_repeated_and_each_round_sees_the_one_before():
    steps = [
        {"set": {"n": "0"}},
        {"repeat": {"times": 3}, "set": {"n": "n + index + 1"}},
        {"expect": ["n == 6"]},
    ]
    result = run_steps(steps)
    assert result.outcome == "passed", result.details


@pytest.mark.parametrize(
    ("loop", "n"), [({"until": "n >= 3"}, 3), ({"while": "n < 5"}, 5), ({"while": "n < 0"}, 0)]
)
def test_rounds_end_by_a_condition(loop, n):
    steps = [
        {"set": {"n": "0"}},
        {"repeat": loop, "set": {"n": "n + 1"}},
        {"expect": [f"n == {n}"]},
    ]
    result = run_steps(steps)
    assert result.outcome == "passed", result.details


@pytest.mark.parametrize(
    ("loop", "told"),
    [
        ({"until": "n < 0", "atMost": 4}, "until n < 0 was not true after 4 rounds: n is 4"),
        ({"while": "n >= 0", "atMost": 1}, "while n >= 0 was still true after 1 round"),
        ({"until": "n"}, "repeat: until: n is not true or false"),
        ({"while": "nope"}, "repeat: while: nothing is named 'nope'"),
        ({"times": 2, "index": "in"}, "repeat: 'in' is a word of CEL"),
    ],
)
def test_rounds_that_do_not_end_well_are_told(loop, told):
    result = run_steps([{"set": {"n": "0"}}, {"repeat": loop, "set": {"n": "n + 1"}}])
    assert result.outcome == "failed"
    assert told in result.message


def test_the_round_that_failed_is_told():
    result = run_steps([{"repeat": {"times": 5}, "steps": [{"expect": ["index < 2"]}]}])
    assert "round 3: step 1 of 1 (expect): expected index < 2, but index is 2" in result.message


def test_rounds_end_with_the_time_of_the_test():
    time = FakeTime()
    loop = {"until": "false", "atMost": 10_000, "every": "1s"}
    result = run_steps([{"repeat": loop, "expect": ["true"]}], a_world(time=time), timeout="5s")
    assert "the test's time (5 s) is over: round 6: it could not begin" in result.message
    assert time.seconds == 5


# For each ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallelism", [1, 3])
def test_what_a_loop_captures_becomes_a_list_in_order(parallelism):
    loop = {"in": "[3, 1, 2]", "item": "n", "parallelism": parallelism}
    steps = [
        {"forEach": loop, "set": {"twice": "n * 2"}, "expect": ["index >= 0"]},
        {"expect": ["twice == [6, 2, 4]"]},
    ]
    result = run_steps(steps)
    assert result.outcome == "passed", result.details
    assert names(result)[:3] == ["set twice", "set twice[0]", "set twice[1]"]


def test_names_that_were_there_go_on_from_element_to_element():
    steps = [
        {"set": {"total": "0"}},
        {"forEach": {"in": "[1, 2, 3]", "item": "n"}, "set": {"total": "total + n"}},
        {"expect": ["total == 6"]},
    ]
    result = run_steps(steps)
    assert result.outcome == "passed", result.details


def test_loops_inside_of_loops_keep_their_elements_apart():
    inner = {"forEach": {"in": "[10, 20]"}, "set": {"sum": "item + outer"}}
    steps = [
        {
            "forEach": {"in": "[1, 2]"},
            "steps": [{"set": {"outer": "item"}}, inner, {"expect": ["item == outer"]}],
        },
        {"expect": ["sum == [[11, 21], [12, 22]]", "outer == [1, 2]"]},
    ]
    result = run_steps(steps)
    assert result.outcome == "passed", result.details


def test_an_element_that_fails_is_named_and_ends_the_loop():
    result = run_steps(
        [{"forEach": {"in": "['a', 'b', 'c']", "item": "sku"}, "expect": ["sku != 'b'"]}]
    )
    assert result.message == (
        'step 1 of 1 (expect): sku[1] ("b"): expected sku != \'b\', but sku is "b"'
    )
    assert [step.outcome for step in result.steps[1:]] == ["passed", "failed"]


def test_every_element_at_the_same_time_that_fails_is_counted():
    loop = {"in": "[1, 2, 3]", "parallelism": 3}
    result = run_steps([{"forEach": loop, "expect": ["item == 2"]}])
    assert "item[0] (1): expected item == 2" in result.message
    assert result.message.endswith("(and 1 more)")


def test_elements_at_the_same_time_do_run_so(system):
    both = threading.Barrier(3, timeout=30)
    system.answer("GET /orders/1", json={}, before=both.wait)
    loop = {"in": "[1, 2, 3]", "parallelism": 3}
    result = run_steps([{"forEach": loop, "http": get()}], a_world(system.url))
    assert result.outcome == "passed", result.details


@pytest.mark.parametrize(
    ("loop", "told"),
    [
        ({"in": "1 + 1"}, "forEach: 1 + 1 is no list but int (2)"),
        ({"in": "nope"}, "forEach: nothing is named 'nope'"),
        ({"in": "[1]", "item": "services"}, "forEach: 'services' is a name of Seatrial's own"),
    ],
)
def test_a_loop_over_what_is_no_list_is_told(loop, told):
    result = run_steps([{"forEach": loop, "expect": ["true"]}])
    assert told in result.message


def test_elements_at_the_same_time_cannot_change_what_was_there():
    loop = {"in": "[1, 2]", "parallelism": 2}
    result = run_steps([{"set": {"n": "0"}}, {"forEach": loop, "set": {"n": "item"}}])
    assert "forEach: 'n' was there before, and elements at the same time cannot change it" in (
        result.message
    )


def test_a_loop_over_nothing_does_nothing():
    result = run_steps([{"forEach": {"in": "[]"}, "expect": ["false"]}])
    assert result.outcome == "passed"


def test_threads_are_bounded_however_branches_are_nested():
    def nest(depth):
        inner = [{"expect": ["true"]}] if depth == 0 else [{"parallel": nest(depth - 1)}]
        return [{"steps": inner} for _ in range(6)]

    result = run_steps([{"parallel": nest(2)}])
    assert "more than 24 branches would run at the same time" in result.message
    before = set(threading.enumerate())
    loop = {"in": "range", "parallelism": 16}
    steps = [
        {"set": {"range": str(list(range(16)))}},
        {"forEach": loop, "steps": [{"forEach": loop, "expect": ["true"]}]},
    ]
    assert run_steps(steps).outcome == "passed", "a loop makes do with what threads there are"
    assert set(threading.enumerate()) <= before  # of a test before, some may have ended


def test_results_of_long_loops_are_bounded():
    loop = {"in": str(list(range(2000)))}
    result = run_steps([{"forEach": loop, "expect": ["item < 1999"]}])
    assert len(result.steps) < 1200
    assert result.steps[-1].outcome == "failed"


# Scenarios that are called -----------------------------------------------------------------------

ADD = {
    "name": "add",
    "inputs": {"a": {}, "b": {"default": 10}},
    "steps": [{"set": {"sum": "a + b"}}],
    "outputs": {"sum": "sum", "took": "duration('1s')"},
}


def test_a_scenario_takes_inputs_and_gives_outputs():
    steps = [
        {"set": {"x": "1"}},
        {
            "scenario": {"name": "add", "with": {"a": "{{ x }}"}},
            "expect": ["outputs.sum == 11"],
            "capture": {"first": "outputs.sum"},
        },
        {"scenario": {"name": "add", "with": {"a": 1, "b": 2}}, "expect": ["outputs.sum == 3"]},
        {"expect": ["first == 11", "outputs.took == '1s'"]},
    ]
    result = with_scenarios(steps, [ADD])
    assert result.outcome == "passed", result.details
    assert "scenario add > set sum" in names(result)


def test_a_scenario_sees_nothing_of_its_caller_and_leaves_nothing_there():
    look = {"name": "look", "steps": [{"expect": ["x == 1"]}]}
    result = with_scenarios([{"set": {"x": "1"}}, {"scenario": {"name": "look"}}], [look])
    assert "nothing is named 'x'" in result.message
    result = with_scenarios(
        [{"scenario": {"name": "add", "with": {"a": 1}}}, {"expect": ["sum == 11"]}], [ADD]
    )
    assert "nothing is named 'sum'" in result.message


@pytest.mark.parametrize(
    ("called", "told"),
    [
        ({"name": "ad"}, "no scenario is named 'ad'; there are: add"),
        ({"name": "add"}, "scenario add needs the input 'a': give it in with"),
        ({"name": "add", "with": {"a": 1, "c": 1}}, "scenario add has no input 'c'; its inputs"),
        ({"name": "add", "with": {"a": "{{ nope }}"}}, "nothing is named 'nope'"),
        (
            {"name": "add", "with": {"a": "x"}},
            "step 1 of 1 (set sum): set sum: a + b: string + int",
        ),
    ],
)
def test_a_call_that_cannot_work_says_why(called, told):
    result = with_scenarios([{"scenario": called}], [ADD])
    assert told in result.message


def test_scenarios_that_call_one_another_are_refused():
    scenarios = [
        {"name": "a", "steps": [{"scenario": {"name": "b"}}]},
        {"name": "b", "steps": [{"scenario": {"name": "a"}}]},
    ]
    result = with_scenarios([{"scenario": {"name": "a"}}], scenarios)
    assert "scenarios call one another in a circle: a -> b -> a" in result.message


def test_a_loop_may_call_a_scenario_and_collect_what_it_gives():
    step = {
        "forEach": {"in": "[1, 2]"},
        "scenario": {"name": "add", "with": {"a": "{{ item }}"}},
        "capture": {"sums": "outputs.sum"},
    }
    result = with_scenarios([step, {"expect": ["sums == [11, 12]"]}], [ADD])
    assert result.outcome == "passed", result.details


def test_values_of_a_test_are_there_from_the_beginning():
    result = run_steps(
        [{"expect": ["wanted.sku == 'A1'"]}], World(), vars={"wanted": {"sku": "A1"}}
    )
    assert result.outcome == "passed", result.details
