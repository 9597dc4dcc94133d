"""
wallets: the side that is written to. An event is appended and never changed.

Whoever appends says which version of the wallet the decision was made on. If the wallet has gone on
since, somebody else was first, and the answer is 409: look again, and decide again.
"""

from __future__ import annotations

import os
import uuid

import asyncpg
from aiohttp import web

from shop.service import POOL, failure, new_application
from shop.sourcing.wallet import SIGNS, NotEnoughError, Wallet

routes = web.RouteTableDef()

# Off is the bug of examples/event-sourcing-broken: who comes second writes over the event of who
# was first, and neither of them hears of it.
CHECKS_VERSION = os.environ.get("CHECKS_VERSION", "on")
APPEND = "insert into events (wallet, version, type, amount, author) values ($1, $2, $3, $4, $5)"
OVERWRITE = (
    " on conflict (wallet, version) do update"
    " set type = excluded.type, amount = excluded.amount, author = excluded.author"
)
# Positions are drawn when an event is written and seen when it is committed: without this lock
# a reader could pass by a position that is still under way.
IN_ORDER = "select pg_advisory_xact_lock(1)"

# How the wallets stand that were asked for; all of it can be had from the events again.
KNOWN = web.AppKey("known", dict[str, Wallet])
BOOT = web.AppKey("boot", str)


def application() -> web.Application:
    app = new_application()
    app[KNOWN] = {}
    app[BOOT] = uuid.uuid4().hex
    app.add_routes(routes)
    return app


@routes.post("/wallets/{wallet}/events")
async def append(request: web.Request) -> web.Response:
    """
    Append ``{"expected": 3, "type": "deposited", "amount": 5, "author": "ada"}``: 201.

    409 when the wallet is not at the expected version, 422 when it has not so much.
    """
    given, name = await request.json(), request.match_info["wallet"]
    if given["type"] not in SIGNS:
        return failure(422, f"{given['type']} is not one of {', '.join(SIGNS)}")
    wallet = await _wallet(request.app, name)
    if CHECKS_VERSION == "on" and wallet.version != given["expected"]:
        return _conflict(wallet)
    try:
        wallet.after(given)
        await _write(request.app[POOL], name, given)
    except NotEnoughError as error:
        return failure(422, str(error))
    except asyncpg.UniqueViolationError:
        return _conflict(await _wallet(request.app, name))
    return web.json_response({"wallet": name, "version": given["expected"] + 1}, status=201)


@routes.get("/wallets/{wallet}")
async def show(request: web.Request) -> web.Response:
    """Tell how a wallet stands, and which process says so; ``?at=3``: how it stood then."""
    name, at = request.match_info["wallet"], request.query.get("at")
    if at is None:
        wallet = await _wallet(request.app, name)
    else:
        wallet = Wallet(name).replay((await _events(request.app[POOL], name, 0))[: int(at)])
    return web.json_response(wallet.as_json(), headers={"X-Boot": request.app[BOOT]})


@routes.get("/events")
async def feed(request: web.Request) -> web.Response:
    """Give the events after position ``?after=``, of all wallets, in order."""
    rows = await request.app[POOL].fetch(
        "select position, wallet, version, type, amount from events"
        " where position > $1 order by position limit 100",
        int(request.query.get("after", "0")),
    )
    return web.json_response([dict(row) for row in rows])


def _conflict(wallet: Wallet) -> web.Response:
    return failure(409, f"{wallet.id} is at version {wallet.version}")


async def _wallet(app: web.Application, name: str) -> Wallet:
    """Give a wallet as it is now: what we know of it, and what has come since."""
    known = app[KNOWN].get(name, Wallet(name))
    wallet = known.replay(await _events(app[POOL], name, known.version))
    app[KNOWN][name] = wallet
    return wallet


async def _events(pool: asyncpg.Pool, name: str, after: int) -> list[asyncpg.Record]:
    return await pool.fetch(
        "select type, amount from events where wallet = $1 and version > $2 order by version",
        name,
        after,
    )


async def _write(pool: asyncpg.Pool, name: str, event: dict[str, object]) -> None:
    # The key is the wallet and its version: of two that come at once the database takes one.
    statement = APPEND if CHECKS_VERSION == "on" else APPEND + OVERWRITE
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(IN_ORDER)
        await connection.execute(
            statement,
            name,
            event["expected"] + 1,
            event["type"],
            event["amount"],
            event["author"],
        )
