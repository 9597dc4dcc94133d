"""Tests call scenarios of other files of their folder."""

from __future__ import annotations

import pytest

from tests.support.loopback import Loopback
from tests.support.suites import run_pytest, write

pytest_plugins = ["pytester"]

CREATE = """
scenarios:
- name: create
  inputs: {sku: {}}
  steps:
  - http: {post: "http://orders:8080/orders", json: {sku: "{{ sku }}"}}
    expect: ["response.status == 201"]
    capture: {id: response.json.id}
  outputs: {id: id}
"""
TEST = """
use: [common/orders.yaml]
tests:
- name: is-created
  scenario:
  - scenario: {name: create, with: {sku: A1}}
  - expect: ["outputs.id == 7"]
"""


def outcome(pytester: pytest.Pytester, files: dict[str, str]) -> str:
    write(pytester.path, files)
    with Loopback() as shop:
        shop.answer("POST /orders", json={"id": 7}, status=201)
        return run_pytest(pytester, "test_a.yaml", "--service", f"orders={shop.url}").stdout


def test_a_scenario_of_another_file_is_called(pytester: pytest.Pytester) -> None:
    shown = outcome(pytester, {"test_a.yaml": TEST, "common/orders.yaml": CREATE})
    assert "1 passed" in shown


def test_a_file_with_the_steps_of_one_test_uses_them_too(pytester: pytest.Pytester) -> None:
    test = """
    use: [common/orders.yaml]
    scenario:
    - scenario: {name: create, with: {sku: A1}}
    - expect: ["outputs.id == 8"]
    """
    shown = outcome(pytester, {"test_a.yaml": test, "common/orders.yaml": CREATE})
    assert "expected outputs.id == 8, but outputs.id is 7" in shown


def test_what_a_used_file_uses_is_there_too_also_in_a_circle(pytester: pytest.Pytester) -> None:
    between = """
    use: [common/orders.yaml, test_a.yaml]
    scenarios: [{name: other, steps: [{expect: ["true"]}]}]
    """
    files = {
        "test_a.yaml": TEST.replace("common/orders.yaml", "between.yaml"),
        "between.yaml": between,
        "common/orders.yaml": CREATE,
    }
    assert "1 passed" in outcome(pytester, files)


def test_the_scenarios_of_a_run_can_be_used(pytester: pytest.Pytester) -> None:
    steps = CREATE.replace("\n", "\n  ").strip()
    run = (
        "apiVersion: seatrial.dev/v1alpha1\nkind: IntegrationTestRun\nmetadata: {name: a}\n"
        f"spec:\n  {steps}\n  tests: []\n"
    )
    shown = outcome(pytester, {"test_a.yaml": TEST, "common/orders.yaml": run})
    assert "1 passed" in shown


@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param(
            {}, "test_a.yaml: use: there is no file common/orders.yaml, seen from it", id="missing"
        ),
        pytest.param(
            {"common/orders.yaml": "tests: []"},
            "test_a.yaml: use: common/orders.yaml has no scenarios to call",
            id="without-any",
        ),
        pytest.param(
            {"common/orders.yaml": "scenarios: [{name: create, steps: [{htp: {get: a}}]}]"},
            "common/orders.yaml: scenarios[0].steps[0].htp: ",
            id="wrong",
        ),
        pytest.param(
            {"common/orders.yaml": "scenarios: ["}, "common/orders.yaml: line 1", id="no-yaml"
        ),
        pytest.param(
            {"common/orders.yaml": CREATE, "test_a.yaml": CREATE + TEST.strip()},
            "a scenario named create is in test_a.yaml and in common/orders.yaml: rename one",
            id="twice",
        ),
        pytest.param(
            {"test_a.yaml": TEST.replace("[common/orders.yaml]", "common/orders.yaml")},
            "test_a.yaml: use must be a list of files",
            id="no-list",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told(
    pytester: pytest.Pytester, files: dict[str, str], told: str
) -> None:
    assert told in outcome(pytester, {"test_a.yaml": TEST, **files})
