"""Reads scenario files: validated as the operator would, with one sentence for each problem."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.api.run import parse_spec

_PATTERNS = ("test_*.yaml", "*_test.yaml", "*.scenario.yaml")
_NAME = re.compile(r"[^a-z0-9-]+")


class ScenarioFileError(Exception):
    """A file that cannot be run; the message has a line for each problem."""


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def is_scenario_name(path: Path) -> bool:
    """Tell whether a file in a folder is looked into without being named."""
    name = path.with_suffix(".yaml").name if path.suffix == ".yml" else path.name
    return any(Path(name).match(pattern) for pattern in _PATTERNS)


def read_tests(path: Path) -> list[dict[str, Any]]:
    """
    Give the scenarios of a file, as canonical JSON, in order; none if it holds nothing of ours.

    A document is one of: an IntegrationTestRun (of which the scenarios are taken), ``tests:`` with
    a list of such, or ``scenario:`` with the steps of one test, which is named after the file.

    Raises:
        ScenarioFileError: The YAML or a document is wrong.
    """
    try:
        with path.open(encoding="utf-8") as file:
            # _Loader is a SafeLoader.
            documents = list(yaml.load_all(file, Loader=_Loader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioFileError(f"{path.name}: {_yaml_problem(error)}") from error
    tests = [test for document in documents for test in _tests_of(document, path)]
    twice = {test["name"] for test in tests if [t["name"] for t in tests].count(test["name"]) > 1}
    if twice:
        raise ScenarioFileError(f"{path.name}: name each test once: {', '.join(sorted(twice))}")
    return tests


def _tests_of(document: Any, path: Path) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        return []
    if document.get("kind") == names.KIND:
        return _checked(document, f"{path.name}: ", "")
    if isinstance(document.get("scenario"), list):
        test = {"name": _name_of(path), **document}
        return _checked({"spec": {"tests": [test]}}, f"{path.name}: ", "spec.tests[0].")
    tests = document.get("tests")
    if isinstance(tests, list) and any(isinstance(t, dict) and "scenario" in t for t in tests):
        return _checked({"spec": {"tests": tests}}, f"{path.name}: ", "spec.")
    return []


def _checked(manifest: dict[str, Any], file: str, wrapping: str) -> list[dict[str, Any]]:
    """Check a run; ``wrapping`` is what was put around the document, and not in its problems."""
    try:
        spec = parse_spec(manifest)
    except InvalidSpecError as error:
        lines = [f"{file}{str(problem).removeprefix(wrapping)}" for problem in error.problems]
        raise ScenarioFileError("\n".join(lines)) from None
    return [
        test.model_dump(mode="json", by_alias=True, exclude_none=True)
        for test in spec.tests
        if test.scenario is not None
    ]


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"no YAML: {error}"
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', error)}"


def _name_of(path: Path) -> str:
    stem = path.name.split(".")[0].removeprefix("test_").removesuffix("_test").lower()
    return _NAME.sub("-", stem).strip("-")[:50].strip("-") or "scenario"
