"""Files with data travel with a run: those of its spec, and of a ConfigMap."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from seatrial.api.run import parse_run
from seatrial.plan.blueprint import draw
from seatrial.plan.rundoc import run_document
from seatrial.plan.settings import PlanSettings
from seatrial.plan.validation import Limits, validate

from tests.support.builders import a_run

MAP = ("ConfigMap", "data")
LABELLED = {"labels": {"seatrial.dev/readable-by": "runs"}}
STORED = {"metadata": LABELLED, "data": {"a.csv": "id\n1\n", "b.sql": "select 1", "README": "no"}}
DB = {"name": "db", "preset": "postgres"}


def a_run_that_loads(file: str, fixtures: Any = None) -> Any:
    step = {"data": {"service": "db", "file": file}}
    more = {"fixtures": fixtures} if fixtures else {}
    return parse_run(a_run(services=[DB], tests=[{"name": "a", "scenario": [step]}], **more))


def problems(run: Any, found: Any) -> list[str]:
    return [str(each) for each in validate(run.spec, found, Limits())]


def test_a_run_has_the_files_of_a_configmap_and_of_its_spec():
    run = a_run_that_loads("a.csv", {"configMap": "data", "content": {"a.csv": "id\n2\n"}})
    settings = PlanSettings("registry.example/runner:1")
    blueprint = draw(run.metadata, run.spec, {MAP: STORED}, settings)
    document = run_document(blueprint, settings, datetime(2026, 1, 1, tzinfo=UTC))
    assert document["fixtures"] == {"a.csv": "id\n2\n", "b.sql": "select 1"}


@pytest.mark.parametrize("file", ["a.csv", "fixtures/a.csv", "{{ kind }}.csv"])
def test_a_file_that_is_there_is_no_problem(file):
    assert problems(a_run_that_loads(file, {"configMap": "data"}), {MAP: STORED}) == []


def test_a_file_that_is_not_there_is_told_with_what_it_might_be():
    run = a_run_that_loads("fixtures/aa.csv", {"configMap": "data"})
    assert problems(run, {MAP: STORED}) == [
        "spec.tests[0].scenario[0].data.file: there is no file aa.csv in spec.fixtures."
        " Did you mean a.csv?"
    ]
    [problem] = problems(a_run_that_loads("a.csv"), {})
    assert problem.endswith(
        "there is no file a.csv in spec.fixtures. Put it there, or into its ConfigMap."
    )


def test_without_a_cluster_nobody_knows_what_a_configmap_has():
    assert problems(a_run_that_loads("x.csv", {"configMap": "data"}), None) == []


def test_a_configmap_that_is_not_there_is_told_once():
    run = a_run_that_loads("x.csv", {"configMap": "data"})
    assert problems(run, {MAP: None}) == [
        "spec.fixtures.configMap: there is no ConfigMap data beside the run."
        " Create it in the same namespace, before the run."
    ]
    unlabelled = {**STORED, "metadata": {}}
    assert "may not be read by runs" in problems(run, {MAP: unlabelled})[0]


def test_files_that_are_too_large_are_told():
    large = {"configMap": "data", "content": {"a.csv": "id\n" + "1\n" * 60_000}}
    stored = {**STORED, "data": {"b.csv": "id\n" + "1\n" * 90_000}}
    assert problems(a_run_that_loads("a.csv", large), {MAP: stored}) == [
        "spec.fixtures: has 292 KiB, more than 256 KiB. Let steps generate what is large."
    ]
