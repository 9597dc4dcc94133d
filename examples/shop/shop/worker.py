"""worker: work that takes its time. One of three; front shares the work out among them."""

from __future__ import annotations

import asyncio
import os
import socket

from aiohttp import web

from shop.service import plain_application

routes = web.RouteTableDef()
TAKES_S = float(os.environ.get("WORK_TAKES_S", "1.5"))


def application() -> web.Application:
    app = plain_application()
    app.add_routes(routes)
    return app


@routes.post("/work")
async def work(request: web.Request) -> web.Response:
    await asyncio.sleep(TAKES_S)
    return web.json_response({"by": socket.gethostname()})
