"""Endpoints that services call back: in a scenario, and in a suite."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from seatrial_runner.runner.webhook_place import webhook_place
from seatrial_runner.runner.webhooks import Webhooks
from seatrial_runner.scenario import callbacks
from seatrial_runner.scenario.world import WebhookPlace

from tests.support.loopback import Answer, Asked
from tests.support.payments import Payments, paid, pay, run

POSTED = "request.method == 'POST'"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller has its answer before the endpoint closes, on a busy machine too."""
    monkeypatch.setattr(callbacks, "_FINISH_S", 30.0)


@pytest.fixture
def payments() -> Iterator[Payments]:
    with Payments() as each:
        yield each


@pytest.fixture
def webhook() -> Iterator[Webhooks]:
    opened = Webhooks(WebhookPlace())
    yield opened
    opened.close()


def test_a_call_is_waited_for_and_seen(payments: Payments) -> None:
    result = run(
        payments,
        pay({"id": 1}, path="/done?by=card"),
        paid(
            "request.method == 'POST'",
            "request.path == '/done'",
            "request.query.by == 'card'",
            "request.json.id == 1",
            "request.headers['content-type'] == 'application/json'",
            "request.text.contains('1')",
            "size(requests) == 1",
        ),
    )
    assert result.outcome == "passed", result.details
    assert payments.results()[0].status_code == 200


def test_an_expectation_on_a_call_can_fail(payments: Payments) -> None:
    result = run(payments, pay({"id": 1}), paid("request.json.id == 2"))
    assert "expected request.json.id == 2, but request.json.id is 1" in result.message
    assert "Calls:\n  POST /\n    {" in result.details


def test_the_call_that_is_meant_is_found_among_others(payments: Payments) -> None:
    result = run(
        payments,
        {"set": {"order": "2"}},
        pay({"id": 1}, {"id": 2}, {"id": 3}),
        paid("request.json.id == 2", where=["request.json.id == order", POSTED]),
        paid("requests.map(r, r.json.id) == [1, 3]", count=2),
    )
    assert result.outcome == "passed", result.details


def test_each_call_is_taken_once(payments: Payments) -> None:
    result = run(payments, pay({"id": 1}), paid(), paid(within="50ms"))
    assert "not within 0.05 s: a call of http://127.0.0.1:" in result.message
    assert "0 came; 1 were taken by steps before" in result.message


def test_nobody_called(payments: Payments) -> None:
    result = run(payments, paid(within="50ms"))
    assert result.message.endswith("/paid; nobody called it")


def test_calls_that_were_not_meant_are_shown(payments: Payments) -> None:
    result = run(payments, pay({"id": 1}), paid(where=["request.json.id == 7"], within="3s"))
    assert "where request.json.id == 7; 0 such came, and 1 others" in result.message
    assert "Calls that no step has taken:\n  POST /" in result.details


def test_no_call_may_come(payments: Payments) -> None:
    absent = paid(count=0, within="100ms", where=["request.json.id == 2"])
    good = run(payments, pay({"id": 1}), absent)
    assert good.outcome == "passed", good.message
    bad = run(payments, pay({"id": 2}), paid(count=0, within="15s"))
    assert "POST / came to http://127.0.0.1:" in bad.message
    assert bad.message.endswith("/paid, and none was to come")


def test_that_none_came_is_no_proof_where_the_time_was_cut_short(payments: Payments) -> None:
    step = {**paid(count=0, within="20s"), "eventually": {"within": "100ms"}}
    result = run(payments, step)
    assert result.outcome == "failed"
    assert "it was watched for " in result.message
    assert result.message.endswith(" s of 20 s")


def test_it_answers_as_it_is_told(payments: Payments) -> None:
    answer = {"status": 422, "json": {"why": "{{ reason }}", "id": "{{ request.json.id }}"}}
    result = run(
        payments,
        {"set": {"reason": "'too late'"}},
        paid(answer={**answer, "headers": {"X-Order": "o-{{ request.json.id }}"}}),
        pay({"id": 1}),
        paid(),
    )
    assert result.outcome == "passed", result.details
    [answered] = payments.results()
    assert (answered.status_code, answered.json()) == (422, {"why": "too late", "id": 1})
    assert answered.headers["x-order"] == "o-1"


def test_answers_come_in_order_and_the_last_one_stays(payments: Payments) -> None:
    answers = [{"status": 503}, {"status": 503, "delay": "10ms"}, {"status": 204}]
    run(payments, paid(answers=answers), pay(1, 2, 3, 4), paid(count=4))
    assert [each.status_code for each in payments.results()] == [503, 503, 204, 204]


def test_an_answer_that_cannot_be_filled_in_is_told_to_the_caller(payments: Payments) -> None:
    run(payments, paid(answer={"body": "{{ request.json.nothing }}"}), pay({"id": 1}), paid())
    assert payments.results()[0].status_code == 500
    assert "the answer cannot be filled in" in payments.results()[0].text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_every_method_is_a_call(payments: Payments, method: str) -> None:
    answer = {"status": 200, "body": "hello"}
    result = run(
        payments,
        paid(answer=answer),
        pay({}, method=method),
        paid(f"request.method == '{method}'"),
    )
    assert result.outcome == "passed", result.message
    assert payments.results()[0].text == ("" if method == "HEAD" else "hello")


def test_a_condition_that_cannot_be_read_is_told(payments: Payments) -> None:
    result = run(payments, pay({}), paid(where=["request.nothing == 1"]))
    assert "where: request has no field 'nothing'" in result.message


def test_secrets_of_calls_are_not_shown(payments: Payments) -> None:
    result = run(payments, pay({"token": "s3cret-token"}), paid("request.json.token == 'x'"))
    assert result.outcome == "failed"
    assert "s3cret-token" not in result.message + result.details


def test_calls_without_end_are_bounded(
    webhook: Webhooks, payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "MAX_CALLS", 3)
    payments.call({"url": webhook("paid").url, "calls": [*range(5)]})
    assert [each.status_code for each in payments.results()] == [200, 200, 200, 503, 503]


REFUSALS = {
    "MAX_CALLS": (1, "1 waited already to be taken"),
    "MAX_HELD": (8, "what waits to be taken has bodies of up to 8 bytes"),
}


@pytest.mark.parametrize("bound", REFUSALS)
@pytest.mark.parametrize(
    ("step", "told"),
    [
        (paid(count=0, where=["request.json == 333333"], within="50ms"), "333333 there were: "),
        (paid(count=2, within="50ms"), "1 came (it refused"),
        (paid(where=["request.json == 333333"], within="50ms"), "and 1 others (it refused"),
    ],
)
def test_a_number_proves_nothing_where_calls_were_refused(
    payments: Payments, monkeypatch: pytest.MonkeyPatch, bound: str, step: Any, told: str
) -> None:
    most, why = REFUSALS[bound]
    monkeypatch.setattr(callbacks, bound, most)

    class Waited(Payments):
        """Has called back before it answers."""

        def respond(self, asked: Asked) -> Answer:
            self.call(asked.json())
            return Answer(202, json={})

    with Waited() as service:
        result = run(service, pay(111111, 222222, 333333), step)
    assert [each.status_code for each in service.answered] == [200, 503, 503]
    assert result.outcome == "error", result.message
    assert told in result.message
    assert f"it refused 2 calls with 503: {why}" in result.message


def test_calls_that_came_are_taken_although_others_were_refused(
    webhook: Webhooks, payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "MAX_CALLS", 1)
    hook = webhook("paid")
    payments.call({"url": hook.url, "calls": [1, 2]})
    assert [call["json"] for call in hook.wait()] == [1]
    with pytest.raises(AssertionError, match="it refused 1 call with 503: 1 waited already"):
        hook.wait(count=0, within=0.05)


def test_a_body_that_is_too_large_is_refused(payments: Payments) -> None:
    result = run(payments, pay("x" * 40_000), paid("request.text.size() > 40000"))
    assert result.outcome == "passed", result.message
    huge = Webhooks(WebhookPlace())
    try:
        with httpx.Client(trust_env=False, verify=False) as client:
            answer = client.post(huge("paid").url, content=b"x" * (callbacks.MAX_BODY + 1))
        assert answer.status_code == 400
    finally:
        huge.close()


def test_what_is_no_http_disturbs_nobody(payments: Payments) -> None:
    opened = Webhooks(WebhookPlace())
    try:
        hook = opened("paid")
        where = httpx.URL(hook.url)
        with socket.create_connection((where.host, where.port or 0)) as caller:
            caller.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            assert caller.recv(100).startswith(b"HTTP/1.1 400")
        payments.call({"url": hook.url, "calls": [{"id": 1}]})
        assert len(hook.wait(within=30)) == 1
    finally:
        opened.close()


def test_a_path_that_is_no_webhook_is_told(webhook: Webhooks, payments: Payments) -> None:
    payments.call({"url": f"{webhook('paid').url}x", "calls": [{}]})
    assert payments.results()[0].status_code == 404
    assert "there is no webhook 'paidx'; there are: paid" in payments.results()[0].text


def test_a_port_that_is_taken_is_told(payments: Payments) -> None:
    place = WebhookPlace(port=int(payments.url.rpartition(":")[2]))
    result = run(payments, paid(), webhooks=place)
    assert result.outcome == "error"
    assert "before the first step: webhooks cannot listen on 127.0.0.1:" in result.message


# In suites ---------------------------------------------------------------------------------------


def test_a_suite_waits_and_answers_too(webhook: Webhooks, payments: Payments) -> None:
    hook = webhook("paid")
    assert webhook("paid").url == hook.url
    hook.answer(503, then={"json": {"ok": True}})
    payments.call({"url": hook.url, "calls": [{"id": 1}, {"id": 2}]})
    assert [each.status_code for each in payments.results()] == [503, 200]
    [second] = hook.wait(lambda call: call["json"]["id"] == 2, within=30)
    assert second["method"] == "POST"
    assert [call["json"]["id"] for call in hook.calls] == [1]
    with pytest.raises(AssertionError, match=r"0 calls of .* are such within 0.05 s, not 1"):
        hook.wait(lambda call: call["json"]["id"] == 9, within=0.05)
    with pytest.raises(AssertionError, match="1 calls of"):
        hook.wait(count=0, within=1)


def test_where_suites_listen() -> None:
    assert webhook_place("", "") == WebhookPlace()
    assert webhook_place("0.0.0.0:9000", "") == WebhookPlace("0.0.0.0", 9000)
    assert webhook_place("", "http://127.0.0.1:7777") == WebhookPlace("0.0.0.0", 0, "127.0.0.1")
    with pytest.raises(ValueError, match="write HOST:PORT"):
        webhook_place("9000", "")
