"""
records: what there is about whom. Only services with a certificate are let in, and they are asked
for the token of the user all the same: it says whose records they may have.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from shop.auth.mutual import context
from shop.auth.tokens import KEYS, Keys, refusals, verified
from shop.service import client, plain_application

routes = web.RouteTableDef()
RECORDS = {"ada": ["born 1815", "likes engines"], "bob": ["likes boats"]}


def application() -> web.Application:
    """Give /health, for the kubelet, which has no certificate; the rest is on another port."""
    app = plain_application()
    app.cleanup_ctx.append(_secure)
    return app


async def _secure(app: web.Application) -> AsyncIterator[None]:
    inner = web.Application(middlewares=[refusals])
    inner[KEYS] = Keys()
    inner.cleanup_ctx.append(client)
    inner.add_routes(routes)
    runner = web.AppRunner(inner, access_log=None)
    await runner.setup()
    port = int(os.environ.get("TLS_PORT", "8443"))
    await web.TCPSite(runner, port=port, ssl_context=context(ssl.Purpose.CLIENT_AUTH)).start()
    yield
    await runner.cleanup()


@routes.get("/records")
async def records(request: web.Request) -> web.Response:
    """Give the records of the user whose token it is."""
    user = (await verified(request, "records"))["sub"]
    return web.json_response({"of": user, "records": RECORDS.get(user, [])})
