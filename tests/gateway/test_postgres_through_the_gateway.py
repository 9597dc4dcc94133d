"""PostgreSQL through the gateway: a pgbench run and a long COPY, with and without faults."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.envoy_process import an_http_fault
from tests.support.gateway_process import eventually
from tests.support.postgres import client, postgres, program, seconds_of
from tests.support.whole import OTHER, Whole, whole

Json = dict[str, Any]
FAILS = an_http_fault("fails", abort={"status": 503})
WAYS = ["layer-4", "through-envoy"]
# What takes time from all that passes, and nothing else; how much it takes of pgbench's ten
# transactions at least, of at least seven statements each.
SLOW = [
    pytest.param("latency", {"delay": "10ms"}, 10 * 7 * 0.02, id="latency"),
    pytest.param("bandwidth", {"rate": "20k"}, 0.0, id="bandwidth"),
]
HELD_S = 2.0  # longer than a busy machine stops a thread before it has sent anything


@pytest.fixture(scope="module")
def database() -> Iterator[int]:
    with postgres() as port:
        client(port, "pgbench", "-i", "-q", "-s", "1")
        yield port


@pytest.fixture(scope="module", params=WAYS)
def way(
    request: pytest.FixtureRequest, database: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Whole]:
    """Lead to the database: by layer 4 alone, or also through Envoy, to which it is not HTTP."""
    directory = tmp_path_factory.mktemp("envoy")
    with whole(directory, database, FAILS, with_envoy=request.param == "through-envoy") as all_:
        yield all_


@pytest.fixture
def db(way: Whole) -> Iterator[Whole]:
    yield way
    assert way.gateway.client.delete("/v1/faults").status_code == 200


@pytest.fixture(scope="module")
def rows() -> bytes:
    made = b"".join(b"%d\t%s\n" % (n, os.urandom(100).hex().encode()) for n in range(100_000))
    assert len(made) > 20_000_000
    return made


def pgbench(port: int, clients: int, transactions: int, *more: str) -> None:
    """Run it, and see that each transaction has been done."""
    counts = ("-c", str(clients), "-t", str(transactions))
    said = client(port, "pgbench", *counts, "-n", *more).decode()
    done = clients * transactions
    assert f"number of transactions actually processed: {done}/{done}" in said
    assert "number of failed transactions: 0 (0.000%)" in said


@pytest.mark.parametrize("time_", ["without-a-fault", "with-faults-elsewhere"])
def test_pgbench_runs_without_an_error(db: Whole, time_: str) -> None:
    if time_ == "with-faults-elsewhere":
        elsewhere = [{"service": OTHER, "port": None, "sources": None}]
        db.gateway.put("slow", "latency", params={"delay": "1s"}, paths=elsewhere)
        db.gateway.put("odd", "corrupt", params={}, paths=elsewhere)
        if db.beside:
            db.put_http("fails")  # of HTTP, which this is not
    pgbench(db.port, 8, 50)
    pgbench(db.port, 4, 25, "-C", "-S")  # a new connection for each transaction

    everything = db.gateway.client.get("/v1/faults").json()["faults"]
    assert [each["name"] for each in everything if each["hits"]] == []


@pytest.mark.parametrize(("kind", "params", "least_s"), SLOW)
def test_pgbench_takes_longer_and_does_not_fail(
    db: Whole, kind: str, params: Json, least_s: float
) -> None:
    db.gateway.put("slow", kind, params=params)
    begun = time.monotonic()
    pgbench(db.port, 8, 10)
    took = time.monotonic() - begun
    report = db.gateway.delete("slow")

    assert took >= least_s
    assert report["hits"] >= 8
    pgbench(db.port, 8, 10)


def test_pgbench_goes_on_after_a_partition(db: Whole, database: int) -> None:
    def done() -> int:
        return int(client(database, "psql", "-Atc", "select count(*) from pgbench_history"))

    before = done()
    with ThreadPoolExecutor() as pool:
        # At a rate, so that it takes its time on any machine.
        run = pool.submit(pgbench, db.port, 8, 200, "-R", "300")
        eventually(lambda: done() > before or run.done())
        db.gateway.put("cut", "partition", HELD_S)
        at = done()
        stood = at
        while (now := done(), db.gateway.report("cut"))[1]["remainingS"] > 0:
            stood = now
        run.result()
    eventually(lambda: db.gateway.report("cut")["state"] == "ended")
    report = db.gateway.report("cut")

    assert before < at < before + 1600  # in the middle of it
    assert stood <= at + 8  # what each client had said when it was cut off
    assert report["endedBy"] == "deadline"
    assert 1 <= report["hits"] <= 8  # the others were waiting for a row, and had nothing to say
    assert done() == before + 1600


@contextlib.contextmanager
def psql(port: int, command: str) -> Iterator[subprocess.Popen[bytes]]:
    where = ("-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-d", "postgres")
    process = subprocess.Popen(
        [program("psql"), *where, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
        assert process.wait(240) == 0
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def copied(port: int, rows: bytes) -> bytes:
    """Copy rows into the database and out again."""
    client(port, "psql", "-c", "drop table if exists long; create table long (n int, t text)")
    client(port, "psql", "-c", "copy long from stdin", stdin=rows)
    return client(port, "psql", "-c", "copy (select * from long order by n) to stdout")


def same(left: bytes, right: bytes) -> bool:
    return hashlib.sha256(left).digest() == hashlib.sha256(right).digest()


def test_a_long_copy_arrives_whole_in_both_directions(db: Whole, rows: bytes) -> None:
    assert same(copied(db.port, rows), rows)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        pytest.param("latency", {"delay": "50ms", "jitter": "20ms"}, id="latency"),
        pytest.param("bandwidth", {"rate": "20M"}, id="bandwidth"),
    ],
)
def test_a_long_copy_takes_longer_and_arrives_whole(
    db: Whole, rows: bytes, kind: str, params: Json
) -> None:
    db.gateway.put("slow", kind, params=params)
    begun = time.monotonic()
    came = copied(db.port, rows)
    took = time.monotonic() - begun
    report = db.gateway.delete("slow")

    assert same(came, rows)
    assert report["hits"] == 3
    if kind == "bandwidth":
        assert took >= 2 * len(rows) / 20_000_000 * 0.9


def test_a_long_copy_goes_on_after_a_partition(db: Whole, rows: bytes) -> None:
    half = len(rows) // 2
    client(db.port, "psql", "-c", "drop table if exists long; create table long (n int, t text)")
    with psql(db.port, "copy long from stdin") as writes:
        assert writes.stdin is not None
        writes.stdin.write(rows[:half])
        begun = time.monotonic()
        db.gateway.put("cut", "partition", HELD_S)
        writes.stdin.write(rows[half:])
        writes.stdin.close()
        writes.wait(240)
        into_s = time.monotonic() - begun
    with psql(db.port, "copy (select * from long order by n) to stdout") as reads:
        assert reads.stdout is not None
        came = reads.stdout.read(1_000_000)
        begun = time.monotonic()
        db.gateway.put("cut-again", "partition", HELD_S)
        came += reads.stdout.read()
        out_s = time.monotonic() - begun
    cuts = ("cut", "cut-again")
    eventually(lambda: all(db.gateway.report(name)["state"] == "ended" for name in cuts))
    reports = [db.gateway.report(name) for name in cuts]

    assert same(came, rows)
    assert min(into_s, out_s) >= HELD_S
    assert [(each["endedBy"], each["hits"]) for each in reports] == [("deadline", 1)] * 2


def test_a_database_is_slow_while_the_fault_lasts_and_no_longer(db: Whole) -> None:
    def took() -> float:
        return seconds_of(db.port, "select 1")

    eventually(lambda: took() < 1.5)
    db.gateway.put("slow", "latency", params={"delay": "500ms"})
    during = took()
    db.gateway.delete("slow")
    eventually(lambda: took() < 1.5)

    assert during >= 1.5  # at least three ways there and back
