"""front: has many things done at once by worker, and tries again what one of its pods dropped."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web

from shop.service import AWAY, CLIENT, client, plain_application

routes = web.RouteTableDef()
# 1 is the bug of examples/replica-lost-broken: what a dying pod has dropped stays undone.
ATTEMPTS = int(os.environ.get("ATTEMPTS", "3"))
TIMEOUT = aiohttp.ClientTimeout(total=10)
SENT = web.AppKey("SENT", Counter[str])


def application() -> web.Application:
    app = plain_application()
    sent = app[SENT] = Counter()
    counting = aiohttp.TraceConfig()

    async def count(*_: Any) -> None:
        sent["requests"] += 1

    counting.on_request_headers_sent.append(count)
    app.cleanup_ctx.append(partial(client, traces=[counting]))
    app.add_routes(routes)
    return app


@routes.get("/answers")
async def answers(request: web.Request) -> web.Response:
    """Ask worker ``?requests=`` times at once, and say how many were answered, by how many pods."""
    count = min(int(request.query.get("requests", "24")), 100)
    done = await asyncio.gather(*(_ask(request.app[CLIENT]) for _ in range(count)))
    answered = [pod for pod in done if pod is not None]
    return web.json_response(
        {"asked": count, "answered": len(answered), "pods": len(set(answered))}
    )


@routes.get("/sent")
async def sent(request: web.Request) -> web.Response:
    """Say how many requests have gone out to worker."""
    return web.json_response({"requests": request.app[SENT]["requests"]})


async def _ask(session: aiohttp.ClientSession) -> str | None:
    for _ in range(ATTEMPTS):
        try:
            url = f"{os.environ['WORKER_URL']}/work"
            # POST, because aiohttp itself asks a second time where a GET got no answer.
            async with session.post(url, timeout=TIMEOUT) as response:
                response.raise_for_status()
                return str((await response.json())["by"])
        except AWAY:
            await asyncio.sleep(0.2)
    return None
