"""Reads scenario files: validated as the operator would, with one sentence for each problem."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.api.run import parse_spec
from seatrial.api.spec import RunSpec

_PATTERNS = ("test_*.yaml", "*_test.yaml", "*.scenario.yaml")
_NAME = re.compile(r"[^a-z0-9-]+")
_NO_TEST = {"name": "none", "scenario": [{"expect": ["true"]}]}


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


Json = dict[str, Any]


@dataclass(frozen=True)
class FileContent:
    """
    What a scenario file holds, as canonical JSON.

    Attributes:
        tests: Those with a scenario, in order.
        scenarios: Those that the tests can call.
        snapshots: By name, as ``spec.snapshots.content`` gives them.
        fixtures: Files by name, as ``spec.fixtures.content`` gives them.
        faults: Those that begin with a test of the run, by its name.
    """

    tests: list[Json]
    scenarios: list[Json]
    snapshots: Json
    fixtures: dict[str, str]
    faults: dict[str, list[str]]


def read_file(path: Path) -> FileContent:
    """
    Give the scenarios of a file; none if it holds nothing of ours.

    A document is one of: an IntegrationTestRun (of which the scenarios are taken), ``tests:`` with
    a list of such, ``scenario:`` with the steps of one test, which is named after the file, or
    ``scenarios:`` alone, which all tests of the file can call.

    With ``use: [FILE]``, the tests can call the scenarios of other files too.

    Raises:
        ScenarioFileError: The YAML or a document is wrong, or a file that it uses.
    """
    documents = _documents(path, path.name)
    shared = [each for document in documents for each in _shared(document)]
    shared += _used(documents, path, shared)
    specs = [spec for document in documents if (spec := _spec_of(document, path, shared))]
    tests = [
        test.model_dump(mode="json", by_alias=True, exclude_none=True)
        for spec in specs
        for test in spec.tests
        if test.scenario is not None
    ]
    twice = {test["name"] for test in tests if [t["name"] for t in tests].count(test["name"]) > 1}
    if twice:
        raise ScenarioFileError(f"{path.name}: name each test once: {', '.join(sorted(twice))}")
    scenarios = {
        each.name: each.model_dump(mode="json", by_alias=True, exclude_none=True)
        for spec in specs
        for each in spec.scenarios
    }
    snapshots = {
        name: value
        for spec in specs
        if spec.snapshots
        for name, value in spec.snapshots.content.items()
    }
    fixtures = {
        name: text
        for spec in specs
        if spec.fixtures
        for name, text in spec.fixtures.content.items()
    }
    faults: dict[str, list[str]] = {}
    for fault in (each for spec in specs for each in spec.faults):
        if fault.when and fault.when.test:
            faults.setdefault(fault.when.test, []).append(fault.name)
    return FileContent(tests, list(scenarios.values()), snapshots, fixtures, faults)


def _documents(path: Path, name: str) -> list[Any]:
    try:
        with path.open(encoding="utf-8") as file:
            # _Loader is a SafeLoader.
            return list(yaml.load_all(file, Loader=_Loader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioFileError(f"{name}: {_yaml_problem(error)}") from error


def _used(documents: list[Any], path: Path, own: list[Any]) -> list[Any]:
    """Give the scenarios of the files that documents use, and of those that these use."""
    found: list[Any] = []
    origin = {_called(each): path.name for each in own}
    waiting, read = [*_uses(documents, path.parent, path.name)], {path.resolve()}
    while waiting:
        file, name = waiting.pop(0)
        if file in read:
            continue
        read.add(file)
        if not file.is_file():
            raise ScenarioFileError(f"{path.name}: use: there is no file {name}, seen from it")
        others = _documents(file, name)
        scenarios = [each for document in others for each in _shared(document, of_runs=True)]
        if not scenarios:
            raise ScenarioFileError(f"{path.name}: use: {name} has no scenarios to call")
        alone = {"spec": {"scenarios": scenarios, "tests": [_NO_TEST]}}
        for each in _checked(alone, f"{name}: ", "spec.").scenarios:
            if each.name in origin:
                raise ScenarioFileError(
                    f"{path.name}: use: a scenario named {each.name} is in {origin[each.name]}"
                    f" and in {name}: rename one of them"
                )
            origin[each.name] = name
        found += scenarios
        waiting += _uses(others, file.parent, name)
    return found


def _uses(documents: list[Any], folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    for document in documents:
        if not isinstance(document, dict) or "use" not in document or "kind" in document:
            continue
        files = document["use"]
        if not isinstance(files, list) or not all(isinstance(each, str) for each in files):
            raise ScenarioFileError(f"{name}: use must be a list of files")
        yield from (((folder / each).resolve(), each) for each in files)


def _called(scenario: Any) -> Any:
    return scenario.get("name") if isinstance(scenario, dict) else None


def _shared(document: Any, *, of_runs: bool = False) -> list[Any]:
    """Give the scenarios that every test of a file can call; a run keeps its own."""
    if not isinstance(document, dict):
        return []
    if document.get("kind") == names.KIND:
        document = document.get("spec") if of_runs else {}
        if not isinstance(document, dict):
            return []
    scenarios = document.get("scenarios")
    return scenarios if isinstance(scenarios, list) else []


def _spec_of(document: Any, path: Path, shared: list[Any]) -> RunSpec | None:
    if not isinstance(document, dict):
        return None
    if document.get("kind") == names.KIND:
        return _checked(document, f"{path.name}: ", "")
    more = {"scenarios": shared} if shared else {}
    if isinstance(document.get("scenario"), list):
        own = {key: value for key, value in document.items() if key not in ("scenarios", "use")}
        test = {"name": _name_of(path), **own}
        return _checked({"spec": {"tests": [test], **more}}, f"{path.name}: ", "spec.tests[0].")
    tests = document.get("tests")
    if isinstance(tests, list) and any(isinstance(t, dict) and "scenario" in t for t in tests):
        return _checked({"spec": {"tests": tests, **more}}, f"{path.name}: ", "spec.")
    return None


def _checked(manifest: Json, file: str, wrapping: str) -> RunSpec:
    """Check a run; ``wrapping`` is what was put around the document, and not in its problems."""
    try:
        return parse_spec(manifest)
    except InvalidSpecError as error:
        lines = [f"{file}{str(problem).removeprefix(wrapping)}" for problem in error.problems]
        raise ScenarioFileError("\n".join(lines)) from None


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"no YAML: {error}"
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', error)}"


def _name_of(path: Path) -> str:
    stem = path.name.split(".")[0].removeprefix("test_").removesuffix("_test").lower()
    return _NAME.sub("-", stem).strip("-")[:50].strip("-") or "scenario"
