"""The control interface over loopback: who may ask, and what is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from seatrial.api.control import FaultOrder
from seatrial.api.errors import NotInjectedError
from seatrial_runner.control import ControlServer, Evidence

TOKEN = "0123456789abcdef"
ORDER: dict[str, Any] = {"kind": "latency", "params": {"delay": "1s"}, "forS": 30, "seed": 1}


class Willing:
    """A carrier that can all, but for the sake of one."""

    async def put(self, name: str, order: FaultOrder, deadline: float) -> None:
        if name == "impossible":
            raise NotInjectedError("the node's kernel has no such thing")
        if name == "senseless":
            raise ValueError("params.delay: is missing")
        if name == "broken":
            raise RuntimeError("secret words")

    async def renew(self, name: str, order: FaultOrder, deadline: float) -> None: ...

    async def delete(self, name: str) -> None: ...

    async def evidence(self, name: str) -> Evidence:
        return Evidence()

    async def abilities(self) -> dict[str, str]:
        return {"latency": ""}


@pytest.fixture
async def server() -> AsyncIterator[tuple[ControlServer, httpx.AsyncClient, dict[str, Any]]]:
    seen: dict[str, Any] = {"ready": ""}

    async def take(sources: dict[str, list[str]]) -> None:
        seen["sources"] = sources

    control = ControlServer(Willing(), TOKEN, ready=lambda: seen["ready"], take_sources=take)
    port = await control.start("127.0.0.1", 0)
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False
    ) as client:
        yield control, client, seen
    await control.stop()


async def test_the_life_of_an_order(server) -> None:
    control, client, _ = server

    put = await client.put("/v1/faults/slow", json=ORDER)
    again = await client.put("/v1/faults/slow", json=ORDER)
    all_of_them = await client.get("/v1/faults")
    gone = await client.delete("/v1/faults/slow")
    still = await client.get("/v1/faults/slow")

    assert put.status_code == 200
    assert put.json() | {"remainingS": 0} == {
        "name": "slow", "kind": "latency", "state": "active", "boot": control.boot,
        "applied": put.json()["applied"], "effective": None, "remainingS": 0, "ended": None,
        "endedBy": None, "why": "", "hits": 0, "firstHit": None, "lastHit": None, "counts": {},
    }  # fmt: skip
    assert again.json()["applied"] == put.json()["applied"]
    assert [each["name"] for each in all_of_them.json()["faults"]] == ["slow"]
    assert gone.json()["endedBy"] == "request"
    assert still.json() == gone.json()


@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/faults"), ("PUT", "/v1/faults/a"), ("DELETE", "/v1/faults"), ("GET", "/v1/x")],
)
async def test_nobody_gets_in_without_the_token(server, header, method, path) -> None:
    _, client, _ = server
    client.headers.pop("authorization")

    answer = await client.request(method, path, headers=header)

    assert answer.status_code == 401
    assert answer.json() == {"error": "give the token: Authorization: Bearer ..."}


async def test_health_needs_no_token_and_says_why_not(server) -> None:
    _, client, seen = server
    client.headers.pop("authorization")

    assert (await client.get("/healthz")).json() == {"status": "ok"}
    seen["ready"] = "a Service has no address yet"
    answer = await client.get("/healthz")

    assert (answer.status_code, answer.json()) == (503, {"error": "a Service has no address yet"})


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param({"kind": "sabotage"}, "kind: ", id="kind"),
        pytest.param({"forS": 0}, "forS: ", id="no-time"),
        pytest.param({"forS": 3601}, "forS: ", id="too-long"),
        pytest.param({"forS": True}, "forS: ", id="no-number"),
        pytest.param({"seed": -1}, "seed: ", id="seed"),
        pytest.param({"params": []}, "params: ", id="params"),
        pytest.param({"connections": 1.5}, "connections: ", id="share"),
        pytest.param({"paths": []}, "paths: ", id="no-path"),
        pytest.param({"paths": [{"port": "http"}]}, r"paths[0].service: ", id="path"),
        pytest.param({"surprise": 1}, "surprise: ", id="unknown"),
    ],
)
async def test_an_order_that_cannot_be_read_names_its_field(server, change, names) -> None:
    _, client, _ = server

    answer = await client.put("/v1/faults/a", json=ORDER | change)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(names)


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("PUT", "/v1/faults/impossible", 409, "the node's kernel has no such thing"),
        ("PUT", "/v1/faults/senseless", 400, "params.delay: is missing"),
        ("PUT", "/v1/faults/broken", 500, "this could not be handled; the log says why"),
        ("PUT", "/v1/faults/No_Name", 400, None),
        ("GET", "/v1/faults/unknown", 404, "fault unknown was never ordered"),
        ("DELETE", "/v1/faults/unknown", 404, "fault unknown was never ordered"),
        ("POST", "/v1/faults/a", 404, "there is no POST /v1/faults/a"),
        ("GET", "/v1/elsewhere", 404, "there is no GET /v1/elsewhere"),
    ],
)
async def test_what_goes_wrong_is_said_in_a_sentence(server, method, path, status, says) -> None:
    _, client, _ = server

    answer = await client.request(method, path, json=ORDER if method == "PUT" else None)

    assert answer.status_code == status
    assert says is None or answer.json()["error"].startswith(says)


async def test_sources_are_taken_and_abilities_told(server) -> None:
    control, client, seen = server
    sources = {"orders": ["10.0.0.7"], "tests": []}

    assert (await client.put("/v1/sources", json={"sources": sources})).status_code == 200
    assert (await client.put("/v1/sources", json={"sources": []})).status_code == 400

    assert seen["sources"] == sources
    abilities = (await client.get("/v1/abilities")).json()
    assert abilities == {"boot": control.boot, "abilities": {"latency": ""}}


async def test_a_body_is_bounded(server) -> None:
    _, client, _ = server

    answer = await client.put("/v1/faults/a", content=b"x" * (1024 * 1024 + 1))

    assert answer.status_code == 400


def test_a_forgotten_token_opens_no_door() -> None:
    with pytest.raises(ValueError, match="fewer than 16"):
        ControlServer(Willing(), "")
