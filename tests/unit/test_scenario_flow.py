"""Steps beside requests: conditions, variables, faults and branches."""

import json
import threading

import pytest
from seatrial_runner.scenario import InstanceResult, World, expand, run_instance

from tests.support.loopback import Loopback
from tests.support.scenarios import FaultsByName, a_world, get, run_steps


@pytest.fixture
def system():
    with Loopback() as each:
        each.answer("GET /orders/1", json={"id": 1})
        each.answer("GET /orders/2", json={"id": 2})
        yield each


def names(result: InstanceResult):
    return [(step.name, step.outcome) for step in result.steps]


def test_the_steps_after_a_failure_are_left_out():
    result = run_steps([{"expect": ["true"]}, {"expect": ["false"]}, {"expect": ["true"]}])
    assert names(result) == [("expect", "passed"), ("expect", "failed")]
    assert result.message == "step 2 of 3 (expect): expected false, but it is false"


def test_steps_have_names_of_their_own():
    result = run_steps([{"name": "is it so", "expect": ["false"]}])
    assert result.message.startswith("step 1 of 1 (is it so): ")


def test_a_step_whose_when_is_false_is_skipped(system):
    steps = [
        {"when": "1 == 2", "http": get(), "expect": ["false"]},
        {"when": "1 == 1", "http": get()},
    ]
    result = run_steps(steps, a_world(system.url))
    assert [step.outcome for step in result.steps] == ["skipped", "passed"]
    assert result.steps[0].message == "when is false: 1 == 2"
    assert (result.outcome, result.requests) == ("passed", 1)


def test_a_scenario_without_any_step_carried_out_is_skipped():
    result = run_steps([{"when": "false", "expect": ["true"]}])
    assert (result.outcome, result.message) == ("skipped", "no step was carried out")


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("1", "when: 1 is not true or false"),
        ("x == 1", "when: x == 1: nothing is named 'x'; known names are: env, now, run, services"),
        ("env.NOPE == ''", "when: env.NOPE == '': env.NOPE: no such key 'NOPE'; keys are: (none)"),
    ],
)
def test_a_when_that_cannot_be_decided_fails(when, told):
    assert told in run_steps([{"when": when, "expect": ["true"]}]).message


def test_values_are_set_in_order_and_seen_by_later_steps(system):
    steps = [
        {"set": {"a": "1", "b": "a + 1"}},
        {"http": get("/orders/{{ b }}"), "capture": {"order": "response.json"}},
        {"expect": ["order.id == b", "response.status == 200"]},
    ]
    assert run_steps(steps, a_world(system.url)).outcome == "passed"


def test_what_the_caller_gives_is_seen():
    services = {"orders": {"url": "http://orders:8080", "ports": {"http": 8080}}}
    world = World(services=services, environ={"SEATRIAL_RUN": "shop"})
    expect = ["services.orders.ports.http == 8080", "env.SEATRIAL_RUN == 'shop'"]
    assert run_steps([{"expect": expect}], world).outcome == "passed"
    result = run_steps([{"expect": ["services.payments.url == ''"]}], world)
    assert "services.payments: no such key 'payments'; keys are: orders" in result.message


def test_there_is_no_response_before_the_first_request():
    result = run_steps([{"expect": ["response.status == 200"]}])
    assert result.message.endswith("there is no response: no request was sent before")


@pytest.mark.parametrize(
    ("capture", "told"),
    [
        ({"x": "response.json.ordr"}, "capture x: response.json.ordr: no such key 'ordr'; keys"),
        ({"x": "response.json.id + 'a'"}, "capture x: response.json.id + 'a': int + string cannot"),
        ({"response": "1"}, "capture: 'response' is a name of Seatrial's own: choose another"),
        ({"in": "1"}, "capture: 'in' is a word of CEL: choose another name"),
        ({"a-b": "1"}, "capture: 'a-b' is no name: use letters, digits and _"),
    ],
)  # fmt: skip
def test_a_capture_that_fails_says_why_and_shows_the_response(system, capture, told):
    result = run_steps([{"http": get(), "capture": capture}], a_world(system.url))
    assert told in result.message
    if "response.json" in told:
        assert '"id": 1' in result.details


def test_a_matrix_variable_needs_a_name_that_can_be_used():
    result = run_steps([{"expect": ["true"]}], matrix={"env": [1]})
    assert result.message == "vars or matrix: 'env' is a name of Seatrial's own: choose another"


def test_faults_are_started_and_stopped_in_their_place():
    faults = FaultsByName()
    steps = [
        {"fault": {"start": "lose-a-pod"}},
        {"expect": ["true"]},
        {"fault": {"stop": "lose-a-pod"}},
    ]
    result = run_steps(steps, World(faults=faults))
    assert faults.orders == ["start lose-a-pod", "stop lose-a-pod"]
    assert names(result)[0] == ("start fault lose-a-pod", "passed")


@pytest.mark.parametrize(("verb", "done"), [("start", "started"), ("stop", "stopped")])
def test_a_fault_that_does_not_obey_is_an_error_not_a_failure(verb, done):
    result = run_steps([{"fault": {verb: "x"}}], World(faults=FaultsByName(broken="x")))
    assert result.outcome == "error"
    assert result.message.endswith(f"fault 'x' could not be {done}: no pod matched")


FAULT = {"fault": {"start": "lose-a-pod"}}
REFUSED = {"http": get(), "expectFailure": {"during": "lose-a-pod"}}


@pytest.mark.parametrize(
    "test",
    [
        pytest.param({"scenario": [{"http": get()}, FAULT]}, id="a-step"),
        pytest.param({"scenario": [{"http": get()}, REFUSED]}, id="a-failure-that-is-expected"),
        pytest.param({"scenario": [{"http": get()}, {"steps": [FAULT]}]}, id="in-a-group"),
        pytest.param(
            {"scenario": [{"http": get()}, {"parallel": [{"steps": [{"steps": [REFUSED]}]}]}]},
            id="in-a-branch",
        ),
        pytest.param({"scenario": [{"http": get()}], "setup": [FAULT]}, id="in-the-setup"),
        pytest.param({"scenario": [{"http": get()}], "teardown": [FAULT]}, id="in-the-teardown"),
        pytest.param(
            {"scenario": [{"http": get()}, {"scenario": {"name": "outer"}}]}, id="in-what-it-calls"
        ),
        pytest.param({"scenario": [{"http": get()}, {**FAULT, "when": "false"}]}, id="if-at-all"),
    ],
)
def test_without_a_conductor_a_scenario_with_a_fault_is_skipped_before_it_begins(system, test):
    called = [
        {"name": "outer", "steps": [{"scenario": {"name": "inner"}}]},
        {"name": "inner", "steps": [FAULT]},
    ]
    [instance] = expand({"name": "pays", **test}, called)
    result = run_instance(instance, a_world(system.url))
    assert (result.outcome, result.steps, result.requests) == ("skipped", [], 0)
    assert result.message == (
        "needs the cluster: without a conductor there is no fault lose-a-pod;"
        " run it with seatrial run"
    )
    assert system.asked == []


LOGS = {"logs": {"service": "orders", "contains": "paid"}}


@pytest.mark.parametrize(
    ("test", "kinds"),
    [
        pytest.param({"scenario": [{"http": get()}, LOGS]}, "logs", id="logs"),
        pytest.param(
            {"scenario": [{"exec": {"service": "orders", "command": ["ls"]}}]}, "exec", id="exec"
        ),
        pytest.param(
            {"scenario": [{"kubernetes": {"get": "pods"}}]}, "kubernetes", id="kubernetes"
        ),
        pytest.param(
            {"scenario": [{"steps": [LOGS]}], "teardown": [{"kubernetes": {"get": "pods"}}]},
            "kubernetes, logs",
            id="in-a-group-and-in-the-teardown",
        ),
        pytest.param(
            {"scenario": [{"http": get()}, {"scenario": {"name": "inner"}}]},
            "logs",
            id="in-what-it-calls",
        ),
    ],
)
def test_without_a_cluster_a_scenario_that_asks_it_is_skipped_before_it_begins(system, test, kinds):
    [instance] = expand({"name": "asks", **test}, [{"name": "inner", "steps": [LOGS]}])
    result = run_instance(instance, a_world(system.url))
    assert (result.outcome, result.steps, result.requests) == ("skipped", [], 0)
    assert result.message == (
        f"needs the cluster: there is none to ask for steps of kind {kinds};"
        " run it with seatrial run, or with pytest --seatrial-namespace NAME"
    )
    assert system.asked == []


def test_what_needs_both_a_fault_and_a_cluster_says_so_of_the_fault(system):
    # The namespace of a run that was kept has no conductor.
    result = run_steps([LOGS, FAULT], a_world(system.url))
    assert "there is no fault lose-a-pod; run it with seatrial run" in result.message


def test_with_a_conductor_none_is_skipped(system):
    result = run_steps([FAULT, {"http": get()}], a_world(system.url, faults=FaultsByName()))
    assert (result.outcome, result.requests) == ("passed", 1)


def test_branches_run_side_by_side_and_hand_over_what_they_captured(system):
    # Each branch waits for the other: one after another they would never end.
    both = threading.Barrier(2, timeout=30)
    for number in (1, 2):
        system.answer(f"GET /both/{number}", json={"n": number}, before=both.wait)
    branches = [
        {"name": "left", "steps": [{"http": get("/both/1"), "capture": {"a": "response.json.n"}}]},
        {"steps": [{"http": get("/both/2"), "capture": {"b": "response.json.n"}}]},
    ]
    steps = [{"parallel": branches, "expect": ["a + b == 3"]}, {"expect": ["a == 1", "b == 2"]}]
    result = run_steps(steps, a_world(system.url))
    assert result.outcome == "passed", result.details
    assert names(result)[:3] == [
        ("parallel", "passed"),
        ("left > GET http://orders:8080/both/1", "passed"),
        ("branch 2 > GET http://orders:8080/both/2", "passed"),
    ]
    assert result.requests == 2


def test_a_branch_sees_what_was_before_and_nothing_of_the_others():
    branches = [
        {"steps": [{"set": {"mine": "before + 1"}}, {"expect": ["mine == 2"]}]},
        {"steps": [{"expect": ["mine == 2"]}]},
    ]
    result = run_steps([{"set": {"before": "1"}}, {"parallel": branches}])
    assert (
        "branch 2 > step 1 of 1 (expect): expected mine == 2, but nothing is named 'mine'"
        in result.message
    )


def test_branches_that_define_the_same_name_fail():
    branches = [{"steps": [{"set": {"x": "1"}}]}, {"name": "two", "steps": [{"set": {"x": "1"}}]}]
    result = run_steps([{"parallel": branches}])
    assert result.message.endswith(
        "branches 'branch 1' and 'two' both define 'x': give one of them another name"
    )


def test_every_branch_that_fails_is_told():
    branches = [{"steps": [{"expect": ["false"]}]}, {"steps": [{"expect": ["1 == 2"]}]}]
    result = run_steps([{"parallel": branches}])
    assert "branch 1 > step 1 of 1 (expect): expected false" in result.message
    assert result.message.endswith("(and 1 more)")
    assert "branch 2 > step 1 of 1 (expect): expected 1 == 2" in result.details


def test_a_result_is_json_and_a_case():
    result = run_steps([{"expect": ["1 == 2"]}])
    assert json.loads(json.dumps(result.to_json()))["steps"][0]["outcome"] == "failed"
    case = result.to_case(attempt=2)
    assert (case["id"], case["outcome"], case["attempt"]) == ("pays", "failed", 2)
    assert case["startedAt"].endswith("Z")
    assert json.loads(json.dumps(case)) == case


def ids(**test):
    return [instance.id for instance in expand({"name": "t", "scenario": [], **test})]


def test_instances_are_named_as_pytest_names_parameters():
    assert ids() == ["t"]
    assert ids(matrix={"sku": ["A1", "B2"], "n": [1, 2]}) == [
        "t[A1-1]",
        "t[A1-2]",
        "t[B2-1]",
        "t[B2-2]",
    ]
    assert ids(matrix={"v": [True, None, 1.5, {}, [], "", "x" * 41, "a\nb"]}) == [
        "t[true]", "t[null]", "t[1.5]", "t[v3]", "t[v4]", "t[v5]", "t[v6]", "t[v7]",
    ]  # fmt: skip


def test_instances_with_the_same_values_are_told_apart():
    found = ids(matrix={"v": ["a", "a", "a_0"]})
    assert len(set(found)) == 3
    assert found[2] == "t[a_0]"


def test_an_instance_knows_its_variables_and_time():
    [instance] = expand(
        {"name": "t", "scenario": [], "matrix": {"v": [{"a": 1}]}, "timeout": "1m30s"}
    )
    assert instance.variables == {"v": {"a": 1}}
    assert instance.timeout_s == 90
