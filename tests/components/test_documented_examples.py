"""
Examples of the documentation that need a database or broker; see ``tests.support.documented``.

With WRITE_DOCS in the environment their output is written into the pages, and not compared.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from seatrial.plan.steps import scenario_problems
from websockets.sync.server import ServerConnection, serve

from tests.support.documented import NEEDS, Example, Page, output_of, results, write
from tests.support.documented_shop import Shop, world_of
from tests.support.grpc_shop import a_shop, pool
from tests.support.write_documented import PAGES

# The fixture that gives a URL with credentials; what is not here is not there.
URLS = {
    "postgres": "postgresql_url",
    "mysql": "mariadb_url",
    "redis": "redis_url",
    "mongodb": "mongo_url",
    "grpc": "grpc_url",
    "websocket": "chat_url",
}
EXAMPLES = [each for page in PAGES for each in Page(page).examples() if each.needs]


@pytest.fixture(scope="module")
def grpc_url() -> Iterator[str]:
    with a_shop(pool()) as (where, _):
        yield f"http://{where}"


@pytest.fixture
def chat_url() -> Iterator[str]:
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def url_of(needs: str, request: pytest.FixtureRequest) -> str:
    if needs in URLS:
        return str(request.getfixturevalue(URLS[needs]))
    url: str = request.getfixturevalue(needs).url
    return url


# From the end: what is written changes no place before it.
@pytest.mark.parametrize("example", EXAMPLES[::-1], ids=lambda each: each.id)
def test_an_example_does_what_it_says(example: Example, request: pytest.FixtureRequest) -> None:
    assert list(scenario_problems(example.spec(), None)) == []
    service = NEEDS[example.needs]
    at = {service["name"]: url_of(example.needs, request)}
    with Shop() as shop:
        world = world_of(shop)
        world = (
            replace(world, connections=at)
            if "preset" in service
            else replace(world, base_urls={**world.base_urls, **at})
        )
        found = list(results(example, world))
    for result in found:
        assert (result.outcome != "passed") is example.fails, result.details
    if example.output is not None and "WRITE_DOCS" in os.environ:
        write(example, output_of(found))
    elif example.output is not None:
        assert output_of(found) == example.output, "run it with WRITE_DOCS=1 to write it"


def test_there_are_some() -> None:
    assert EXAMPLES
