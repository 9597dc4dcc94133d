"""Tokens by client credentials: a real token endpoint on loopback, kept, renewed, refused."""

from __future__ import annotations

import base64
import threading
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.authority import Authority
from tests.support.loopback import Answer, Asked, Loopback
from tests.support.scenarios import FakeTime, a_world, get, run_steps

SECRET = "s3cret/with+signs"


class Shop(Loopback):
    """Gives tokens to one client, and orders to whoever has one that is still good."""

    def __init__(self, life_s: Any = 60, **more: Any) -> None:
        super().__init__(**more)
        self.life_s = life_s
        self.given = 0
        self.good: set[str] = set()

    def respond(self, asked: Asked) -> Answer:
        if asked.path == "/token":
            return self.token(asked)
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        return Answer(200 if token in self.good else 401, json={"token": token})

    def token(self, asked: Asked) -> Answer:
        form = {key: values[0] for key, values in parse_qs(asked.body.decode()).items()}
        client = form.get("client_id"), form.get("client_secret")
        if header := asked.headers.get("authorization"):
            pair = base64.b64decode(header.removeprefix("Basic ")).decode()
            client = tuple(parse_qs(f"a={pair.replace(':', '&b=')}").values())
            client = (client[0][0], client[1][0])
        if form["grant_type"] != "client_credentials" or client != ("shop", SECRET):
            return Answer(401, json={"error": "invalid_client", "error_description": "who?"})
        self.given += 1
        token = f"token-{self.given}-{form.get('scope', '')}"
        self.good.add(token)
        return Answer(
            json={"access_token": token, "expires_in": self.life_s, "token_type": "Bearer"}
        )


def a_step(shop: Loopback, path: str = "/orders/1", **oauth2: Any) -> dict[str, Any]:
    document = {"tokenUrl": f"{shop.url}/token", "clientId": "shop", "clientSecret": SECRET}
    return {
        "http": get(path, oauth2={**document, **oauth2}),
        "expect": ["response.status == 200"],
    }


def test_a_token_is_asked_for_once_and_sent_with_every_request() -> None:
    with Shop() as shop:
        result = run_steps([a_step(shop)] * 3, a_world(shop.url))
    assert result.outcome == "passed", result.message
    assert [asked.path for asked in shop.asked] == ["/token", *["/orders/1"] * 3]


@pytest.mark.parametrize("in_body", [False, True])
def test_the_client_names_itself_either_way(in_body: bool) -> None:
    with Shop() as shop:
        step = a_step(shop, inBody=in_body, scope="read write")
        result = run_steps([step], a_world(shop.url))
    assert result.outcome == "passed", result.message
    assert ("authorization" in shop.asked[0].headers) is not in_body
    assert shop.asked[1].headers["authorization"] == "Bearer token-1-read write"


def test_another_scope_is_another_token() -> None:
    with Shop() as shop:
        steps = [a_step(shop, scope="a"), a_step(shop, scope="b"), a_step(shop, scope="a")]
        assert run_steps(steps, a_world(shop.url)).outcome == "passed"
    assert shop.given == 2


def test_a_token_is_renewed_before_it_ends() -> None:
    time = FakeTime(tick=30.0)  # with every look at the clock
    with Shop(life_s=100) as shop:
        world = a_world(shop.url, time)
        assert run_steps([a_step(shop)] * 3, world, timeout="1h").outcome == "passed"
    assert shop.given > 1


def test_a_token_that_was_refused_is_not_used_again() -> None:
    with Shop() as shop:
        shop.good = _NotAtOnce()
        step = {**a_step(shop), "eventually": {"within": "30s", "every": "10ms"}}
        result = run_steps([step], a_world(shop.url))
    assert result.outcome == "passed", result.message
    assert shop.given == 2


class _NotAtOnce(set[str]):
    """Takes no token the first time it is asked for one."""

    looked = 0

    def __contains__(self, token: object) -> bool:
        self.looked += 1
        return self.looked > 1 and super().__contains__(token)


def test_a_scenario_of_its_own_has_a_token_of_its_own() -> None:
    with Shop() as shop:
        for _ in range(2):
            run_steps([a_step(shop)], a_world(shop.url))
    assert shop.given == 2


def test_wrong_credentials_are_told_in_the_words_of_the_endpoint() -> None:
    with Shop() as shop:
        result = run_steps([a_step(shop, clientSecret="wrong-secret")], a_world(shop.url))
    assert result.message.endswith(
        f"no token from {shop.url}/token: it answered 401: invalid_client: who?"
    )
    assert "wrong-secret" not in result.details
    assert len(shop.asked) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"text": "<html>"}, "it answered 200: the body is no JSON"),
        ({"json": {"token": 1}}, "it answered 200: there is no access_token in it"),
        ({"json": [1]}, "it answered 200: there is no access_token in it"),
        ({"status": 503, "text": ""}, "it answered 503: the body is empty"),
        ({"broken": True}, "the connection broke"),
    ],
)
def test_an_endpoint_that_gives_no_token_is_told(answer: dict[str, Any], told: str) -> None:
    with Loopback() as shop:
        shop.answer("POST /token", **answer)
        result = run_steps([a_step(shop)], a_world(shop.url))
    assert f"no token from {shop.url}/token: " in result.message
    assert told in result.message


def test_an_endpoint_that_is_down_is_told() -> None:
    with Loopback() as shop:
        step = a_step(shop, tokenUrl="http://127.0.0.1:1/token")
        result = run_steps([step], a_world(shop.url))
    assert result.message.endswith(
        "no token from http://127.0.0.1:1/token: connection refused: nothing listens on 127.0.0.1:1"
    )


def test_an_endpoint_that_does_not_answer_is_given_up() -> None:
    over = threading.Event()
    with Loopback() as shop:
        shop.answer("POST /token", json={}, before=over.wait)
        result = run_steps([a_step(shop)], a_world(shop.url, FakeTime()), timeout="1s")
        over.set()
    assert f"no token from {shop.url}/token: no complete response within" in result.message


def test_the_secret_and_the_token_are_not_shown() -> None:
    with Shop() as shop:
        step = {**a_step(shop), "expect": ["response.json.token == 'x'"]}
        result = run_steps([step], a_world(shop.url))
    assert result.outcome == "failed"
    assert SECRET not in result.details
    assert "token-1-" not in result.details + result.message


def test_the_endpoint_is_reached_with_the_same_authority() -> None:
    ours = Authority()
    with Shop(tls=ours.server()) as shop:
        step = a_step(shop)
        step["http"]["tls"] = {"ca": ours.ca}
        result = run_steps([step], a_world(shop.url))
    assert result.outcome == "passed", result.message
