"""A database that goes away, comes back, or stops answering; and what each type becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult
from seatrial_runner.scenario.engine import run_instance
from seatrial_runner.scenario.matrix import expand

from tests.support.postgres import backends_frozen, postgres
from tests.support.scenarios import a_world, run_steps
from tests.support.talker import Talker

ONE = {"service": "db", "query": "select 1 as one"}


def passed(result: InstanceResult) -> None:
    assert result.outcome == "passed", f"{result.message}\n{result.details}"


@pytest.fixture
def world(postgresql_url: str) -> Any:
    return a_world(connections={"db": postgresql_url})


def test_a_connection_that_was_closed_between_two_steps_is_no_failure(world: Any) -> None:
    kill = (
        "select pg_terminate_backend(pid, 9000) from pg_stat_activity"
        " where application_name = 'seatrial' and pid <> pg_backend_pid()"
    )
    step = {"sql": ONE, "expect": ["row.one == 1"]}
    passed(
        run_steps(
            [
                {"sql": {**ONE, "transaction": "t"}},
                {"parallel": [{"steps": [step]}, {"steps": [step]}, {"steps": [step]}]},
                {"sql": {"service": "db", "query": kill}},
                {"parallel": [{"steps": [step]}, {"steps": [step]}, {"steps": [step]}]},
                {
                    "sql": {**ONE, "transaction": "t"},
                    "expectError": ["error.name == 'connectionLost'"],
                },
            ],
            world,
        )
    )


def test_a_transaction_lost_with_its_connection_is_said(world: Any) -> None:
    me = "select pg_terminate_backend(pg_backend_pid())"
    lost = {"sql": {"service": "db", "query": me, "transaction": "t"}, "expectError": ["true"]}
    use = {"sql": {**ONE, "transaction": "t"}}
    assert "transaction 't' was lost with its connection" in run_steps([lost, use], world).message
    assert "nothing is committed" not in run_steps([lost, {"sql": {"commit": "t"}}], world).message
    failed = run_steps([lost, {"sql": {"commit": "t"}}], world)
    assert "its connection was lost before" in failed.message
    passed(run_steps([lost, {"sql": {"rollback": "t"}}, {"sql": ONE}], world))


def test_a_server_that_stops_answering_is_given_up_in_time() -> None:
    with postgres() as port:
        world = a_world(connections={"db": f"postgresql://postgres@127.0.0.1:{port}/postgres"})
        [instance] = expand({"name": "x", "timeout": "10s", "scenario": [{"sql": ONE}]})
        passed(run_instance(instance, world))
        frozen = {"service": "db", "query": "select pg_sleep(60)", "timeout": "400ms"}

        with backends_frozen(port):
            failed = run_steps([{"sql": frozen}], world)
        assert "timeout" in failed.message
        assert "the test's time" not in failed.message


TYPES = {
    "smallint '7'": 7,
    "9007199254740993::bigint": 9007199254740993,
    "numeric '12.50'": 12.5,
    "numeric '12345678901234567.89'": "12345678901234567.89",
    "numeric 'NaN'": "NaN",
    "float8 '0.5'": 0.5,
    "float8 'Infinity'": "inf",
    "true": True,
    "null::int": None,
    "date '2026-01-31'": "2026-01-31",
    "time '12:30'": "12:30:00",
    "timestamp '2026-01-31 12:00:00.5'": "2026-01-31T12:00:00.500000",
    "timestamptz '2026-01-31 12:00:00+02'": "2026-01-31T10:00:00Z",
    "interval '1 minute 30 seconds'": "90s",
    "'\\x00ff'::bytea": "AP8=",
    "uuid '0b7e6f6e-5c0c-4f0e-8f6e-2f3f5b1f0a11'": "0b7e6f6e-5c0c-4f0e-8f6e-2f3f5b1f0a11",
    "jsonb '{\"a\": [1, null]}'": {"a": [1, None]},
    "array[1, 2]": [1, 2],
    "inet '10.0.0.1'": "10.0.0.1",
    "int4range(1, 5)": "[1, 5)",
    "'snow ☃'::text": "snow ☃",
}


def test_every_type_becomes_json(world: Any) -> None:
    import json

    columns = ", ".join(f"{expression} as c{n}" for n, expression in enumerate(TYPES))
    wanted = list(TYPES.values())
    step = {
        "sql": {"service": "db", "query": f"select {columns}"},
        "expect": [
            f"row.c{n} == {json.dumps(each, ensure_ascii=False)}" for n, each in enumerate(wanted)
        ],
    }
    passed(run_steps([step], world))


def test_values_keep_their_types_on_the_way_in(world: Any) -> None:
    query = (
        "select pg_typeof(:i)::text as i, (:doc)->>'a' as doc, :ids as ids, :u::uuid = :u as same,"
        " :nothing::text as nothing"
    )
    params = {
        "i": "{{ number }}",
        "doc": {"a": "b"},
        "ids": [1, 2],
        "u": "0b7e6f6e-5c0c-4f0e-8f6e-2f3f5b1f0a11",
        "nothing": None,
    }
    step = {
        "sql": {"service": "db", "query": query, "params": params},
        "expect": [
            "row.i == 'smallint'",
            "row.doc == 'b'",
            "row.ids == [1, 2]",
            "row.same",
            "row.nothing == null",
        ],
    }
    passed(run_steps([{"set": {"number": "3"}}, step], world))


def test_what_json_cannot_say_is_told(world: Any) -> None:
    step = {"sql": {"service": "db", "query": "select timestamptz 'infinity' as forever"}}
    failed = run_steps([step], world)
    assert failed.outcome == "failed"
    assert "timestamp too large" in failed.message


def test_a_result_that_is_too_large_costs_no_memory(world: Any) -> None:
    many = "select n, repeat('x', 100) as t from generate_series(1, 3000000) as n"
    before = _resident_kib()
    failed = run_steps([{"sql": {"service": "db", "query": many}}], world)
    assert "more than 1000 rows" in failed.message
    assert _resident_kib() - before < 50_000


def _resident_kib() -> int:
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1])


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_what_is_no_database_is_said(scheme: str) -> None:
    with Talker(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        step = {"sql": {"url": f"{scheme}://a:b@127.0.0.1:{port}/x", "query": "select 1 as one"}}
        failed = run_steps([step])
    assert failed.outcome == "failed"
    assert f"{scheme}://127.0.0.1:{port}/x: " in failed.message


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_port_that_says_nothing_is_given_up_in_time(scheme: str) -> None:
    with Talker() as port:
        url = f"{scheme}://a:b@127.0.0.1:{port}/x"
        failed = run_steps([{"sql": {"url": url, "query": "select 1 as one", "timeout": "1s"}}])
    assert failed.outcome == "failed"
    assert "the test's time" not in failed.message


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, but some text " * 100)
    url = f"sqlite:///{tmp_path}/notes.txt"
    failed = run_steps([{"sql": {"url": url, "query": "select * from t"}}])
    assert "file is not a database (invalidData, SQLITE_NOTADB)" in failed.message


def test_a_database_that_there_is_not_is_said(postgresql_url: str, mariadb_url: str) -> None:
    for url in (postgresql_url, mariadb_url):
        step = {"sql": {"url": url.removesuffix("app") + "nowhere", "query": "select 1 as one"}}
        assert "undefinedDatabase" in run_steps([step]).message
