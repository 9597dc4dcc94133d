"""
mirror: a copy of the ledger, to read from; it asks for what is new, again and again.

While the ledger cannot be reached it goes on answering, and says that it is stale.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from shop.service import AWAY, CLIENT, client, plain_application

logger = logging.getLogger("shop.mirror")
routes = web.RouteTableDef()

ASKS_EVERY_S = 0.2
STALE_AFTER_S = 1.0
TIMEOUT = aiohttp.ClientTimeout(total=0.5)
# Head is the bug of examples/partition-broken: after an outage the mirror begins with what comes
# from now on, as if nothing could have been written meanwhile.
RESUMES_FROM = os.environ.get("RESUMES_FROM", "where-it-was")


class Copy:
    """What has been copied, and how."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.cursor = 0
        self.contact = time.monotonic()
        self.was_away = False

    @property
    def is_stale(self) -> bool:
        return time.monotonic() - self.contact > STALE_AFTER_S


COPY = web.AppKey("copy", Copy)


def application() -> web.Application:
    app = plain_application()
    app[COPY] = Copy()
    app.cleanup_ctx.append(client)
    app.cleanup_ctx.append(_copying)
    app.add_routes(routes)
    return app


@routes.get("/entries")
async def read(request: web.Request) -> web.Response:
    copy = request.app[COPY]
    return web.json_response({"entries": copy.entries, "stale": copy.is_stale})


async def _copying(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(_copy_for_ever(app))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _copy_for_ever(app: web.Application) -> None:
    copy = app[COPY]
    while True:
        try:
            await _copy_what_is_new(app[CLIENT], copy)
        except AWAY as error:
            copy.was_away = copy.cursor > 0  # at the start there is nothing to resume from
            logger.warning("ledger: %s", error or type(error).__name__)
        await asyncio.sleep(ASKS_EVERY_S)


async def _copy_what_is_new(session: aiohttp.ClientSession, copy: Copy) -> None:
    url = f"{os.environ['LEDGER_URL']}/entries"
    async with session.get(url, params={"since": str(copy.cursor)}, timeout=TIMEOUT) as response:
        response.raise_for_status()
        news = await response.json()
    if copy.was_away and RESUMES_FROM == "head":
        news["entries"] = []
    copy.entries += news["entries"]
    copy.cursor = news["size"]
    copy.was_away = False
    copy.contact = time.monotonic()
