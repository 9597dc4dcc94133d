"""The conductor's probes see each http fault in the real Envoy, and see nothing without it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from seatrial_runner.conductor.faults.http_sight import http_is_seen

from localcluster.ports import free_port
from tests.support.envoy_process import EnvoyProcess, a_listener, an_http_fault

SEEN: list[Any] = [
    pytest.param({"abort": {"status": 503}}, id="abort"),
    pytest.param({"abort": {"grpcStatus": 14}}, id="abort-grpc"),
    pytest.param({"delay": "200ms"}, id="delay"),
    pytest.param({"rate": "4Ki"}, id="rate"),
    pytest.param({"body": {"replace": "{}"}}, id="replaced"),
    pytest.param({"body": {"truncate": 3}}, id="truncated"),
    pytest.param({"body": {"contentType": "text/html"}}, id="content-type"),
    pytest.param({"abort": {"status": 500}, "share": "1%"}, id="few"),
    pytest.param(
        {
            "abort": {"status": 500},
            "match": {"methods": ["POST"], "pathPrefix": "/orders", "headers": {"X-Tenant": "a"}},
        },
        id="matching",
    ),
    pytest.param({"abort": {"status": 500}, "match": {"path": "/orders/1"}}, id="path"),
]


@pytest.mark.parametrize("http", SEEN)
def test_a_fault_is_seen_while_it_is_there_and_only_then(
    tmp_path: Path, http: dict[str, Any]
) -> None:
    async def course() -> list[bool]:
        nobody = free_port()
        envoy = EnvoyProcess(tmp_path, [an_http_fault("odd", **http)], [a_listener(nobody)])

        async def look(params: dict[str, Any]) -> bool:
            def ask() -> bool:
                with socket.create_connection(("127.0.0.1", envoy.port), timeout=5) as connection:
                    return http_is_seen(params, "odd", connection)

            return await asyncio.to_thread(ask)

        async def still_look(params: dict[str, Any]) -> bool:
            """Tell whether each of some looks sees it; a busy machine is late for one of them."""
            for _ in range(5):
                if not await look(params):
                    return False
            return True

        async with envoy:
            fault = envoy.faults["odd"].http
            assert fault is not None
            params = fault.model_dump(mode="json", by_alias=True, exclude_none=True)
            seen = [await still_look(params)]
            await envoy.order("odd")
            seen.append(await look(params))
            await envoy.end("odd")
            seen.append(await still_look(params))
        return seen

    assert asyncio.run(course()) == [False, True, False]


@pytest.mark.parametrize(
    ("ordered", "asked"),
    [
        ({"delay": "50ms"}, {"delay": "2s"}),
        ({"abort": {"status": 503}}, {"abort": {"status": 500}}),
        ({"body": {"replace": "{}"}}, {"body": {"replace": "[]"}}),
        ({"body": {"contentType": "text/html"}}, {"body": {"contentType": "text/plain"}}),
    ],
)
def test_another_than_was_asked_for_is_not_seen(
    tmp_path: Path, ordered: dict[str, Any], asked: dict[str, Any]
) -> None:
    async def course() -> bool:
        nobody = free_port()
        envoy = EnvoyProcess(tmp_path, [an_http_fault("odd", **ordered)], [a_listener(nobody)])

        def ask() -> bool:
            with socket.create_connection(("127.0.0.1", envoy.port), timeout=5) as connection:
                return http_is_seen(asked, "odd", connection)

        async with envoy:
            await envoy.order("odd")
            return await asyncio.to_thread(lambda: all(ask() for _ in range(3)))

    assert asyncio.run(course()) is False
