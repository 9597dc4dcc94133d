"""One run that is nested deeper than Python can go keeps nobody from all the others."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from seatrial.api.errors import InvalidSpecError
from seatrial.api.nesting import MAX_NESTED, MAX_VALUES
from seatrial.api.run import parse_spec
from seatrial.cluster.nested import NestedResponse, read_json, without_the_deepest

from tests.support.builders import a_run, a_test
from tests.support.simulation import Simulation

LEVELS = 9_000  # the API server takes 10,000


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def hostile(levels: int = LEVELS) -> bytes:
    return b'{"name":"hostile","spec":' + nested(levels) + b',"after":[1]}'


JSON = st.recursive(
    st.none() | st.integers() | st.text('a"\\{}[]'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('a"\\{}[]'), inner),
)


@given(JSON)
def test_what_is_not_deep_is_read_as_it_is(value: Any) -> None:
    data = json.dumps(value).encode()
    assert read_json(data) == value
    assert json.loads(without_the_deepest(data)) == value


@pytest.mark.parametrize("levels", [10, 150, 200, 300, 990, LEVELS])
def test_of_what_is_too_deep_the_rest_is_read(levels: int) -> None:
    found = read_json(b'{"items":[{"name":"one"},' + hostile(levels) + b',{"name":"two"}]}')
    assert [each["name"] for each in found["items"]] == ["one", "hostile", "two"]
    assert found["items"][1]["after"] == [1]


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 500, b"[" * 500 + b"]" * 499, b"]" * 500])
def test_what_is_no_json_is_told_as_such(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"column|Expecting"):
        read_json(data)


@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
async def test_a_watch_goes_on_behind_an_object_that_is_too_deep(size: int) -> None:
    lines = b'{"n":1}\n' + hostile() + b'\n{"n":2}\n'

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(lines)
        return response

    async with served(handle) as url, a_session() as session, session.get(url) as response:
        found = [line async for line in response.content.iter_chunked(size)]
    first, deep, last = (json.loads(line) for line in found)
    assert (first, last) == ({"n": 1}, {"n": 2})
    assert deep["name"] == "hostile"


async def test_a_list_is_read_with_an_object_that_is_too_deep() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=b"[1," + hostile() + b",2]", content_type="application/json")

    async with served(handle) as url, a_session() as session, session.get(url) as response:
        one, deep, two = await response.json()
    assert (one, two, deep["name"]) == (1, 2, "hostile")


def a_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(response_class=NestedResponse)


class served:  # noqa: N801 - used as a function
    """A server that answers everything as ``handle`` does; gives its URL."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_get("/", self._handle)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()


def a_deep_spec(levels: int) -> dict[str, Any]:
    inner: Any = 1
    for _ in range(levels):
        inner = {"a": inner}
    step = {"http": {"post": "http://orders:8080/", "json": inner}}
    return {"services": [], "tests": [a_test(scenario=[step])]}


def test_a_run_that_is_nested_too_deep_ends_with_a_message_that_says_where() -> None:
    simulation = Simulation(**a_deep_spec(MAX_NESTED))
    simulation.until("Finished")
    status = simulation.status()
    assert status["verdict"] == "Error"
    finished = next(each for each in status["conditions"] if each["type"] == "Finished")
    assert "spec.tests[0].scenario[0].http.json" in finished["message"]
    assert f"is nested more than {MAX_NESTED} levels deep" in finished["message"]


def test_the_levels_are_counted_from_the_spec() -> None:
    around = 7  # spec, tests, a test, scenario, a step, http, and the body's first
    parse_spec(a_run(**a_deep_spec(MAX_NESTED - around + 1)))
    with pytest.raises(InvalidSpecError, match="is nested more than"):
        parse_spec(a_run(**a_deep_spec(MAX_NESTED - around + 2)))


@pytest.mark.parametrize("value", [[], 1, "", {}], ids=["lists", "numbers", "texts", "maps"])
def test_a_run_of_more_values_than_the_operator_should_hold_is_told(value: Any) -> None:
    def of(count: int) -> dict[str, Any]:
        bodies = [{"http": {"post": "http://orders:8080", "json": [value] * count}}]
        return a_run(services=[], tests=[a_test(scenario=bodies)])

    parse_spec(of(MAX_VALUES - 1000))
    with pytest.raises(InvalidSpecError, match="has more than 100000 values"):
        parse_spec(of(MAX_VALUES))
