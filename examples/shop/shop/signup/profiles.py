"""profiles: a page for each user, made as soon as we hear of one."""

from __future__ import annotations

from aiohttp import web

from shop.events import Event, consume, events
from shop.service import POOL, background, failure, new_application

routes = web.RouteTableDef()


def application() -> web.Application:
    app = new_application()
    app.cleanup_ctx.append(events)
    app.cleanup_ctx.append(background(_make_profiles))
    app.add_routes(routes)
    return app


@routes.get("/profiles/{user}")
async def show(request: web.Request) -> web.Response:
    found = await request.app[POOL].fetchrow(
        'select "user", title from profiles where "user" = $1', int(request.match_info["user"])
    )
    return web.json_response(dict(found)) if found else failure(404, "there is no such profile")


async def _make_profiles(app: web.Application) -> None:
    async def make(event: Event) -> None:
        await app[POOL].execute(
            'insert into profiles ("user", title) values ($1, $2) on conflict do nothing',
            event["user"],
            f"The page of {event['name']}",
        )

    await consume(app, "user.created", make, durable="profiles")
