"""The pages about databases and data: their scenarios do what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from seatrial.api.run import parse_spec
from seatrial_runner.scenario.files import GivenFiles

from tests.support.documented import runs_of
from tests.support.laptop import by_pytest, connected, outcomes_by_name
from tests.support.scenarios import a_world, run_steps

Files = dict[str, str]


def _tests_of(page: str) -> list[tuple[dict[str, Any], Files]]:
    """Give the tests of a page's runs, each with the files of its run."""
    return [
        (
            test.model_dump(mode="json", by_alias=True, exclude_none=True),
            dict(spec.fixtures.content) if spec.fixtures else {},
        )
        for spec in map(parse_spec, runs_of(page))
        for test in spec.tests
    ]


@pytest.mark.parametrize(
    ("test", "files"),
    [
        pytest.param(*each, id=each[0]["name"])
        for page in ("test-databases.md", "make-data.md")
        for each in _tests_of(page)
    ],
)
def test_an_example_does_what_it_says(
    test: dict[str, Any], files: Files, postgresql_url: str, redis_url: str, mongo_url: str
) -> None:
    connections = {"db": postgresql_url, "cache": redis_url, "docs": mongo_url}
    result = run_steps(test["scenario"], a_world(connections=connections, files=GivenFiles(files)))
    assert result.outcome == "passed", result.details


@pytest.mark.parametrize("page", ["test-databases.md", "make-data.md"])
def test_the_runs_of_a_page_pass_by_pytest(
    page: str, tmp_path: Path, postgresql_url: str, redis_url: str, mongo_url: str
) -> None:
    urls = connected({"db": postgresql_url, "cache": redis_url, "docs": mongo_url})
    for run in runs_of(page):
        file = tmp_path / "run.yaml"
        file.write_text(yaml.safe_dump(run))
        tests = [test["name"] for test in run["spec"]["tests"]]
        assert outcomes_by_name(by_pytest(file, *urls)) == dict.fromkeys(tests, "PASSED")
