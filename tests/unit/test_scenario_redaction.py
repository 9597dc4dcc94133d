"""Secrets do not get into results."""

import pytest
from seatrial_runner.scenario.brokers.interface import Arrived
from seatrial_runner.scenario.redaction import Redactor

from tests.support.fake_broker import FakeBroker, body, from_, to, use
from tests.support.loopback import Answer, Loopback
from tests.support.scenarios import ORDERS, a_world, run_steps

SECRET = "s3cr3t-value"
POST = {"post": f"{ORDERS}/login"}


@pytest.fixture
def system():
    with Loopback() as each:
        yield each


@pytest.mark.parametrize(
    "http",
    [
        {**POST, "bearer": SECRET},
        {**POST, "bearer": "{{ x }}"},
        {**POST, "basicAuth": {"username": "ann", "password": SECRET}},
        {**POST, "headers": {"Authorization": f"Token {SECRET}"}},
        {**POST, "headers": {"X-API-Key": SECRET}},
        {**POST, "headers": {"Cookie": f"a=b; sid={SECRET}"}},
        {**POST, "json": {"user": {"password": SECRET}}},
        {**POST, "form": {"client_secret": SECRET}},
        {**POST, "query": {"access_token": SECRET}},
        {"post": f"{ORDERS}/login?api_key={SECRET}"},
        {"post": f"http://ann:{SECRET}@orders:8080/login"},
    ],
)
def test_a_secret_that_is_sent_is_shown_nowhere(system, http):
    # The system talks too much: it answers with all it was asked.
    system.respond = lambda asked: Answer(
        text=f"{asked.query} {asked.headers} {asked.body.decode()}"
    )
    steps = [{"set": {"x": f"'{SECRET}'"}}, {"http": http, "expect": ["response.text == 'x'"]}]
    result = run_steps(steps, a_world(system.url))
    assert result.outcome == "failed"
    assert SECRET not in str(result.to_json())
    assert "***" in result.details


ODD = "p@ss w/rd+1"  # in a form it looks different
WRITTEN = ("p%40ss+w%2Frd%2B1", "p%40ss%20w%2Frd%2B1", ODD)


def test_a_secret_that_is_sent_as_a_form_is_shown_nowhere(system):
    system.respond = lambda asked: Answer(text=asked.body.decode())
    http = {**POST, "form": {"client_secret": ODD}}
    result = run_steps([{"http": http, "expect": ["response.status == 1"]}], a_world(system.url))
    assert "client_secret=***" in result.details
    assert not any(each in str(result.to_json()) for each in WRITTEN)


def test_the_secret_of_a_client_is_not_shown_where_it_is_in_the_body(system):
    system.respond = lambda asked: Answer(401, text=asked.body.decode())
    oauth2 = {
        "tokenUrl": f"{system.url}/token",
        "clientId": "me",
        "clientSecret": ODD,
        "inBody": True,
    }
    result = run_steps([{"http": {**POST, "oauth2": oauth2}}], a_world(system.url))
    assert "client_secret=***" in result.details
    assert not any(each in str(result.to_json()) for each in WRITTEN)


def test_a_secret_is_masked_as_it_stands_in_a_url_and_in_a_form():
    redactor = Redactor([ODD, "\ud800-no-unicode"])
    assert [redactor.mask(each) for each in WRITTEN] == ["***"] * 3


@pytest.mark.parametrize(
    "answer",
    [
        {"json": {"session": {"accessToken": SECRET}, "copy": f"is {SECRET}"}},
        {"json": {}, "headers": {"Set-Cookie": f"sid={SECRET}; Path=/"}},
    ],
)
def test_a_secret_that_comes_back_is_shown_nowhere(system, answer):
    system.answer("POST /login", **answer)
    expect = ["response.text == 'x'", "response.headers['set-cookie'] == 'x'"]
    steps = [{"http": POST, "expect": expect}]
    result = run_steps(steps, a_world(system.url))
    assert SECRET not in str(result.to_json())
    assert "***" in result.details


def test_a_secret_is_masked_in_the_forms_it_is_shown_in():
    redactor = Redactor()
    redactor.learn('pa"ss\\word')
    redactor.learn("pa")
    assert redactor.mask('x pa"ss\\word "pa\\"ss\\\\word" part') == 'x *** "***" part'


USER = {"user": 1, "password": SECRET}
FAILS = {"expect": ["false"]}
CAME = Arrived("orders", body(USER), headers={"x-api-key": "s3cr3t-key"})


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(FAILS, id="nobody-asks-for-it"),
        pytest.param(from_(expect=["message.json == {}"], within="1ms"), id="nearest"),
        pytest.param(from_(where="true", expect=["message.json == {}"]), id="json"),
        pytest.param(from_(where="true", expect=["message.text == ''"]), id="text"),
        pytest.param(from_(where="true", expect=["message.headers == {}"]), id="headers"),
        pytest.param(from_(where="message.json.password.x == 1", within="1ms"), id="where"),
        pytest.param(from_(count=0), id="none"),
        pytest.param(from_(atLeast=2, unique="message.json.password"), id="unique"),
        pytest.param(from_(atLeast=2, unique="message.text"), id="unique-text"),
        pytest.param(from_(atLeast=2, expect=["messages[0].json.password == ''"]), id="first"),
        pytest.param(from_(atLeast=2, expect=["messages[0].text == ''"]), id="first-text"),
        pytest.param(from_(schema={"properties": {"password": {"type": "integer"}}}), id="schema"),
    ],
)
def test_a_secret_of_a_message_that_came_is_shown_nowhere(monkeypatch, step):
    broker = FakeBroker()
    broker.on_subscribe = lambda receiver: receiver.deliver([CAME, CAME])
    subscribe = from_(subscribe=True)
    result = run_steps([subscribe, step], use(monkeypatch, broker))
    assert result.outcome == "failed"
    shown = str(result.to_json())
    assert "***" in shown
    assert SECRET not in shown
    assert "s3cr3t-key" not in shown


@pytest.mark.parametrize(
    "sent", [{"json_": USER}, {"text": body(USER).decode()}, {"headers": {"api-key": SECRET}}]
)
def test_a_secret_that_is_published_is_shown_nowhere(monkeypatch, sent):
    steps = [{**to(**sent), "capture": {"x": "nothing"}}]
    result = run_steps(steps, use(monkeypatch, FakeBroker()))
    assert SECRET not in str(result.to_json())
    # Nor where it turns up again.
    steps = [to(**sent), {"set": {"x": f"'{SECRET}'"}, "expect": ["x == ''"]}]
    result = run_steps(steps, use(monkeypatch, FakeBroker()))
    assert result.outcome == "failed"
    assert SECRET not in str(result.to_json())
