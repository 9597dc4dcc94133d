"""A service is reachable, or cut off, when its clients find it so; the API server is early."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from seatrial.api.journal import ServiceDoc
from seatrial_runner.conductor import reach

from localcluster.ports import free_port


@pytest.fixture(autouse=True)
def _works_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker be a thread: a forked one would keep the listeners open."""

    async def run(work: Any, listen: Any, *, timeout_s: float) -> Any:
        loop = asyncio.get_running_loop()

        def tell(message: Any) -> None:
            asyncio.run_coroutine_threadsafe(listen(message), loop).result()

        return await asyncio.to_thread(work, SimpleNamespace(tell=tell))

    monkeypatch.setattr(reach, "run_in_worker", run)
    monkeypatch.setattr(reach, "makes_checks", lambda: None)  # it would last, in this process


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def test_what_does_not_accept_is_cut_off() -> None:
    assert await reach.until_cut_off(["127.0.0.1"], [free_port()]) == []


async def test_what_still_accepts_for_a_moment_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reach, "CUT_OFF_S", 30.0)
    server = listener()
    accepted = []

    def accept_twice() -> None:
        for _ in range(2):
            accepted.append(server.accept()[0])
        server.close()

    thread = threading.Thread(target=accept_twice)
    thread.start()
    assert await reach.until_cut_off(["127.0.0.1"], [server.getsockname()[1]]) == []
    thread.join()
    assert len(accepted) == 2
    for each in accepted:
        each.close()


async def test_what_accepts_for_ever_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "CUT_OFF_S", 0.0)
    with listener() as server:
        port = server.getsockname()[1]
        assert await reach.until_cut_off(["127.0.0.1"], [port]) == [f"127.0.0.1:{port}"]


async def test_a_port_is_reachable_when_it_accepts_several_times_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As behind a proxy that still knows a pod that is gone.
    answers = iter([True, True, False, True, True, True])
    monkeypatch.setattr(reach, "_accepts", lambda host, port: next(answers))
    orders = {"name": "orders", "hosts": ["orders"], "ports": [{"name": "http", "port": 8080}]}
    await reach.until_reachable([cast("ServiceDoc", orders)], in_a_row=3)
    assert list(answers) == []


async def test_the_proxy_of_a_busy_node_has_longer_than_it_should_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    asked: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 0.5

    def accepts(host: str, port: int) -> bool:
        asked.append(now)
        return now >= 6

    monkeypatch.setattr(reach, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    monkeypatch.setattr(reach, "_accepts", accepts)
    orders = {"name": "orders", "hosts": ["orders"], "ports": [{"name": "http", "port": 8080}]}
    await reach.until_reachable([cast("ServiceDoc", orders)])
    assert asked[-1] == 6


async def test_a_port_that_refuses_is_told_while_it_is_waited_for_and_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    told: list[tuple[float, str, str]] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 0.5

    monkeypatch.setattr(reach, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    refusing = free_port()
    with listener() as server:
        there = server.getsockname()[1]
        names = {"a-db": there, "orders": refusing, "web": refusing}
        services = [
            {"name": name, "hosts": ["127.0.0.1"], "ports": [{"name": "x", "port": port}]}
            for name, port in names.items()
        ]
        missing = await reach.until_reachable(
            cast("list[ServiceDoc]", services), tell=lambda *each: told.append((now, *each))
        )
    why = f"connection refused: nothing listens on 127.0.0.1:{refusing}"
    assert missing == {"orders": why, "web": why}
    assert told == [(3.0, "orders", why)]


@pytest.mark.parametrize(
    ("in_front", "asked"),
    [(True, ["orders", "seatrial-direct-orders"]), (False, ["seatrial-direct-orders"])],
)
async def test_recovery_is_not_looked_for_where_other_faults_are(
    in_front: bool, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[str] = []
    monkeypatch.setattr(reach, "_accepts", lambda host, port: not met.append(host))  # type: ignore[func-returns-value]
    orders = {
        "name": "orders",
        "hosts": ["orders"],
        "ports": [{"name": "http", "port": 8080}],
        "direct": {"orders": "seatrial-direct-orders"},
    }
    await reach.until_reachable([cast("ServiceDoc", orders)], in_front=in_front)
    assert met == asked


@pytest.mark.parametrize(("patience_s", "resolved"), [(30.0, 3), (0.0, 1)])
async def test_names_are_waited_for_before_any_port_is_asked(
    patience_s: float, resolved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The cluster's DNS learns of a Service some time after the API server.
    asked: list[str] = []

    def resolves(host: str) -> bool:
        asked.append("name")
        return len(asked) == 3

    monkeypatch.setattr(reach, "_resolves", resolves)
    monkeypatch.setattr(reach, "_accepts", lambda host, port: not asked.append("port"))  # type: ignore[func-returns-value]
    orders = {"name": "orders", "hosts": ["orders"], "ports": [{"name": "http", "port": 8080}]}
    await reach.until_reachable([cast("ServiceDoc", orders)], named_within_s=patience_s)
    assert asked == ["name"] * resolved + ["port"]
