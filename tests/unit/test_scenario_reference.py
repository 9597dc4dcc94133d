"""The examples of the reference page: valid, and they do what the page says."""

import re
from pathlib import Path

import pytest
import yaml
from seatrial.api.run import parse_spec
from seatrial.plan.steps import scenario_problems
from seatrial_runner.runner.scenario_files import _PATTERNS
from seatrial_runner.scenario import World, expand, run_instance
from seatrial_runner.scenario.sandbox import FILTERS

from tests.support.loopback import Loopback
from tests.support.scenarios import FakeTime, FaultsByName

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/scenario.md").read_text()
HOW_TO = (ROOT / "docs/how-to/write-a-pytest-suite.md").read_text()
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def spec_of(example):
    """Make a run of an example: it is one, or has tests, or is a list of steps."""
    if isinstance(example, list):
        example = {"tests": [{"name": "example", "scenario": example}]}
    if "spec" in example:
        return parse_spec(example)
    faults = [{"name": "x", "target": {"service": "orders"}, "kill": {}, "when": {"manual": {}}}]
    return parse_spec({"spec": {"services": [ORDERS], "faults": faults, **example}})


ORDERS = {"name": "orders", "image": "x", "ports": [{"name": "http", "port": 8080}]}
ORDER = {
    "id": "o-1",
    "status": "paid",
    "items": [{"sku": "A1", "quantity": 2}],
    "note": None,
}


@pytest.fixture
def shop():
    with Loopback() as each:
        each.answer("POST /orders", json={"id": "o-1"}, status=201)
        each.answer("GET /orders/o-1", json=ORDER)
        each.answer("GET /orders/o-2", json={**ORDER, "id": "o-2"})
        each.answer("PUT /orders/o-1", status=307, json={}, headers={"Location": "/orders/o-3"})
        each.answer("PUT /orders/o-3", json={})
        each.answer("POST /orders/o-1/copies", json={}, status=201)
        told = {"error": "payments do not answer"}
        each.answer("POST /refunds", json=told, status=503)
        each.answer("GET /features", json={"gifts": True})
        each.answer("GET /gifts", json={})
        each.answer("GET /slow", json={"ready": False})
        each.answer("GET /slow", json={"ready": True})
        each.answer("GET /shaky", json={}, status=503)
        each.answer("GET /shaky", json={})
        yield each


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_is_valid_and_does_what_it_says(example, shop):
    spec = spec_of(example)
    assert list(scenario_problems(spec, None)) == []
    time = FakeTime()
    world = World(
        faults=FaultsByName(payments_slow=["Active"]),
        services={"orders": {"port": 8080}},
        base_urls={"orders": shop.url},
        now=time.now,
        monotonic=time.monotonic,
        sleep=time.sleep,
    )
    tests = [test.model_dump(mode="json", by_alias=True, exclude_none=True) for test in spec.tests]
    for instance in [each for test in tests for each in expand(test)]:
        result = run_instance(instance, world)
        assert result.outcome == "passed", result.details
        assert all(step.outcome == "passed" for step in result.steps)


def test_a_request_is_sent_as_the_page_says(shop):
    [_, copy] = next(e for e in EXAMPLES if isinstance(e, list) and "copies" in str(e))
    [instance] = expand({"name": "x", "scenario": [{"set": {"order": _["set"]["order"]}}, copy]})
    run_instance(instance, World(base_urls={"orders": shop.url}))
    asked = shop.asked[-1]
    assert asked.json() == {
        "count": 2,
        "half": 1.0,
        "text": "copy of O-1",
        "all": [{"sku": "A1", "count": 2}],
    }
    assert asked.headers["x-skus"] == "A1;"


def test_the_page_names_every_filter():
    line = next(line for line in PAGE.splitlines() if "and the filters" in line)
    named = set(re.findall(r"`(\w+)`", line.partition("and the filters")[2]))
    assert named == set(FILTERS) - {"d"}


def test_the_page_names_the_instances_of_its_matrix():
    [test] = next(e for e in EXAMPLES if isinstance(e, dict) and "tests" in e)["tests"]
    for instance in expand(test):
        assert f"`{instance.id}`" in PAGE


def test_the_page_shows_every_kind_of_step():
    shown = str(EXAMPLES)
    for word in ("http", "fault", "set", "parallel", "when", "expect", "capture", "eventually",
                 "retries", "matrix", "query", "headers", "bearer", "basicAuth", "form", "body",
                 "timeout", "followRedirects", "every", "expectFailure", "within"):  # fmt: skip
        assert f"'{word}'" in shown, word


def test_the_how_to_names_the_files_that_are_looked_into():
    assert all(f"`{pattern}`" in HOW_TO for pattern in _PATTERNS)


def test_the_python_of_the_how_to_compiles():
    for text in re.findall(r"```python\n(.*?)```", HOW_TO, re.DOTALL):
        compile(text, "how-to", "exec")
