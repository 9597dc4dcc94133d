"""Requests that are held up, in the gateway itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.control import EnvoyDoc, ListenerDoc
from seatrial_runner.gateway.lanes import Hold, Lanes


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\n")
    writer.write(b"answer")
    writer.close()


async def _ask(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"ask\n")
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_the_address_of_a_service_is_looked_up_once_and_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    real, looked_up = loop.getaddrinfo, asyncio.Event()
    hosts: list[str] = []

    async def getaddrinfo(host: str, *arguments: Any, **more: Any) -> Any:
        if host == "orders.test":
            hosts.append(host)
            looked_up.set()
            host = "127.0.0.1"
        return await real(host, *arguments, **more)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    listener = ListenerDoc(
        service="orders",
        portName="http",
        port=server.sockets[0].getsockname()[1],
        listen=20001,
        upstreamHost="orders.test",
        envoy=EnvoyDoc(port=1, sources={}),
    )
    lanes = Lanes("slow", [listener], tmp_path)
    async with server, asyncio.timeout(30):
        await lanes.open(Hold(delay_s=60))
        held = asyncio.create_task(_ask(tmp_path / "slow.20001.sock"))
        await looked_up.wait()
        lanes.let_go()
        answers = [await held, await _ask(tmp_path / "slow.20001.sock")]
        await lanes.close()

    assert answers == [b"answer", b"answer"]
    assert hosts == ["orders.test"]
