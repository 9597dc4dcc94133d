"""
The examples of the reference page: valid, and they do what the page says.

What a page may say of an example is described in ``tests.support.documented``.
"""

import re
from pathlib import Path

import pytest
import yaml
from seatrial.api.functions import FUNCTIONS
from seatrial.api.observations import OBSERVED
from seatrial.api.scenario import ACTIONS
from seatrial.plan.steps import scenario_problems
from seatrial_runner.runner.scenario_files import _PATTERNS
from seatrial_runner.scenario import World, expand, run_instance
from seatrial_runner.scenario.sandbox import FILTERS

from tests.support.documented import Page, output_of, results
from tests.support.documented_shop import Shop, world_of

ROOT = Path(__file__).parents[2]
PAGE = Page(ROOT / "docs/reference/scenario.md")
HOW_TO = (ROOT / "docs/how-to/write-a-pytest-suite.md").read_text()
EXAMPLES = [each for each in PAGE.examples() if not each.needs]


@pytest.fixture
def shop():
    with Shop() as each:
        yield each


@pytest.mark.parametrize("example", EXAMPLES, ids=[each.id for each in EXAMPLES])
def test_an_example_is_valid_and_does_what_it_says(example, shop):
    assert list(scenario_problems(example.spec(), None)) == []
    found = list(results(example, world_of(shop)))
    for result in found:
        assert (result.outcome != "passed") is example.fails, result.details
        assert example.fails or all(step.outcome == "passed" for step in result.steps)
    if example.output is not None:
        assert output_of(found) == example.output, "make generate writes it"


def test_the_page_shows_what_comes_of_its_examples():
    assert sum(bool(each.output) for each in EXAMPLES) > 10
    assert all(each.output for each in EXAMPLES if each.fails)


def test_a_request_is_sent_as_the_page_says(shop):
    [_, copy] = yaml.safe_load(next(e.text for e in EXAMPLES if "copies" in e.text))
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
    line = next(line for line in PAGE.text.splitlines() if "and the filters" in line)
    named = set(re.findall(r"`(\w+)`", line.partition("and the filters")[2]))
    assert named == set(FILTERS) - {"d"}


def test_the_page_names_the_instances_of_its_matrix():
    [test] = yaml.safe_load(next(e.text for e in EXAMPLES if "matrix:" in e.text))["tests"]
    for instance in expand(test):
        assert f"`{instance.id}`" in PAGE.text


def test_the_page_shows_every_kind_of_step():
    shown = str([yaml.safe_load(each.text) for each in PAGE.examples()])
    for word in (*ACTIONS, "when", "expect", "capture", "eventually",
                 "retries", "matrix", "query", "headers", "bearer", "basicAuth", "form", "body",
                 "timeout", "followRedirects", "every", "expectFailure", "within", "always",
                 "repeat", "forEach", "setup", "teardown", "tags", "vars", "snapshot",
                 "expectError"):  # fmt: skip
        assert f"'{word}'" in shown, word


def test_the_page_shows_how_each_kind_that_sees_something_fails():
    shown = str([yaml.safe_load(each.text) for each in PAGE.examples() if each.fails])
    for kind in sorted(OBSERVED):
        assert f"'{kind}'" in shown, kind


def test_the_page_shows_how_what_comes_can_be_wrong():
    failing = [each for each in PAGE.examples() if each.fails]
    assert all(each.output for each in failing)
    shown = "".join(each.text for each in failing)
    for word in ("response.headers", "response.elapsed", "matches(", "expectError", "message.json",
                 "unique:", "ordered:", "count: 0", "deadLetter", "now - parseTime("):  # fmt: skip
        assert word in shown, word
    # Templates that are too much are told with their limit.
    assert any("a value is longer than 1 MiB" in (each.output or "") for each in failing)


def test_the_how_to_names_the_files_that_are_looked_into():
    assert all(f"`{pattern}`" in HOW_TO for pattern in _PATTERNS)


def test_the_python_of_the_how_to_compiles():
    for text in re.findall(r"```python\n(.*?)```", HOW_TO, re.DOTALL):
        compile(text, "how-to", "exec")


def test_the_page_shows_every_function_and_how_it_fails():
    failing = "".join(each.text for each in EXAMPLES if each.fails)
    for name in FUNCTIONS:
        assert f"`{name}(" in PAGE.text
        assert f"{name}(" in failing
