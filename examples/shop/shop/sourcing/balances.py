"""
balances: the side that is read. It asks wallets for new events, and knows what each wallet has.

What an event changes and how far we have read are written together: one that dies in between has
missed nothing, and counts nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import aiohttp
from aiohttp import web

from shop.service import (
    AWAY,
    CLIENT,
    DATABASE_ERRORS,
    POOL,
    background,
    client,
    failure,
    new_application,
)
from shop.sourcing.wallet import SIGNS

logger = logging.getLogger("shop.sourcing.balances")
routes = web.RouteTableDef()
ASKS_EVERY_S = 0.1
TIMEOUT = aiohttp.ClientTimeout(total=1)


def application() -> web.Application:
    app = new_application()
    app.cleanup_ctx.extend((client, background(_follow)))
    app.add_routes(routes)
    return app


@routes.get("/balances/{wallet}")
async def show(request: web.Request) -> web.Response:
    found = await request.app[POOL].fetchrow(
        "select wallet, version, balance from balances where wallet = $1",
        request.match_info["wallet"],
    )
    return web.json_response(dict(found)) if found else failure(404, "there is no such wallet")


async def _follow(app: web.Application) -> None:
    while True:
        try:
            while await _read_on(app):
                pass
        except (*AWAY, *DATABASE_ERRORS) as error:
            logger.warning("reading on later: %s", error or type(error).__name__)
        await asyncio.sleep(ASKS_EVERY_S)


async def _read_on(app: web.Application) -> bool:
    """Count what is new; whether there was anything."""
    async with app[POOL].acquire() as connection, connection.transaction():
        # Locked: of a pod that is going and the one that comes for it, one reads at a time.
        position = await connection.fetchval("select position from read for update")
        events = await _after(app[CLIENT], position)
        for event in events:
            await connection.execute(
                "insert into balances (wallet, version, balance) values ($1, $2, $3)"
                " on conflict (wallet) do update set version = excluded.version,"
                " balance = balances.balance + excluded.balance",
                event["wallet"],
                event["version"],
                SIGNS[event["type"]] * event["amount"],
            )
            position = event["position"]
        await connection.execute("update read set position = $1", position)
    return bool(events)


async def _after(session: aiohttp.ClientSession, position: int) -> list[dict[str, Any]]:
    url = f"{os.environ['WALLETS_URL']}/events"
    async with session.get(url, params={"after": str(position)}, timeout=TIMEOUT) as response:
        response.raise_for_status()
        events: list[dict[str, Any]] = await response.json()
        return events
