"""A request that must fail during a fault: in which way, in which time, and only while it is on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.conducted import a_conductor as conducted
from tests.support.conducted import a_fault_doc, a_run_doc, a_scenario, a_service_doc, order
from tests.support.loopback import Loopback
from tests.support.run_namespace import RunNamespace
from tests.support.scenarios import FakeTime, FaultsByName, a_world, get, run_steps
from tests.support.virtual_time import in_virtual_time

IN_EFFECT = FaultsByName(payments_slow=["Active"])


@pytest.fixture
def shop() -> Iterator[Loopback]:
    with Loopback() as each:
        yield each


def a_step(**wanted: Any) -> dict[str, Any]:
    """A GET that must fail during payments-slow."""
    http = get(**wanted.pop("http", {}))
    more = {"capture": wanted.pop("capture")} if "capture" in wanted else {}
    return {"http": http, "expectFailure": {"during": "payments-slow", **wanted}, **more}


def tried(shop: Loopback, step: dict[str, Any], faults: Any = IN_EFFECT, **more: Any) -> Any:
    return run_steps([step], a_world(shop.url, faults=faults, **more))


def test_a_server_error_is_the_failure_that_is_expected_by_default(shop: Loopback) -> None:
    shop.answer("GET /orders/1", status=503, json={"error": "payments"})
    assert tried(shop, a_step()).outcome == "passed"


def test_a_success_is_not_a_failure(shop: Loopback) -> None:
    shop.answer("GET /orders/1", json={})
    result = tried(shop, a_step())
    assert result.outcome == "failed"
    assert result.message.endswith(
        "it did not fail as expected during fault payments-slow:"
        " expected response.status >= 500, but response.status is 200"
    )
    assert "Response:\n  200 OK" in result.details


def test_how_it_fails_is_said_by_expectations(shop: Loopback) -> None:
    shop.answer("GET /orders/1", status=503, json={"error": "payments"})
    good = a_step(expect=["response.status == 503", "response.json.error == 'payments'"])
    bad = a_step(expect=["response.status == 504", "response.json.error == 'stock'"])
    assert tried(shop, good).outcome == "passed"
    assert "but response.status is 503 (and 1 more)" in tried(shop, bad).message


def test_what_a_failure_says_can_be_captured(shop: Loopback) -> None:
    shop.answer("GET /orders/1", status=503, json={"error": "payments"})
    step = a_step(capture={"why": "response.json.error"})
    steps = [step, {"expect": ["why == 'payments'"]}]
    assert run_steps(steps, a_world(shop.url, faults=IN_EFFECT)).outcome == "passed"


def test_no_response_is_expected_only_with_no_response() -> None:
    world = a_world(faults=IN_EFFECT)  # nothing listens there
    assert run_steps([a_step(noResponse=True)], world).outcome == "passed"
    result = run_steps([a_step()], world)
    assert result.outcome == "failed"
    assert "no response came during fault payments-slow: connection refused" in result.message
    assert "noResponse: true" in result.message


def test_a_response_is_not_no_response(shop: Loopback) -> None:
    shop.answer("GET /orders/1", status=503, json={})
    result = tried(shop, a_step(noResponse=True))
    assert "expected no response during fault payments-slow, but got 503" in result.message


def test_a_connection_that_is_closed_is_no_response(shop: Loopback) -> None:
    shop.answer("GET /orders/1", broken=True)
    assert tried(shop, a_step(noResponse=True)).outcome == "passed"


def test_a_response_that_cannot_be_read_is_a_response(shop: Loopback) -> None:
    shop.answer("GET /orders/1", text="x", headers={"Content-Encoding": "gzip, gzip"})
    result = tried(shop, a_step(noResponse=True))
    assert "it did not fail as expected during fault payments-slow" in result.message


@pytest.fixture
def hangs(shop: Loopback) -> Iterator[Loopback]:
    """A shop whose answer never comes."""
    over = threading.Event()
    shop.answer("GET /orders/1", before=over.wait)
    yield shop
    over.set()


def test_a_failure_that_takes_too_long_is_not_graceful(hangs: Loopback) -> None:
    result = tried(hangs, a_step(within="50ms"))
    assert result.outcome == "failed"
    assert result.message.endswith(
        "it neither failed nor was answered within 50ms, in which it had to fail,"
        " during fault payments-slow"
    )


def test_nothing_at_all_in_the_users_own_patience_is_no_response(hangs: Loopback) -> None:
    step = a_step(http={"timeout": "50ms"}, noResponse=True, within="10s")
    assert tried(hangs, step).outcome == "passed"


def test_nothing_at_all_is_not_the_failure_that_says_so(hangs: Loopback) -> None:
    result = tried(hangs, a_step(http={"timeout": "50ms"}, within="10s"))
    assert "no response came during fault payments-slow: no complete response" in result.message


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("Pending", "its moment has not come (Pending); start it in a step before this one"),
        ("Pending", "or bind it to this test with when: {test: ...}, without after"),
        ("Recovered", "it is over (Recovered); give it a longer for"),
        ("Reverted", "it is over (Reverted)"),
        ("NotInjected", "it could not be had (NotInjected)"),
        ("NoEffect", "it could not be had (NoEffect)"),
        ("EndedEarly", "it is over (EndedEarly)"),
    ],
)
def test_without_the_fault_in_effect_it_fails_and_sends_nothing(
    shop: Loopback, state: str, words: str
) -> None:
    result = tried(shop, a_step(), FaultsByName(payments_slow=[state]))
    assert result.outcome == "failed"
    assert "fault payments-slow is not in effect, so nothing can fail because of it" in (
        result.message
    )
    assert words in result.message
    assert shop.asked == []


def test_a_fault_that_is_just_being_carried_out_is_waited_for(shop: Loopback) -> None:
    shop.answer("GET /orders/1", status=503)
    time = FakeTime()
    faults = FaultsByName(payments_slow=["Requested", "Requested", "Active"])
    result = run_steps([a_step()], a_world(shop.url, time, faults=faults))
    assert result.outcome == "passed"
    assert time.slept == [0.05, 0.05]


def test_a_fault_that_ended_meanwhile_is_said_to_be_over(shop: Loopback) -> None:
    shop.answer("GET /orders/1", json={})
    result = tried(shop, a_step(), FaultsByName(payments_slow=["Active", "Recovered"]))
    assert result.message.endswith("(the fault was over by then: Recovered)")


def test_a_fault_nobody_knows_is_an_error(shop: Loopback) -> None:
    result = tried(shop, a_step(), FaultsByName())
    assert result.outcome == "error"
    assert "fault payments-slow could not be looked at: there is no fault" in result.message


def test_the_conductor_tells_a_scenario_how_its_faults_are() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        fault = a_fault_doc(
            "none-left", scale={"replicas": 0}, **{"for": "1h"}, when={"manual": {}}
        )
        refused = {
            "http": {"get": "http://127.0.0.1:1/"},
            "expectFailure": {"during": "none-left", "noResponse": True},
        }
        steps = [{"fault": {"start": "none-left"}}, refused, {"fault": {"stop": "none-left"}}]
        tests = [a_scenario("during", *steps), a_scenario("after", refused)]
        order(namespace, a_run_doc(services=[a_service_doc()], faults=[fault], tests=tests))
        namespace.deployment("orders", replicas=2)
        await conducted(namespace)
        return namespace

    during, after = in_virtual_time(course()).summary()["tests"]
    assert (during["outcome"], during["message"]) == ("Passed", "")
    assert after["outcome"] == "Failed"
    assert "fault none-left is not in effect" in after["message"]
    assert "it is over (Recovered)" in after["message"]
