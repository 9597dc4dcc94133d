"""front: what users ask. It asks records in their name, with their token, over mutual TLS."""

from __future__ import annotations

import os
import ssl

import aiohttp
from aiohttp import web

from shop.auth.mutual import context
from shop.auth.tokens import KEYS, Keys, refusals, verified
from shop.service import CLIENT, client, plain_application

routes = web.RouteTableDef()
TIMEOUT = aiohttp.ClientTimeout(total=8)
SECURE = web.AppKey("secure", ssl.SSLContext)


def application() -> web.Application:
    app = plain_application()
    app.middlewares.append(refusals)
    app[KEYS] = Keys()
    app[SECURE] = context(ssl.Purpose.SERVER_AUTH)
    app.cleanup_ctx.append(client)
    app.add_routes(routes)
    return app


@routes.get("/records")
async def records(request: web.Request) -> web.Response:
    """Give the records of the user whose token it is; what records says, it says."""
    await verified(request, "front")
    url = f"{os.environ['RECORDS_URL']}/records"
    headers = {"Authorization": request.headers["Authorization"]}
    asking = request.app[CLIENT].get(url, headers=headers, ssl=request.app[SECURE], timeout=TIMEOUT)
    async with asking as response:
        return web.json_response(await response.json(), status=response.status)
