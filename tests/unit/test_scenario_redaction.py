"""Secrets do not get into results."""

import pytest
from seatrial_runner.scenario.redaction import Redactor

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
