"""router: finds the instances of worker by name, and gives each its turn."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter

import aiohttp
from aiohttp import web

from shop.service import AWAY, CLIENT, client, plain_application

routes = web.RouteTableDef()
HOST, PORT = os.environ.get("WORKER", "worker"), 8080
# once is the bug of examples/service-discovery-broken: who comes later gets no work.
DISCOVERS = os.environ.get("DISCOVERS", "always")
FRESH_S = 0.5
LEFT_OUT_S = 2.0  # an instance that has not answered
ATTEMPTS = 8
AT_ONCE = 10
TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)


class Instances:
    """The addresses that worker's name stands for, and whose turn it is."""

    def __init__(self) -> None:
        self._known: list[str] = []
        self._looked = float("-inf")
        self._turn = 0
        self._left_out: dict[str, float] = {}

    async def next(self) -> str:
        """Give the address whose turn it is."""
        now = time.monotonic()
        if not self._known or (DISCOVERS == "always" and now - self._looked > FRESH_S):
            self._looked = now
            await self._discover()
        fit = [each for each in self._known if self._left_out.get(each, 0) <= now]
        self._turn += 1
        addresses = fit or self._known
        return addresses[self._turn % len(addresses)]

    def leave_out(self, address: str) -> None:
        """Give an instance no work for a while."""
        self._left_out[address] = time.monotonic() + LEFT_OUT_S

    async def _discover(self) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(HOST, PORT, type=socket.SOCK_STREAM)
        self._known = sorted({str(address[0]) for *_, address in found})


INSTANCES = web.AppKey("instances", Instances)


def application() -> web.Application:
    app = plain_application()
    app[INSTANCES] = Instances()
    app.cleanup_ctx.append(client)
    app.add_routes(routes)
    return app


@routes.get("/answers")
async def answers(request: web.Request) -> web.Response:
    """Have ``?requests=`` things done, ten at once, and say how many each instance has done."""
    count = min(int(request.query.get("requests", "30")), 2000)
    limit = asyncio.Semaphore(AT_ONCE)
    done = await asyncio.gather(*(_ask(request.app, limit) for _ in range(count)))
    by = Counter(instance for instance in done if instance is not None)
    return web.json_response({"asked": count, "answered": by.total(), "by": by})


async def _ask(app: web.Application, limit: asyncio.Semaphore) -> str | None:
    async with limit:
        for _ in range(ATTEMPTS):
            address = "?"
            try:
                address = await app[INSTANCES].next()
                url = f"http://{address}:{PORT}/work"
                # POST, because aiohttp itself asks a second time where a GET got no answer.
                async with app[CLIENT].post(url, timeout=TIMEOUT) as response:
                    response.raise_for_status()
                    return str((await response.json())["by"])
            except (*AWAY, OSError):
                app[INSTANCES].leave_out(address)
                await asyncio.sleep(0.1)
        return None
