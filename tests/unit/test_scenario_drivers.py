"""Drivers: imported by the first step that needs one; where one is missing, that is said."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

DOWN = "127.0.0.1:1"


@dataclass(frozen=True)
class Driven:
    """
    A step that needs a driver.

    Attributes:
        step: It need not pass.
        modules: What it imports, of all drivers.
        extra: What brings them.
        kind: As the message has it.
        url: Of the connection ``x``.
    """

    step: dict[str, Any]
    modules: set[str]
    extra: str
    kind: str = ""
    url: str = ""


def message(scheme: str, module: str, extra: str, **place: str) -> Driven:
    step = {"message": {"to": "x", **place, "json": {}}}
    return Driven(step, {module}, extra, "message", f"{scheme}://{DOWN}")


def sql(scheme: str, module: str) -> Driven:
    step = {"sql": {"service": "x", "query": "select 1 as one", "timeout": "1s"}}
    return Driven(step, {"sqlalchemy", module}, "sql", "sql", f"{scheme}://a:b@{DOWN}/x")


def data(scheme: str, module: str, extra: str) -> Driven:
    step = {"data": {"service": "x", "rows": {"a": [{"id": 1}]}, "timeout": "300ms"}}
    return Driven(step, {module}, extra, "data", f"{scheme}://{DOWN}/0")


GENERATED = {"a": {"count": 1, "fields": {"name": "fullName"}}}
CASES = {
    "kafka": message("kafka", "aiokafka", "kafka", topic="t"),
    "rabbitmq": message("amqp", "aiormq", "rabbitmq", queue="q"),
    "nats": message("nats", "nats", "nats", subject="s"),
    "mqtt": message("mqtt", "paho", "mqtt", topic="t"),
    "redis-streams": message("redis", "redis", "redis", stream="s"),
    "postgresql": sql("postgresql", "psycopg"),
    "mysql": sql("mysql", "pymysql"),
    "sqlite": Driven(
        {"sql": {"service": "x", "query": "select 1 as one"}},
        {"sqlalchemy"},
        "sql",
        url="sqlite:////nowhere/at/all.db",
    ),
    "redis": Driven(
        {"redis": {"service": "x", "command": "PING"}}, {"redis"}, "redis", url=f"redis://{DOWN}/0"
    ),
    "mongo": Driven(
        {"mongo": {"service": "x", "collection": "c", "find": {}, "timeout": "300ms"}},
        {"pymongo"},
        "mongo",
        url=f"mongodb://{DOWN}/app",
    ),
    "data": Driven({"data": {"generate": GENERATED}}, {"mimesis"}, "data"),
    "data-mongo": data("mongodb", "pymongo", "mongo"),
    "data-redis": data("redis", "redis", "redis"),
    "grpc": Driven({"grpc": {"target": DOWN, "method": "a.B/C"}}, {"grpc"}, "grpc"),
    "websocket": Driven({"websocket": {"url": f"ws://{DOWN}/"}}, {"websockets"}, "websocket"),
    "subscription": Driven(
        {"graphql": {"url": f"http://{DOWN}/", "query": "subscription { a }", "receive": {}}},
        {"websockets"},
        "websocket",
    ),
    "http2": Driven({"http": {"get": f"http://{DOWN}/", "http2": True}}, {"h2"}, "http2"),
    "metrics": Driven(
        {"metrics": {"url": f"http://{DOWN}", "name": "up"}}, {"prometheus_client"}, "metrics"
    ),
    "exec": Driven({"exec": {"service": "orders", "command": ["ls"]}}, {"websockets"}, "exec"),
    "schema": Driven(
        {"expect": ["matchesSchema(1, {'type': 'string'})"]},
        {"jsonschema_rs"},
        "schema",
        "matchesSchema: it",
    ),
}
DRIVERS = sorted(set().union(*(case.modules for case in CASES.values())))

# Every case in a fork of one process, which has imported what a plain request needs, and no driver.
# Line by line: the case, whether its drivers are kept from it, the drivers there are, the message.
_PROGRAM = """
import json, os, sys, warnings
from tests.support.played_cluster import PlayedCluster, a_pod
from tests.support.scenarios import run_steps
from seatrial_runner.scenario import World, preload

preload([{"scenario": [{"http": {"get": "http://x"}, "expect": ["true"]}]}])

def ready(played):
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    played.have({**a_pod("orders-0"), "status": status})
    return played.cluster

def run(step, url, missing):
    sys.modules.update(dict.fromkeys(missing))
    with PlayedCluster() as played:
        world = World(connections={"x": url} if url else {}, cluster=lambda: ready(played))
        return run_steps([step], world, timeout="3s")

drivers, cases = json.loads(sys.stdin.read())
for name, step, url, modules in cases:
    for missing in ([], modules):
        sys.stdout.flush()
        if os.fork() == 0:
            result = run(step, url, missing)
            there = [each for each in drivers if sys.modules.get(each)]
            print(json.dumps([name, bool(missing), there, result.outcome, result.message]))
            sys.stdout.flush()
            os._exit(0)
        os.wait()
print(json.dumps(["", False, [each for each in drivers if each in sys.modules], "", ""]))
"""


@dataclass(frozen=True)
class Ran:
    """What came of a case: the drivers that were there then, and what it said."""

    drivers: set[str]
    outcome: str
    message: str


@pytest.fixture(scope="module")
def ran() -> dict[tuple[str, bool], Ran]:
    cases = [[name, case.step, case.url, sorted(case.modules)[-1:]] for name, case in CASES.items()]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM],
        input=json.dumps([DRIVERS, cases]),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {(name, missing): Ran(set(there), *rest) for name, missing, there, *rest in lines}


def test_an_engine_has_no_driver(ran: dict[tuple[str, bool], Ran]) -> None:
    assert ran["", False].drivers == set()


@pytest.mark.parametrize("name", CASES)
def test_a_driver_is_imported_by_the_step_that_needs_it(
    name: str, ran: dict[tuple[str, bool], Ran]
) -> None:
    assert ran[name, False].drivers == CASES[name].modules, ran[name, False].message


@pytest.mark.parametrize("name", CASES)
def test_a_driver_that_is_not_there_is_said_with_its_extra(
    name: str, ran: dict[tuple[str, bool], Ran]
) -> None:
    case, without = CASES[name], ran[name, True]
    kind = case.kind or next(iter(case.step))
    if name == "subscription":
        kind = "websocket"
    if kind == "http":
        kind = "http2"
    assert f"{kind} needs the extra: pip install 'seatrial[{case.extra}]'" in without.message
    assert without.outcome in ("failed", "error")
    assert "\n" not in without.message
