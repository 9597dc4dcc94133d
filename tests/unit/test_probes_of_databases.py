"""Probes and recovery that ask a database; a file here, PostgreSQL on a node (``tests/e2e``)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from seatrial.api import names
from seatrial.api.verdict import judge
from seatrial_runner.conductor.faults.recovery import recovers
from seatrial_runner.scenario.checks import check
from seatrial_runner.scenario.world import World

from localcluster.ports import free_port
from tests.support.conducted import (
    a_conductor,
    a_fault_doc,
    a_run_doc,
    a_scenario,
    a_service_doc,
    a_stage,
    order,
)
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time, loop

UNPAID = "select count(*) as n from orders where not paid"
NONE_UNPAID = ["row.n == 0"]


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of a database that the run knows as the one of service db."""
    file = tmp_path / "orders.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("create table orders (id integer, paid integer)")
    url = f"sqlite:///{file}"
    monkeypatch.setenv(names.ENV_CONNECTIONS, f'{{"db": "{url}"}}')
    return url


def asked(sql: dict[str, Any], expect: list[str] | None = None, **connections: str) -> str:
    """Give what a check says."""
    return check({"sql": sql, "expect": expect or []}, World(connections=connections), timeout_s=30)


def test_a_database_that_answers_holds_and_rows_are_judged(db: str) -> None:
    assert asked({"service": "db", "query": UNPAID}, db=db) == ""
    assert asked({"service": "db", "query": UNPAID}, NONE_UNPAID, db=db) == ""
    told = asked({"url": db, "query": "select :n as n", "params": {"n": 3}}, ["row.n == 0"])
    assert told == "expected row.n == 0, but row.n is 3"


def test_what_keeps_a_database_from_answering_is_told_without_its_password() -> None:
    address = f"127.0.0.1:{free_port()}/shop"
    db = f"postgresql://shop:s3cret-word@{address}"
    told = asked({"service": "db", "query": "select 1"}, db=db)
    assert f"db: postgresql://{address}: " in told
    assert "refused" in told
    assert "s3cret-word" not in told
    assert "no connection to 'db' is known" in asked({"service": "db", "query": "select 1"})


def a_probe(every: str = "100ms") -> dict[str, Any]:
    sql = {"service": "db", "query": UNPAID}
    return {"name": "all-paid", "sql": sql, "expect": NONE_UNPAID, "every": every}


@pytest.mark.parametrize(("paid", "reason"), [(1, "AllPassed"), (0, "ProbeFailed")])
def test_what_stands_in_a_database_fails_the_run_if_a_probe_says_so(
    db: str, paid: int, reason: str
) -> None:
    with closing(sqlite3.connect(db.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("insert into orders values (1, ?)", (paid,))

    async def course() -> RunNamespace:
        namespace = RunNamespace()
        loop().pace = 1.0  # the driver has to be imported
        order(namespace, a_run_doc(probes=[a_probe()], tests=[a_scenario("t")]))
        await a_conductor(namespace)
        return namespace

    summary = in_virtual_time(course()).summary()
    judgement = judge(summary, tests=["t"], probes=["all-paid"])
    assert judgement.reason == reason, judgement.message
    assert summary["probes"][0]["checks"] >= 1
    if not paid:
        assert "expected row.n == 0, but row.n is 1" in judgement.message


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("service", "told"),
    [
        pytest.param("db", "None", id="it-does"),
        pytest.param("dc", "recovery.until: step 1 of 1 (recovery.until): no connec", id="none"),
    ],
)
def test_a_system_is_well_again_when_its_database_says_so(service: str, told: str) -> None:
    until = {"sql": {"service": service, "query": UNPAID}, "expect": NONE_UNPAID}

    async def course() -> str | None:
        loop().pace = 0.2  # the driver has to be imported within those 10 s
        stage = await a_stage(RunNamespace(), a_run_doc())
        fault = a_fault_doc("f", recovery={"within": "10s", "until": until})
        target = a_service_doc()
        target["workloads"] = []  # nothing but the database is waited for
        return await recovers(stage, fault, [target], within_s=10.0)

    assert str(in_virtual_time(course())).startswith(told)
