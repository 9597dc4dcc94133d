"""A real GraphQL server on loopback (Ariadne): orders, over HTTP and graphql-transport-ws."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.ports import free_port
from tests.support.started import serving

TOKEN = "g00d-token"
TYPES = """
type Query { order(id: ID!): Order  slow: Boolean  broken: Int! }
type Mutation { place(sku: String!, quantity: Int!, price: Float): Order! }
type Subscription { order(id: ID!, forever: Boolean = false): Order! }
enum Status { NEW PAID SHIPPED }
type Order { id: ID!  status: Status!  sku: String  quantity: Int }
"""


@dataclass(frozen=True)
class GraphqlShop:
    """Where it serves, and its process."""

    port: int
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def graphql_shop() -> Iterator[GraphqlShop]:
    """Run it in a process of its own."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="seatrial-graphql-"))
    command = [sys.executable, "-m", "tests.support.graphql_shop", str(port)]
    with serving(command, folder, lambda: _listens(port)) as process:
        yield GraphqlShop(port, process)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _app() -> Any:
    from ariadne import MutationType, QueryType, SubscriptionType, make_executable_schema
    from ariadne.asgi import GraphQL
    from ariadne.asgi.handlers import GraphQLTransportWSHandler

    query, mutation, subscription = QueryType(), MutationType(), SubscriptionType()

    @query.field("order")
    def order(_: Any, info: Any, id: str) -> dict[str, Any] | None:
        return {"id": id, "status": "NEW"} if id.startswith("o-") else None

    @query.field("slow")
    async def slow(_: Any, info: Any) -> bool:
        await asyncio.sleep(30)
        return True

    @query.field("broken")
    def broken(_: Any, info: Any) -> int:
        raise RuntimeError("the stock is not known")

    @mutation.field("place")
    def place(_: Any, info: Any, sku: str, quantity: int, price: float = 0) -> dict[str, Any]:
        return {"id": "o-1", "status": "NEW", "sku": sku, "quantity": quantity}

    @subscription.source("order")
    async def changes(
        _: Any,
        info: Any,
        id: str,
        *,
        forever: bool,
    ) -> AsyncIterator[dict[str, Any]]:
        for status in ("NEW", "PAID", "SHIPPED"):
            yield {"id": id, "status": status}
        if forever:
            await asyncio.Event().wait()

    @subscription.field("order")
    def changed(value: dict[str, Any], info: Any, **_: Any) -> dict[str, Any]:
        return value

    schema = make_executable_schema(TYPES, query, mutation, subscription)
    served = GraphQL(schema, websocket_handler=GraphQLTransportWSHandler())

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers") or ())
        if (
            scope["type"] == "lifespan"
            or headers.get(b"authorization") == b"Bearer " + TOKEN.encode()
        ):
            await served(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})  # before it is accepted: 403
        else:
            head = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 401, "headers": head})
            body = b'{"errors": [{"message": "who are you?"}]}'
            await send({"type": "http.response.body", "body": body})

    return guarded


def main() -> None:
    """Serve."""
    import uvicorn

    uvicorn.run(
        _app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", lifespan="off"
    )


if __name__ == "__main__":
    main()
