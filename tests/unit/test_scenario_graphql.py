"""GraphQL over HTTP, against a server on loopback that is told what to answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from seatrial_runner.scenario import World

from tests.support.loopback import Loopback
from tests.support.scenarios import FaultsByName, run_steps

QUERY = "query Order($id: ID!) {\n  order(id: $id) { status lines { sku } }\n}"


@pytest.fixture
def system() -> Iterator[Loopback]:
    with Loopback() as each:
        yield each


def asked(system: Loopback, *expect: str, **more: Any) -> Any:
    document = {"url": "http://orders:8080/graphql", "query": QUERY, **more}
    step = {"graphql": document, "expect": list(expect)}
    return run_steps(
        [{"set": {"order": "'O-1'", "count": "3"}}, step],
        World(base_urls={"orders": system.url}),
    )


def test_an_operation_is_sent_with_its_variables(system: Loopback) -> None:
    system.answer("POST /graphql", json={"data": {"order": {"status": "paid", "lines": []}}})
    result = asked(
        system,
        "response.data.order.status == 'paid'",
        "response.errors == []",
        "response.status == 200",
        variables={"id": "{{ order }}", "first": "{{ count }}"},
        operationName="Order",
        bearer="tok",
    )
    assert result.outcome == "passed", result.details
    assert system.asked[0].json() == {
        "query": QUERY,
        "variables": {"id": "O-1", "first": 3},
        "operationName": "Order",
    }
    assert system.asked[0].headers["authorization"] == "Bearer tok"
    assert "application/graphql-response+json" in system.asked[0].headers["accept"]
    assert result.steps[1].name == "graphql Order"


def test_a_step_is_named_by_the_first_line_of_its_query(system: Loopback) -> None:
    system.answer("POST /graphql", json={"data": None})
    assert asked(system).steps[1].name == "graphql query Order($id: ID!) {"


def test_errors_are_an_answer(system: Loopback) -> None:
    errors = [{"message": "no such order", "path": ["order"]}]
    system.answer("POST /graphql", json={"data": {"order": None}, "errors": errors})
    good = asked(
        system, "response.errors[0].message == 'no such order'", "response.data.order == null"
    )
    assert good.outcome == "passed", good.message


def test_an_expectation_on_data_that_is_not_there_says_why(system: Loopback) -> None:
    system.answer("POST /graphql", json={"errors": [{"message": "syntax"}]})
    result = asked(system, "response.data.order.status == 'paid'")
    assert result.outcome == "failed"
    assert "there are errors" in result.message
    assert "syntax" in result.details


def test_wrong_credentials_are_an_answer_that_says_so(system: Loopback) -> None:
    system.answer("POST /graphql", status=401, json={"error": "who are you?"})
    assert asked(system, "response.status == 401", "response.data == null").outcome == "passed"
    result = asked(system, "response.data.order.status == 'paid'")
    assert "(401 Unauthorized; it has neither data nor errors)" in result.message


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"text": "<html>"}, "the body is no JSON"),
        ({"text": ""}, "the body is empty"),
        ({"json": {"ok": True}}, "it has neither data nor errors"),
        ({"json": [1]}, "it has neither data nor errors"),
        ({"json": {"errors": "many"}}, "its errors are no list of maps"),
    ],
)
def test_an_answer_that_is_none_of_graphql_is_told(
    system: Loopback, answer: dict[str, Any], problem: str
) -> None:
    system.answer("POST /graphql", **answer)
    assert f"the answer is none of GraphQL: {problem}" in asked(system).message


def test_a_server_that_does_not_answer_is_given_up(system: Loopback) -> None:
    over = threading.Event()
    system.answer("POST /graphql", json={}, before=over.wait)
    result = asked(system, timeout="150ms")
    over.set()
    assert result.message.endswith("no complete response within 0.15 s")


def test_a_server_that_is_down_is_told() -> None:
    step = {"graphql": {"url": "http://127.0.0.1:1/graphql", "query": "{ a }"}}
    message = run_steps([step], World()).message
    assert message.endswith("connection refused: nothing listens on 127.0.0.1:1")


def test_it_may_have_to_fail_during_a_fault(system: Loopback) -> None:
    world = World(base_urls={"orders": system.url}, faults=FaultsByName(payments_slow=["Active"]))
    document = {"url": "http://orders:8080/graphql", "query": QUERY}
    step = {"graphql": document, "expectFailure": {"during": "payments-slow"}}
    system.answer("POST /graphql", json={"errors": [{"message": "payments"}]})
    assert run_steps([step], world).outcome == "passed"
    system.answer("POST /graphql", json={"data": {}})
    run_steps([step], world)
    message = run_steps([step], world).message
    assert "it did not fail as expected during fault payments-slow" in message
