"""ledger: entries in order. The side of a pair that is written to; mirror copies it."""

from __future__ import annotations

from aiohttp import web

from shop.service import plain_application

routes = web.RouteTableDef()
ENTRIES = web.AppKey("entries", list)


def application() -> web.Application:
    app = plain_application()
    app[ENTRIES] = []
    app.add_routes(routes)
    return app


@routes.post("/entries")
async def add(request: web.Request) -> web.Response:
    entries = request.app[ENTRIES]
    entries.append((await request.json())["text"])
    return web.json_response({"entries": len(entries)}, status=201)


@routes.get("/entries")
async def read(request: web.Request) -> web.Response:
    """Give the entries from number ``?since=`` on, and how many there are."""
    entries = request.app[ENTRIES]
    since = int(request.query.get("since", "0"))
    return web.json_response({"entries": entries[since:], "size": len(entries)})
