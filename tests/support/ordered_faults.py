"""A place that carries faults out: the real control interface on loopback, over made-up effects."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from seatrial.api.control import FaultOrder
from seatrial.api.errors import FaultError, NotInjectedError
from seatrial.api.names import AGENT_PORT, GATEWAY_PORT
from seatrial_runner.control import Evidence
from seatrial_runner.control.ledger import Ledger
from seatrial_runner.control.routes import Routes
from seatrial_runner.httpserver import HttpServer

from tests.support.run_namespace import LOOPBACK, RunNamespace
from tests.support.virtual_time import loop

TOKEN = "a token of tests, long enough"


class MadeUp:
    """Carries every fault out by noting that it is on."""

    def __init__(self) -> None:
        self.on: dict[str, FaultOrder] = {}
        self.begun: list[str] = []
        self.met: dict[str, Evidence] = {}
        self.refuses = ""
        self.cannot: dict[str, str] = {}
        self.effect = True  # it is seen by whoever carries it out
        self.traffic = 0  # what meets a fault at once

    async def put(self, name: str, order: FaultOrder, deadline: float) -> None:
        if self.refuses:
            raise NotInjectedError(self.refuses)
        self.on[name] = order
        self.begun.append(name)
        self.met[name] = Evidence(effective=loop().now() if self.effect else None)
        if self.traffic:
            self.hit(name, self.traffic)

    async def renew(self, name: str, order: FaultOrder, deadline: float) -> None:
        if name not in self.on:
            raise FaultError("it is not on")

    async def delete(self, name: str) -> None:
        self.on.pop(name, None)

    async def evidence(self, name: str) -> Evidence:
        return self.met[name]

    async def abilities(self) -> dict[str, str]:
        return self.cannot

    def hit(self, name: str, count: int = 1) -> None:
        """Have a fault met by traffic."""
        now = loop().now()
        before = self.met[name]
        self.met[name] = replace(
            before,
            hits=before.hits + count,
            first_hit=before.first_hit or now,
            last_hit=now,
            counts={"bytes": 10 * (before.hits + count)},
        )


class OrderedPlace:
    """A server of the control interface in virtual time, which can be restarted and be away."""

    def __init__(self, *, token: str = TOKEN, host: str = "127.0.0.1", port: int = 0) -> None:
        self.carrier = MadeUp()
        self.sources: list[dict[str, list[str]]] = []
        self.token = token
        self.host = host
        self.port = port
        self._boots = 0
        self._serves = False
        self._server: HttpServer | None = None

    async def start(self) -> None:
        """Serve, on the same port as before; nothing is on."""
        loop().alone = True
        self._boots += 1
        self.carrier.on.clear()
        ledger = Ledger(
            self.carrier,
            boot=f"boot-{self._boots}",
            now=loop().now,
            monotonic=lambda: loop().time(),
        )
        routes = Routes(
            self.token, ledger, self.carrier, ready=lambda: "", take_sources=self._take_sources
        )
        self._ledger = ledger
        self._server = HttpServer(routes, routes.admits)
        self._serves = True
        self.port = await self._server.start(self.host, self.port)

    async def stop(self) -> None:
        """Be away; what is on stays on until its deadline."""
        if self._server is not None and self._serves:
            self._serves = False
            await self._server.stop()

    async def back(self) -> None:
        """Serve again after ``stop``, as if nothing had been."""
        assert self._server is not None
        self._serves = True
        await self._server.start(self.host, self.port)

    async def end_all(self) -> None:
        """End what is on, as on SIGTERM, and serve on."""
        await self._ledger.delete_all()

    async def lose(self, name: str) -> None:
        """End a fault before its time."""
        await self._ledger.lost(name)

    async def kill(self) -> None:
        """End, and with it every fault."""
        await self.stop()
        await self._ledger.close()
        self.carrier.on.clear()

    async def _take_sources(self, sources: dict[str, Any]) -> None:
        self.sources.append(sources)


class Agents:
    """Starts a place in each pod that gets an agent's container, on a port that they all share."""

    def __init__(self, namespace: RunNamespace) -> None:
        self.by_pod: dict[str, OrderedPlace] = {}
        self.cannot: dict[str, str] = {}
        self.port = AGENT_PORT
        self.traffic = 0
        self._tasks: set[asyncio.Task[None]] = set()
        namespace.on_agent = self._begin
        namespace.on_gone = self._end

    async def close(self) -> None:
        for place in self.by_pod.values():
            await place.kill()

    def on(self) -> list[str]:
        """Name what is on, in all pods."""
        return sorted(name for place in self.by_pod.values() for name in place.carrier.on)

    def begun(self) -> list[str]:
        return sorted(name for place in self.by_pod.values() for name in place.carrier.begun)

    def _begin(self, pod: dict[str, Any], container: dict[str, Any]) -> None:
        env = {each["name"]: each.get("value") for each in container["env"]}
        place = OrderedPlace(
            token=env["SEATRIAL_CONTROL_TOKEN"], host=pod["status"]["podIP"], port=self.port
        )
        place.carrier.cannot = self.cannot
        place.carrier.traffic = self.traffic
        self.by_pod[pod["metadata"]["name"]] = place
        self._spawn(place.start())

    def _end(self, name: str) -> None:
        if name in self.by_pod:
            self._spawn(self.by_pod[name].kill())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def a_gateway(namespace: RunNamespace) -> OrderedPlace:
    """Serve as the gateway of a namespace: its pod, its token, its control."""
    secret = {"token": base64.b64encode(TOKEN.encode()).decode()}
    namespace.add("secrets", {"metadata": {"name": "seatrial-gateway"}, "data": secret})
    namespace.our_pod("gateway")
    place = OrderedPlace(host=f"{LOOPBACK}.251", port=GATEWAY_PORT)
    await place.start()
    return place
