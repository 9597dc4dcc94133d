"""Scenario files as pytest items, as on a laptop."""

import pytest

from tests.support.loopback import Loopback
from tests.support.suites import run_pytest, write

pytest_plugins = ["pytester"]

RUN = """
apiVersion: seatrial.dev/v1alpha1
kind: IntegrationTestRun
metadata: {name: shop}
spec:
  tests:
  - name: order-is-there
    matrix: {sku: [A1, B2]}
    scenario:
    - http: {get: "http://orders:8080/{{ sku }}", query: {since: 2026-01-01}}
      expect: ["response.json.sku == sku"]
  - name: suite
    pytest: {configMap: tests}
"""

GOOD = "scenario: [{expect: ['true']}]\n"
TWO_PROBLEMS = "tests:\n- name: Foo\n  scenario: [{set: {a: 1}}]\n"


@pytest.fixture
def system():
    with Loopback() as each:
        each.answer("GET /A1", json={"sku": "A1"})
        each.answer("GET /B2", json={"sku": "A1"})
        yield each


def test_a_run_is_collected_by_its_scenarios(pytester, system):
    write(pytester.path, {"run.yaml": RUN})
    done = run_pytest(pytester, "run.yaml", "-v", f"--service=orders={system.url}")
    assert "run.yaml::order-is-there[A1] PASSED" in done.stdout
    assert "run.yaml::order-is-there[B2] FAILED" in done.stdout
    assert (
        "step 1 of 1 (GET http://orders:8080/{{ sku }}): expected response.json.sku == sku"
        in done.stdout
    )
    assert "Traceback" not in done.stdout
    assert "exchange.py" not in done.stdout
    assert system.asked[0].query == {"since": ["2026-01-01"]}
    assert done.returncode == 1


def test_one_instance_is_run_by_its_node_id(pytester, system):
    write(pytester.path, {"run.yaml": RUN})
    done = run_pytest(pytester, "run.yaml::order-is-there[A1]", f"--service=orders={system.url}")
    assert (done.returncode, len(system.asked)) == (0, 1)


def test_services_come_from_the_environment_and_the_ini_file_too(pytester, system):
    write(pytester.path, {"run.yaml": RUN})
    environment = {"SEATRIAL_SERVICES": f'{{"orders": "{system.url}"}}'}
    node = "run.yaml::order-is-there[A1]"
    assert run_pytest(pytester, node, environment=environment).returncode == 0
    write(pytester.path, {"pytest.ini": f"[pytest]\nseatrial_services = orders={system.url}\n"})
    assert run_pytest(pytester, node).returncode == 0


def test_folders_are_searched_by_name_alone(pytester):
    step = "- expect: ['true']"
    write(
        pytester.path,
        {
            "test_steps.yaml": f"scenario:\n{step}\n",
            "list_test.yml": f"tests:\n- name: one\n  scenario:\n  {step}\n",
            "shop.scenario.yaml": f"scenario:\n{step}\n",
            "run.yaml": f"scenario:\n{step}\n",
            "helm_test.yaml": "suite: x\ntests:\n- it: works\n",
            "test_data.yaml": "- 1\n- 2\n",
        },
    )
    done = run_pytest(pytester, "--collect-only", "-q")
    nodes = [line for line in done.stdout.splitlines() if "::" in line]
    assert nodes == ["list_test.yml::one", "shop.scenario.yaml::shop", "test_steps.yaml::steps"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tests: [\n", "line 2, column 1: expected the node content"),
        ("a: 1\n", "no scenario in it; it needs kind: IntegrationTestRun, tests: or scenario:"),
        ("scenario: [{expct: []}]\n", "scenario[0].expct: is not a field. Did you mean expect?"),
        ("scenario: [{}]\n", "scenario[0]: a step needs something to do"),
        ("scenario: [{http: {get: x, post: x}}]\n", "scenario[0].http: give exactly one of: get,"),
        (TWO_PROBLEMS, 'tests[0].name: is "Foo".'),
        (TWO_PROBLEMS, "tests[0].scenario[0].set.a: is 1."),
        (RUN.replace("spec:", "spec:\n  extra: 1"), "spec.extra: is not a field."),
        (f"{GOOD}---\n{GOOD}", "name each test once: x"),
    ],
)
def test_a_wrong_file_is_told_in_one_line_for_each_problem(pytester, text, problem):
    write(pytester.path, {"x.yaml": text})
    done = run_pytest(pytester, "x.yaml")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith(f"x.yaml: {problem}")], done.stdout
    assert "Traceback" not in done.stdout
    assert done.returncode == 2


UNDER_FAULT = RUN.replace(
    "  tests:\n",
    """
  services:
  - {name: orders, image: shop, ports: [{name: http, port: 8080}]}
  faults:
  - {name: lose, target: {service: orders}, kill: {}, when: {manual: {}}}
  - {name: none-left, target: {service: orders}, kill: {}, when: {test: with-none}}
  tests:
  - name: starts-it
    scenario:
    - http: {get: "http://orders:8080/A1"}
    - fault: {start: lose}
  - name: with-none
    scenario: [{http: {get: "http://orders:8080/A1"}}]
""",
)


def test_what_needs_a_fault_is_skipped_whole_on_a_laptop_and_says_what_to_do(pytester, system):
    write(pytester.path, {"run.yaml": UNDER_FAULT})
    done = run_pytest(pytester, "run.yaml", "-v", "-rs", f"--service=orders={system.url}")
    assert "run.yaml::starts-it SKIPPED" in done.stdout
    assert "run.yaml::with-none SKIPPED" in done.stdout
    assert "run.yaml::order-is-there[A1] PASSED" in done.stdout
    for fault in ("lose", "none-left"):
        told = f"needs the cluster: without a conductor there is no fault {fault}; run it with"
        assert f"{told} seatrial run" in done.stdout
    assert [each.path for each in system.asked] == ["/A1", "/B2"]


def test_what_asks_the_cluster_is_skipped_whole_on_a_laptop_and_says_what_to_do(pytester):
    steps = "- {expect: ['true']}\n- {logs: {service: orders, contains: paid}}\n"
    write(pytester.path, {"x.yaml": f"scenario:\n{steps}"})
    done = run_pytest(pytester, "x.yaml", "-rs")
    assert "1 skipped" in done.stdout
    assert "x.yaml:1: needs the cluster: there is none to ask for steps of kind logs" in done.stdout


def test_a_scenario_without_any_step_carried_out_is_a_skip(pytester):
    write(pytester.path, {"x.yaml": "scenario:\n- {expect: ['false'], when: 'false'}\n"})
    done = run_pytest(pytester, "x.yaml", "-rs")
    assert "x.yaml:1: no step was carried out" in done.stdout
    assert "1 skipped" in done.stdout


def test_retries_of_a_test_are_made(pytester, system):
    system.answer("GET /flaky", status=500, json={})
    system.answer("GET /flaky", json={})
    write(
        pytester.path,
        {
            "x.yaml": """
            tests:
            - name: one
              retries: 1
              scenario:
              - http: {get: "http://orders/flaky"}
                expect: ["response.status == 200"]
            """
        },
    )
    done = run_pytest(pytester, "x.yaml", f"--service=orders={system.url}")
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("orders", "--service orders: write NAME=URL, as in orders=http://localhost:8080"),
        ("orders=localhost", "service orders: 'localhost' is no URL: write http://localhost:8080"),
    ],
)
def test_a_service_that_is_said_wrongly(pytester, option, problem):
    write(pytester.path, {"x.yaml": "scenario:\n- expect: ['true']\n"})
    done = run_pytest(pytester, "x.yaml", f"--service={option}")
    assert problem in done.stdout
    assert done.returncode == 4
