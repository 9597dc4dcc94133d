"""The fixtures for databases and data, in the pods of a run."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.e2e.breaking import report_part, run_of, suite
from tests.e2e.cluster import Json, Run
from tests.e2e.conftest import Desk

TABLES = "create table {} (id int primary key, name varchar(100));"
SCHEMA = TABLES.format("customers") + TABLES.format("articles")
FILES = {"/docker-entrypoint-initdb.d/schema.sql": SCHEMA}
SPEC: Json = {
    "timeout": "5m",
    "services": [
        {"name": "db", "preset": "postgres", "files": FILES},
        {"name": "other", "preset": "mysql", "files": FILES},
    ],
    "tests": [
        {
            "name": name,
            "pytest": {"configMap": "suite", "parallelism": pods, "args": ["-k", f"test_{name}"]},
        }
        for name, pods in (("clean", 1), ("leaves", 1), ("shards", 2))
    ],
}


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    return run_of(shared_desk, "data-fixtures", SPEC, suite("suite", "data_fixtures"))


@pytest.fixture(scope="module")
def told(run: Run, status: Json) -> dict[str, list[str]]:
    """Give what failed, of each test of the run."""
    tests = ElementTree.fromstring(report_part(run, "junit.xml.gz")).iter("testsuite")
    return {
        str(each.get("name")): [
            f"{bad.get('message')} {bad.text}"
            for case in each.iter("testcase")
            for bad in (*case.iter("failure"), *case.iter("error"))
        ]
        for each in tests
    }


def result_of(status: Json, name: str) -> Json:
    return next(each for each in status["tests"] if each["name"] == name)


def test_all_fixtures_work_in_a_pod(status: Json) -> None:
    clean = result_of(status, "clean")
    assert (clean["outcome"], clean["passed"], clean["failed"]) == ("Passed", 8, 0), clean


def test_what_is_left_behind_is_named(status: Json, told: dict[str, list[str]]) -> None:
    leaves = result_of(status, "leaves")
    assert (leaves["outcome"], leaves["passed"], leaves["failed"]) == ("Error", 0, 2), leaves
    words = " ".join(told["leaves"])
    assert "db: something is left: customers has 1 rows with {'name': 'Ada'}" in words
    assert "other: something is left: customers has 1 rows (0 before)" in words


def test_pods_that_cannot_share_data_say_so(status: Json, told: dict[str, list[str]]) -> None:
    shards = result_of(status, "shards")
    assert (shards["outcome"], shards["passed"], shards["failed"]) == ("Error", 0, 4), shards
    why = "shared_data is not shared between the 2 pods of this test: leave out its parallelism"
    assert [why in each for each in told["shards"]] == [True] * 4
