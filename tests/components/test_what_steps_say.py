"""
Every kind of step, in every situation of ``tests.support.told``: what it says, word by word.

What needs no server of its own (a port where nothing is, where nobody answers, or where something
else does) is tried for all kinds at the same time, so that the waits are one wait.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from seatrial_runner import scenario
from seatrial_runner.scenario import InstanceResult, World
from seatrial_runner.scenario.cluster import Access, Api, NamespaceCluster
from websockets.http11 import Response
from websockets.sync.server import ServerConnection

from localcluster.ports import free_port
from tests.support.brokers import USER
from tests.support.grpc_shop import a_shop, pool
from tests.support.loopback import Answer, Asked, Loopback
from tests.support.prometheus_server import prometheus_server
from tests.support.scenarios import run_steps
from tests.support.talker import Talker
from tests.support.told import DOWN, OTHER, REFUSES, SILENT, TOLD, Situation, agrees, told
from tests.unit.test_scenario_websocket import a_server, echo

# By kind of ``TOLD``: what finds the table there, and what writes to it.
OF_FILES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sql, SQLite": (
        {"sql": {"service": "x", "query": "select * from t"}},
        {"sql": {"service": "x", "query": "insert into t values (1)"}},
    ),
    "data, SQLite": tuple([{"data": {"service": "x", "rows": {"t": [{"n": 1}]}}}] * 2),
}
WRONG = "wr0ng-word"
ORDER = {"query": "query { order { id } }"}
OF_ORDER = ["response.data.order.id == 'o-1'"]
# By kind of ``TOLD``: the step, at HOST:PORT, and the connection ``x``.
STEPS: dict[str, tuple[dict[str, Any], str]] = {
    "http": (
        {"http": {"get": "http://AT/", "bearer": WRONG}, "expect": ["response.status == 200"]},
        "",
    ),
    "http, a stream of events": (
        {
            "http": {"get": "http://AT/", "bearer": WRONG, "stream": {"count": 1}},
            "expect": ["response.status == 200"],
        },
        "",
    ),
    "graphql": (
        {"graphql": {"url": "http://AT/", "bearer": WRONG, **ORDER}, "expect": OF_ORDER},
        "",
    ),
    "graphql, a subscription": (
        {
            "graphql": {
                "url": "http://AT/",
                "bearer": WRONG,
                "query": "subscription { order { id } }",
                "receive": {"count": 1},
            },
            "expect": OF_ORDER,
        },
        "",
    ),
    "grpc": (
        {
            "grpc": {"target": "AT", "method": "shop.Orders/Get", "bearer": WRONG},
            "expect": ["response.code == 'OK'"],
        },
        "",
    ),
    "websocket": ({"websocket": {"url": "ws://AT/", "bearer": WRONG, "receive": {}}}, ""),
    "redis": ({"redis": {"service": "x", "command": "PING"}}, f"redis://:{WRONG}@AT/0"),
    "mongo": (
        {"mongo": {"service": "x", "collection": "c", "find": {}}},
        f"mongodb://app:{WRONG}@AT/app",
    ),
    "kubernetes": ({"kubernetes": {"get": "pods"}}, ""),
    "logs": ({"logs": {"service": "orders", "contains": "paid"}}, ""),
    "exec": ({"exec": {"service": "orders", "command": ["ls"]}}, ""),
    "metrics, of a service": ({"metrics": {"url": "http://AT/metrics", "name": "up"}}, ""),
    "metrics, of Prometheus": ({"metrics": {"url": "http://AT", "query": "up"}}, ""),
    **{
        f"sql, {name}": ({"sql": {"service": "x", "query": "select 1 as one"}}, url)
        for name, url in (
            ("PostgreSQL", f"postgresql://postgres:{WRONG}@AT/app"),
            ("MySQL", f"mysql://app:{WRONG}@AT/app"),
        )
    },
    **{
        f"data, {name}": ({"data": {"service": "x", "rows": {"a": [{"id": 1}]}}}, url)
        for name, url in (
            ("PostgreSQL", f"postgresql://postgres:{WRONG}@AT/app"),
            ("MySQL", f"mysql://app:{WRONG}@AT/app"),
            ("Redis", f"redis://:{WRONG}@AT/0"),
            ("MongoDB", f"mongodb://app:{WRONG}@AT/app"),
        )
    },
    **{
        f"message, {name}{way}": (
            {"message": {**place, **what}},
            f"{scheme}://{USER}:{WRONG}@AT{path}",
        )
        for name, scheme, path, place, group in (
            ("Kafka", "kafka", "", {"topic": "told"}, {"group": "g"}),
            ("RabbitMQ", "amqp", "/", {"queue": "told"}, {}),
            ("NATS", "nats", "", {"subject": "told"}, {"stream": "told", "group": "g"}),
            ("Redis", "redis", "/0", {"stream": "told"}, {"group": "g"}),
            ("MQTT", "mqtt", "", {"topic": "told"}, None),
        )
        for way, what in (
            ("", {"to": "x", "json": {"n": 1}}),
            (", from", {"from": "x"}),
            (", backlog", {"from": "x", "backlog": True, **(group or {})}),
        )
        if way != ", backlog" or group is not None
    },
}
# Those whose time is the test's: they have none of their own.
WITHOUT_TIMEOUT = ("message", "kubernetes", "logs", "exec")
# Those that wait for somebody to come for as long as they may.
PATIENT = ("mongo", "data, MongoDB", "kubernetes", "logs", "exec")


def run(kind: str, port: int, seconds: int = 20) -> InstanceResult:
    """Do the step of a kind, with what is at a port of loopback on the other side."""
    at = f"127.0.0.1:{port}"
    step, url = STEPS[kind]
    [action] = [name for name in step if name != "expect"]
    own = action not in WITHOUT_TIMEOUT
    filled = {
        key: value.replace("AT", at) if isinstance(value, str) else value
        for key, value in step[action].items()
    }
    document = {**step, action: filled | ({"timeout": f"{seconds}s"} if own else {})}
    access = Access(f"http://{at}", None, lambda: {"Authorization": f"Bearer {WRONG}"})
    world = World(
        connections={"x": url.replace("AT", at)} if url else {},
        cluster=lambda: NamespaceCluster(Api(access), "itr-shop", {}),
    )
    result = run_steps([document], world, timeout="120s" if own else f"{seconds}s")
    assert WRONG not in result.message + result.details
    assert not own or "the test's time" not in result.message
    return result


def check(kind: str, situation: Situation, result: InstanceResult, port: int, **more: Any) -> None:
    assert result.outcome == "failed", result.message
    said = told(result.message, port, **more)
    # Whichever way messages go, the same is said.
    words = TOLD[kind.removesuffix(", from").removesuffix(", backlog")][situation]
    assert agrees(said, words), said


# Without servers ----------------------------------------------------------------------------------

BANNER = b"SSH-2.0-OpenSSH\r\n\r\n"
# By what is spoken: who reads frames waits for the rest of one, and of a WebSocket's two threads
# either may be the first to see what comes unasked.
PLACES: dict[tuple[Situation, str], Callable[[], contextlib.AbstractContextManager[int]]] = {
    (DOWN, ""): lambda: contextlib.nullcontext(free_port()),
    (SILENT, ""): Talker,
    (OTHER, ""): lambda: Talker(BANNER, stays=True),
    (OTHER, "frames"): lambda: Talker(BANNER),
    (OTHER, "WebSocket"): lambda: Talker(BANNER, polite=True),
}
SPEAK = {
    **dict.fromkeys(("sql", "redis", "mongo", "data", "message", "grpc"), "frames"),
    **dict.fromkeys(("websocket", "graphql"), "WebSocket"),
}
CELLS = [(kind, situation) for kind in STEPS for situation in (DOWN, SILENT, OTHER)]


@pytest.fixture(scope="module")
def tried() -> Iterator[dict[tuple[str, Situation], tuple[InstanceResult, int]]]:
    """What came of every kind where no server is needed."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(STEPS)) as threads:
        places = {each: stack.enter_context(place()) for each, place in PLACES.items()}

        def port_of(kind: str, situation: Situation) -> int:
            spoken = SPEAK.get(kind.partition(",")[0], "") if situation is OTHER else ""
            return places[situation, spoken]

        def tries(kind: str, situation: Situation) -> InstanceResult:
            return run(kind, port_of(kind, situation), _seconds(kind, situation))

        # NB: not in threads: pytest rewrites what it imports for the first time, and with Python
        # 3.11 two threads cannot do that at once ("AST constructor recursion depth mismatch").
        for module in pkgutil.walk_packages(scenario.__path__, f"{scenario.__name__}."):
            importlib.import_module(module.name)
        # Drivers are brought by the first step; a busy machine takes long for that.
        importlib.import_module("pymongo")
        ran = {(kind, DOWN): tries(kind, DOWN) for kind in STEPS if kind not in PATIENT}
        some = {cell: threads.submit(tries, *cell) for cell in CELLS if cell not in ran}
        ran |= {cell: each.result() for cell, each in some.items()}
        yield {cell: (result, port_of(*cell)) for cell, result in ran.items()}


def _seconds(kind: str, situation: Situation) -> int:
    return 3 if situation is SILENT or kind in PATIENT else 60


@pytest.mark.parametrize(("kind", "situation"), CELLS)
def test_what_is_away_silent_or_another_is_told(
    kind: str, situation: Situation, tried: dict[tuple[str, Situation], tuple[InstanceResult, int]]
) -> None:
    check(kind, situation, *tried[kind, situation])


# Wrong credentials --------------------------------------------------------------------------------


class Doorman(Loopback):
    """Lets nobody in."""

    def respond(self, asked: Asked) -> Answer:
        return Answer(401, json={"message": "Unauthorized"})


def _port(where: str) -> int:
    return int(where.rpartition("@")[2].rpartition(":")[2].partition("/")[0])


@contextlib.contextmanager
def refusing(kind: str, request: pytest.FixtureRequest) -> Iterator[int]:
    """Give the port of a real server that does not know the word."""
    fixtures = {
        "redis": "redis_url",
        "mongo": "mongo_url",
        "sql, PostgreSQL": "postgresql_url",
        "data, PostgreSQL": "postgresql_url",
        "sql, MySQL": "mariadb_url",
        "data, MySQL": "mariadb_url",
        "data, Redis": "redis_url",
        "data, MongoDB": "mongo_url",
        "message, Kafka": "kafka",
        "message, RabbitMQ": "rabbitmq",
        "message, NATS": "nats",
        "message, Redis": "redis",
        "message, MQTT": "mosquitto",
    }
    product = kind.removesuffix(", from").removesuffix(", backlog")
    if product in fixtures:
        given = request.getfixturevalue(fixtures[product])
        yield _port(given if isinstance(given, str) else given.url)
    elif kind == "grpc":
        with a_shop(pool(), token="good-token") as (where, _):
            yield _port(where)
    elif kind in ("websocket", "graphql, a subscription"):

        def refuse(connection: ServerConnection, asked: Any) -> Response:
            return connection.respond(401, "who are you?")

        with a_server(echo, process_request=refuse) as where:
            yield _port(where)
    elif kind == "metrics, of Prometheus":
        with prometheus_server(1) as port:
            yield port
    else:
        with Doorman() as door:
            yield _port(door.url)


@pytest.mark.parametrize("kind", STEPS)
def test_wrong_credentials_are_told(kind: str, request: pytest.FixtureRequest) -> None:
    with refusing(kind, request) as port:
        check(kind, REFUSES, run(kind, port), port)


# Files --------------------------------------------------------------------------------------------


def of_file(path: Path, step: dict[str, Any]) -> InstanceResult:
    [(action, document)] = step.items()
    timed = {action: {**document, "timeout": "300ms"}}
    return run_steps([timed], World(connections={"x": f"sqlite:///{path}"}))


@pytest.mark.parametrize("kind", OF_FILES)
def test_a_file_of_sqlite_that_is_locked_missing_or_none_is_told(kind: str, tmp_path: Path) -> None:
    reads, writes = OF_FILES[kind]
    there, nowhere, notes = tmp_path / "app.db", tmp_path / "no/app.db", tmp_path / "notes.txt"
    holder = sqlite3.connect(there, isolation_level=None)
    holder.execute("create table t (n int)")
    holder.execute("begin exclusive")
    check(kind, SILENT, of_file(there, writes), 0)
    holder.execute("rollback")
    holder.close()
    notes.write_text("no database, but some text " * 100)
    check(kind, DOWN, of_file(nowhere, reads), 0, file=str(nowhere))
    check(kind, OTHER, of_file(notes, reads), 0, file=str(notes))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without the right")
@pytest.mark.parametrize("kind", OF_FILES)
def test_a_file_of_sqlite_that_may_not_be_read_is_told(kind: str, tmp_path: Path) -> None:
    reads, _ = OF_FILES[kind]
    there, new = tmp_path / "app.db", tmp_path / "new.db"
    holder = sqlite3.connect(there)
    holder.execute("create table t (n int)")
    holder.close()
    there.chmod(0o600)
    assert of_file(there, reads).outcome == "passed"
    os.seteuid(65534)
    try:
        results = {each: of_file(each, reads) for each in (there, new)}
    finally:
        os.seteuid(0)
    for path, result in results.items():
        check(kind, REFUSES, result, 0, file=str(path))
