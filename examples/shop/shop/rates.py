"""rates: what a euro costs. The service that quotes depends on."""

from __future__ import annotations

from aiohttp import web

from shop.service import plain_application

routes = web.RouteTableDef()


def application() -> web.Application:
    app = plain_application()
    app.add_routes(routes)
    return app


@routes.get("/rate")
async def rate(request: web.Request) -> web.Response:
    return web.json_response({"usd": 1.25})
