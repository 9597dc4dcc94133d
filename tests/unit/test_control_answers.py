"""What answers at a pod's port may be anybody: an order that meets nonsense has met nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from seatrial.api.control import FaultOrder
from seatrial_runner.conductor.faults.control_client import ControlClient, UnreachableError

from localcluster.ports import free_port

ORDER: FaultOrder = {"kind": "freeze", "params": {}, "forS": 1.0, "seed": 1}
NONSENSE = {
    "no-json": b"<html>",
    "a-list": b"[]",
    "nested-too-deep": b"[" * 100_000,
    "nothing-of-it": b"{}",
    "other-types": b'{"state": "active", "boot": 7}',
    "counts-that-are-none": b'{"state": "ended", "boot": "b", "effective": null, "remainingS": 0,'
    b' "ended": null, "endedBy": null, "why": "", "hits": 0, "firstHit": null, "counts": []}',
}
# What comes into the summary as it is: the operator could not read it, nor the API server take it.
GOOD = {
    **{"state": "active", "boot": "b", "effective": None, "remainingS": 0, "ended": None},
    **{"endedBy": None, "why": "", "hits": 0, "firstHit": None, "counts": {}},
}
NONSENSE |= {
    f"{name}-{number}": json.dumps(GOOD | {name: value}).encode()
    for number, (name, value) in enumerate(
        [
            ("hits", 2**60),
            ("hits", -1),
            ("firstHit", "x"),
            ("firstHit", "2026-11-20T12:00:00Z" + " " * 100_000),
            ("effective", "9999-12-31T23:59:59-23:59"),
            ("ended", "now"),
            ("counts", {"bytes": "many"}),
            ("counts", {str(n): 1 for n in range(1000)}),
            ("boot", "b" * 10_000),
            ("why", "w" * 10_000),
            ("remainingS", float("nan")),
        ]
    )
}
NONSENSE["two-megabytes"] = json.dumps(GOOD | {"more": "x" * 2_000_000}).encode()


@pytest.fixture(params=NONSENSE.values(), ids=NONSENSE)
async def agent(request: pytest.FixtureRequest) -> AsyncIterator[ControlClient]:
    port, body = free_port(), request.param

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async def token() -> str:
        return "t0ken"

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    yield ControlClient("the agent", lambda: ("127.0.0.1", port), token)
    server.close()


async def test_nonsense_is_no_answer(agent: ControlClient) -> None:
    with pytest.raises(UnreachableError, match="the agent "):
        await agent.put("f", ORDER, patience_s=0.0)
    with pytest.raises(UnreachableError, match="the agent "):
        await agent.report("f")
    with pytest.raises(UnreachableError, match="the agent "):
        await agent.abilities(patience_s=0.0)
