"""What a scenario sends, and what becomes of a request that gets no good answer."""

import gzip
import re
import threading
import tracemalloc

import pytest
from seatrial_runner.scenario import World, exchange
from seatrial_runner.scenario.request import VERBS

from tests.support.loopback import Loopback
from tests.support.scenarios import ORDERS, a_world, get, run_steps


@pytest.fixture
def system():
    with Loopback() as each:
        yield each


def sent(system, http, **variables):
    system.answer(f"{next(iter(http)).upper()} /orders", json={})
    result = run_steps(
        [{"set": variables or {"none": "null"}}, {"http": http}], a_world(system.url)
    )
    assert result.outcome == "passed", result.details
    return system.asked[-1]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_sent(system, verb):
    assert sent(system, {verb: f"{ORDERS}/orders"}).method == verb.upper()


def test_a_json_body_keeps_its_types_and_says_what_it_is(system):
    body = {"n": "{{ 1 + 1 }}", "all": ["{{ order }}"], "no": None, "text": "{{ order.id }}!"}
    http = {"post": f"{ORDERS}/orders", "json": body}
    asked = sent(system, http, order="{'id': 7, 'paid': false}")
    assert asked.json() == {"n": 2, "all": [{"id": 7, "paid": False}], "no": None, "text": "7!"}
    assert asked.headers["content-type"] == "application/json"


def test_a_body_is_sent_as_it_is(system):
    asked = sent(system, {"post": f"{ORDERS}/orders", "body": "a\r\nb {# ü #}"})
    assert asked.body == "a\r\nb {# ü #}".encode()
    assert "content-type" not in asked.headers


def test_a_form_is_encoded(system):
    asked = sent(system, {"post": f"{ORDERS}/orders", "form": {"a b": "1&{{ x }}"}}, x="'ü'")
    assert asked.body == b"a+b=1%26%C3%BC"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"


def test_query_joins_what_the_url_has(system):
    asked = sent(system, {"get": f"{ORDERS}/orders?a=1", "query": {"b": "{{ x }}"}}, x="'&'")
    assert asked.query == {"a": ["1"], "b": ["&"]}


def test_headers_are_filled_in_and_win_over_defaults(system):
    headers = {"Content-Type": "application/vnd.x+json", "X-Id": "{{ x }}", "User-Agent": "me"}
    asked = sent(system, {"post": f"{ORDERS}/orders", "json": 1, "headers": headers}, x="42")
    assert asked.headers["content-type"] == "application/vnd.x+json"
    assert asked.headers["x-id"] == "42"
    assert asked.headers["user-agent"] == "me"


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"bearer": "{{ x }}"}, "Bearer tok"),
        ({"basicAuth": {"username": "ann", "password": "{{ x }}"}}, "Basic YW5uOnRvaw=="),
        ({"bearer": "no", "headers": {"authorization": "Own {{ x }}"}}, "Own tok"),
    ],
)
def test_authorization(system, auth, header):
    asked = sent(system, {"get": f"{ORDERS}/orders", **auth}, x="'tok'")
    assert asked.headers["authorization"] == header


def test_cookies_are_kept_within_a_scenario_and_not_beyond(system):
    system.answer("GET /login", json={}, headers={"Set-Cookie": "sid=abc; Path=/"})
    system.answer("GET /orders/1", json={})
    world = a_world(system.url)
    run_steps([{"http": get("/login")}, {"http": get()}], world)
    run_steps([{"http": get()}], world)
    assert [asked.headers.get("cookie") for asked in system.asked] == [None, "sid=abc", None]


def test_redirects_are_followed_only_when_asked_for(system):
    system.answer("GET /old", status=302, json={}, headers={"Location": f"{ORDERS}/new?x=1"})
    system.answer("GET /new", json={"id": 1})
    world = a_world(system.url)
    stays = run_steps([{"http": get("/old"), "expect": ["response.status == 302"]}], world)
    follows = run_steps(
        [{"http": get("/old", followRedirects=True), "expect": ["response.json.id == 1"]}], world
    )
    assert (stays.outcome, stays.requests) == ("passed", 1)
    assert (follows.outcome, follows.requests) == ("passed", 2)


def test_a_redirect_in_a_circle_ends(system):
    system.answer("GET /a", status=302, json={}, headers={"Location": "/a"})
    result = run_steps([{"http": get("/a", followRedirects=True)}], a_world(system.url))
    assert result.message.endswith("more than 20 redirects")


def test_each_request_has_a_connection_of_its_own(system):
    system.answer("GET /orders/1", json={})
    run_steps([{"http": get()}, {"http": get()}], a_world(system.url))
    assert len({asked.client for asked in system.asked}) == 2


def test_proxies_of_the_environment_are_ignored(system, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    system.answer("GET /orders/1", json={})
    assert run_steps([{"http": get()}], a_world(system.url)).outcome == "passed"


def test_each_request_is_told_by_the_host_the_scenario_names(system):
    system.answer("GET /orders/1", status=302, json={}, headers={"Location": "/orders/2"})
    system.answer("GET /orders/2", json={})
    hosts = []
    world = a_world(system.url, on_request=lambda at, host: hosts.append((at.tzinfo, host)))
    result = run_steps([{"http": get(followRedirects=True)}], world)
    assert result.requests == len(hosts) == 2
    assert hosts[0][1] == "orders"
    assert all(zone is not None for zone, _ in hosts)


@pytest.mark.parametrize(
    ("key", "target"),
    [("orders", "{url}"), ("http://orders:8080", "{url}/"), ("http://orders:8080", "{url}/v1")],
)
def test_another_origin_can_stand_in(system, key, target):
    system.answer("GET /orders/1", json={})
    system.answer("GET /v1/orders/1", json={})
    world = World(base_urls={key: target.format(url=system.url)})
    assert run_steps([{"http": get()}], world).outcome == "passed"


def test_a_refused_connection_says_where_nobody_listens():
    result = run_steps([{"http": get()}])
    assert result.message == (
        "step 1 of 1 (GET http://orders:8080/orders/1):"
        " connection refused: nothing listens on 127.0.0.1:1"
    )
    assert "Request:\n  GET http://orders:8080/orders/1" in result.details


def test_a_connection_that_breaks_is_told(system):
    system.answer("GET /orders/1", broken=True)
    result = run_steps([{"http": get()}], a_world(system.url))
    assert "the connection broke: server disconnected" in result.message


def test_the_timeout_covers_a_body_that_drips(system):
    enough = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not enough.wait(0.02):
            handler.wfile.write(b"x")

    system.serve = drip
    result = run_steps([{"http": get(timeout="200ms")}], a_world(system.url))
    enough.set()
    assert result.message.endswith("no complete response within 0.2 s")


def test_the_time_of_the_test_ends_a_request(system):
    released = threading.Event()
    system.answer("GET /orders/1", json={}, before=lambda: released.wait(30))
    result = run_steps([{"http": get()}], a_world(system.url), timeout="3s")
    released.set()
    # What was left of the time when the request began.
    assert re.search(
        r"the test's time \(3 s\) is over: no complete response within [0-3](\.\d+)? s",
        result.message,
    )


def test_a_response_that_is_too_large_is_refused(system, monkeypatch):
    monkeypatch.setattr(exchange, "MAX_RESPONSE_BYTES", 2**20)
    system.answer("GET /orders/1", body=b"x" * (2**20 + 1))
    result = run_steps([{"http": get()}], a_world(system.url))
    assert result.message.endswith(
        "the response (200) is larger than 1 MiB, the most a scenario reads"
    )


def compressed(size):
    """Give zeros, compressed twice: what is sent is a millionth of what it stands for."""
    return gzip.compress(gzip.compress(b"0" * size))


@pytest.mark.parametrize("coding", ["gzip, gzip", "deflate,gzip", "gzip,identity,gzip"])
def test_a_response_that_would_grow_without_bound_is_refused(system, coding):
    headers = {"Content-Encoding": coding}
    system.answer("GET /orders/1", body=compressed(2**26), headers=headers)
    tracemalloc.start()
    result = run_steps([{"http": get()}], a_world(system.url))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.message.endswith("the response is compressed more than once, which is not read")
    assert peak < 2**24


def test_a_compressed_response_is_read_up_to_the_bound(system):
    headers = {"Content-Encoding": "gzip"}
    system.answer("GET /orders/1", body=gzip.compress(b'{"id": 1}'), headers=headers)
    system.answer("GET /orders/1", body=gzip.compress(b"0" * 2**25), headers=headers)
    step = {"http": get(), "expect": ["response.json.id == 1"]}
    assert run_steps([step], a_world(system.url)).outcome == "passed"
    assert "is larger than 10 MiB" in run_steps([step], a_world(system.url)).message


@pytest.mark.parametrize("url", ["orders/1", "ftp://orders/x", "http://", "http://orders:99999/x"])
def test_what_is_no_url_is_named(url):
    result = run_steps([{"http": {"get": url}}])
    assert f"{url!r} is no URL to send a request to: write http://host:port/path" in result.message
    assert result.requests == 0


def test_a_header_that_cannot_be_sent_is_named(system):
    http = get(headers={"X-Id": "{{ x }}"})
    result = run_steps([{"set": {"x": "'a\\nb'"}}, {"http": http}], a_world(system.url))
    assert "it cannot be sent: Illegal header value" in result.message


LATIN = {"Content-Type": "text/plain; charset=latin-1"}
UNKNOWN = {"Content-Type": "text/plain; charset=nope"}


@pytest.mark.parametrize(
    ("answer", "expectation"),
    [
        ({"body": "grün".encode("latin-1"), "headers": LATIN}, "response.text == 'grün'"),
        ({"body": b"\xff", "headers": UNKNOWN}, "response.text == '\ufffd'"),
        ({"body": b""}, "response.json == null && response.text == ''"),
        ({"json": {}, "headers": {"X-A": "1"}}, "response.headers['x-a'] == '1'"),
        ({"json": {}}, "response.url.endsWith('/orders/1')"),
    ],
)
def test_what_expectations_see_of_a_response(system, answer, expectation):
    system.answer("GET /orders/1", **answer)
    result = run_steps([{"http": get(), "expect": [expectation]}], a_world(system.url))
    assert result.outcome == "passed", result.message
