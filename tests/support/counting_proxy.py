"""A proxy before a real API server that counts an operator's writes, and can end it after one."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from types import TracebackType

import aiohttp
from aiohttp import web

# Renewed and told by the clock, not by what happens to a run.
_NOT_COUNTED = ("/leases", "/events")
_HOP_BY_HOP = {"transfer-encoding", "content-encoding", "content-length", "connection", "host"}


class CountingProxy:
    """
    Passes everything on, watches too, in a thread of its own.

    ``writes`` lists the writes that the API server has accepted, such as ``POST .../pods``.
    ``on_write`` is called after each, before the answer goes back: what it kills never hears it.
    """

    def __init__(self, upstream: str, ca: str) -> None:
        self.writes: list[str] = []
        self.on_write: Callable[[int], None] = lambda count: None
        self.url = ""
        self._upstream = upstream
        self._tls = ssl.create_default_context(cafile=ca)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> CountingProxy:
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(_cancel_the_others())
            self._loop.close()

    async def _serve(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            app = web.Application(client_max_size=4 * 1024 * 1024)

            async def pass_on(request: web.Request) -> web.StreamResponse:
                return await self._pass(session, request)

            app.router.add_route("*", "/{path:.*}", pass_on)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            self.url = f"http://127.0.0.1:{port}"
            self._started.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _pass(
        self, session: aiohttp.ClientSession, request: web.Request
    ) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        url = self._upstream + str(request.rel_url)
        try:
            async with session.request(
                request.method, url, headers=headers, data=await request.read() or None
            ) as answer:
                self._count(request, answer.status)
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                return response
        except aiohttp.ClientError:
            raise web.HTTPBadGateway from None

    def _count(self, request: web.Request, status: int) -> None:
        if request.method == "GET" or status >= 300 or request.path.endswith(_NOT_COUNTED):
            return
        if any(part in request.path for part in _NOT_COUNTED):
            return
        self.writes.append(f"{request.method} {request.path}")
        self.on_write(len(self.writes))


async def _cancel_the_others() -> None:
    """End the requests that will never be answered."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
