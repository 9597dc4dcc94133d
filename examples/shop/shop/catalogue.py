"""
catalogue: prices, in PostgreSQL and, for who reads them, in a cache. The two agree in the end.

A price is written together with the word that the cache has yet to hear of it, in one transaction;
that word goes when the cache has heard, however long it was away. What is in the cache gives way
only to what is newer, so that it does not matter who comes first.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator

import asyncpg
import redis.asyncio
from aiohttp import web

from shop.service import DATABASE_ERRORS, POOL, background, failure, new_application

logger = logging.getLogger("shop.catalogue")
routes = web.RouteTableDef()

# Once is the bug of examples/cache-restart-broken: a cache that is away when a price changes never
# hears of it, and goes on with the old one when it is back.
TELLS_THE_CACHE = os.environ.get("TELLS_THE_CACHE", "until-it-knows")
LOOK_EVERY_S = 0.1
CACHE = web.AppKey("cache", redis.asyncio.Redis)
CACHE_ERRORS = (redis.RedisError, OSError, TimeoutError)
_SET_NEWER = """
if tonumber(redis.call('HGET', KEYS[1], 'version') or '0') < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'cents', ARGV[1], 'version', ARGV[2])
end
"""


def application() -> web.Application:
    app = new_application()
    app.cleanup_ctx.extend((_cache, background(_tell_what_it_missed)))
    app.add_routes(routes)
    return app


async def _cache(app: web.Application) -> AsyncIterator[None]:
    # Whoever asks for a price does not wait for a cache that is away.
    limits = {"socket_timeout": 2, "socket_connect_timeout": 2}
    async with redis.asyncio.from_url(
        os.environ["CACHE_URL"], decode_responses=True, retry=None, **limits
    ) as app[CACHE]:
        yield


@routes.put("/prices/{sku}")
async def change(request: web.Request) -> web.Response:
    """Set a price, ``{"cents": 100}``: 200 when it is written, with or without the cache."""
    sku, cents = request.match_info["sku"], (await request.json())["cents"]
    async with request.app[POOL].acquire() as connection, connection.transaction():
        price = await connection.fetchrow(
            "insert into prices (sku, cents, version) values ($1, $2, 1) on conflict (sku)"
            " do update set cents = excluded.cents, version = prices.version + 1 returning *",
            *(sku, cents),
        )
        if TELLS_THE_CACHE == "until-it-knows":
            await connection.execute(
                "insert into untold (sku, version) values ($1, $2) on conflict (sku)"
                " do update set version = excluded.version",
                *(sku, price["version"]),
            )
    try:
        await _tell(request.app, price)
    except CACHE_ERRORS as error:
        logger.warning("%s: the cache: %s", sku, error or type(error).__name__)
    return web.json_response({"sku": sku, "cents": price["cents"]})


@routes.get("/prices/{sku}")
async def show(request: web.Request) -> web.Response:
    """Give a price, and say whether it is from the ``cache`` or the ``database``."""
    sku = request.match_info["sku"]
    try:
        cached = await request.app[CACHE].hget(_key(sku), "cents")
    except CACHE_ERRORS:
        cached = None
    if cached is not None:
        return web.json_response({"sku": sku, "cents": int(cached), "from": "cache"})
    price = await request.app[POOL].fetchrow("select * from prices where sku = $1", sku)
    if price is None:
        return failure(404, "there is no such price")
    try:
        await _tell(request.app, price)
    except CACHE_ERRORS as error:
        logger.info("%s: the cache: %s", sku, error or type(error).__name__)
    return web.json_response({"sku": sku, "cents": price["cents"], "from": "database"})


def _key(sku: str) -> str:
    return f"price:{sku}"


async def _tell(app: web.Application, price: asyncpg.Record) -> None:
    """Have the cache know a price, unless it knows a newer one, and note that it does."""
    arguments = (price["cents"], price["version"])
    await app[CACHE].eval(_SET_NEWER, 1, _key(price["sku"]), *arguments)
    await app[POOL].execute(
        "delete from untold where sku = $1 and version <= $2", price["sku"], price["version"]
    )


async def _tell_what_it_missed(app: web.Application) -> None:
    while True:
        try:
            for price in await app[POOL].fetch(
                "select prices.* from prices join untold using (sku) limit 100"
            ):
                await _tell(app, price)
        except (*CACHE_ERRORS, *DATABASE_ERRORS) as error:
            logger.info("telling the cache later: %s", error or type(error).__name__)
        await asyncio.sleep(LOOK_EVERY_S)
