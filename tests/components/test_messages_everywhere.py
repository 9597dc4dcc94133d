"""What a message step promises holds with every broker."""

from __future__ import annotations

import re

import pytest

from localcluster.ports import free_port
from tests.support.broker_admin import prepare
from tests.support.brokers import PASSWORD, USER
from tests.support.message_cases import CASES, Way


@pytest.fixture(params=CASES)
def way(request):
    case = CASES[request.param]
    made = Way(case, request.getfixturevalue(case.fixture))
    prepare(made)
    return made


def test_a_message_comes_as_it_was_sent(way):
    expect = [
        "message.json == {'order': 7, 'note': 'ä € 🚢', 'paid': true}",
        "message.headers.trace == 'abc'",
        f"message.topic.contains('{way.name}')",
        "message.elapsed >= duration('0s')",
        "message.timestamp > timestamp('2024-01-01T00:00:00Z')",
        "!message.redelivered && !message.retained && message.deadLetter == null",
    ]
    sent = {"order": 7, "note": "ä € 🚢", "paid": True}
    result = way.run(way.to(sent, headers={"trace": "abc"}), way.from_(expect))
    assert result.outcome == "passed", result.details


def test_bytes_come_as_they_were_sent(way):
    steps = [
        way.to(base64="AP/+"),
        way.from_(["message.base64 == 'AP/+'", "message.text == null"]),
    ]
    result = way.run(*steps)
    assert result.outcome == "passed", result.details


def test_an_empty_message_is_a_message(way):
    result = way.run(way.to(), way.from_(["message.text == ''", "message.json == null"]))
    assert result.outcome == "passed", result.details


def test_what_was_there_before_the_scenario_is_not_seen(way):
    assert way.run(way.to({"old": True})).outcome == "passed"
    result = way.run(
        way.to({"old": False}),
        way.from_(count=1),
        {"expect": ["messages[0].json.old == false"]},
    )
    assert result.outcome == "passed", result.details


def test_many_come_in_order_and_once(way):
    step = way.from_(
        count=500, unique="message.json.n", ordered={"by": "message.json.n"}, within="30s"
    )
    result = way.run(way.to({"n": "{{ number }}"}, count=500), step)
    assert result.outcome == "passed", result.details


def test_none_comes_where_none_was_sent(way):
    result = way.run(way.to({"n": 1}), way.from_(), way.from_(count=0, within="200ms"))
    assert result.outcome == "passed", result.details
    result = way.run(way.to({"n": 1}), way.from_(count=0, within="30s"))
    assert "1 message from" in result.message
    assert "expected none" in result.message


def test_branches_publish_side_by_side(way):
    branches = [
        {"name": f"b{n}", "steps": [way.to({"n": n}), way.to({"n": n + 100})]} for n in range(8)
    ]
    result = way.run(
        {"parallel": branches}, way.from_(count=16, unique="message.json.n", within="30s")
    )
    assert result.outcome == "passed", result.details


def test_one_that_does_not_come_is_told_with_those_that_did(way):
    result = way.run(way.to({"n": 1}), way.from_(where="message.json.n == 2", within="4s"))
    assert "where message.json.n == 2 within 4 s; 1 message came that did not match" in (
        result.message
    )
    assert '"n": 1' in result.details


def test_what_is_no_json_is_told(way):
    result = way.run(
        way.to(text="{"), way.from_(where="message.text == '{'", expect=["message.json.n == 1"])
    )
    assert "(the message is no JSON: Expecting property name" in result.message


def test_a_wrong_password_is_told_and_not_shown(way):
    result = way.run(way.from_(), url=way.broker.url_of(USER, "s3cret-that-is-wrong"))
    assert result.message.startswith("before the first step: ")
    assert f"127.0.0.1:{way.broker.port} refuses user '{USER}'" in result.message
    assert "s3cret" not in result.message + result.details
    result = way.run(way.to({"n": 1}), url=way.broker.url_of("nobody", PASSWORD))
    assert "refuses user 'nobody': wrong user name or password" in result.message


def test_a_broker_that_is_down_is_told(way):
    port = free_port()
    url = way.broker.url.replace(f":{way.broker.port}", f":{port}")
    for step in (way.to({"n": 1}), way.from_()):
        result = way.run(step, url=url)
        assert f"127.0.0.1:{port} cannot be reached: " in result.message
        assert "refused" in result.message


def test_one_that_accepts_and_never_answers_is_told_in_time(way):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = way.broker.url.replace(f":{way.broker.port}", f":{port}")
        result = way.run(way.to({"n": 1}), url=url, timeout="3s")
    assert f"127.0.0.1:{port}" in result.message
    # What is left of the time when the connection begins.
    assert re.search(r"longer than (3|[0-2]\.\d+) s|did not answer in time", result.message)


def test_without_credentials_it_is_refused(way):
    url = way.broker.url.replace(f"{USER}:{PASSWORD}@", "")
    result = way.run(way.to({"n": 1}), url=url)
    assert result.outcome == "failed"
    assert f"127.0.0.1:{way.broker.port}" in result.message
