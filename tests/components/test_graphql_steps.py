"""``graphql`` against a real server, Ariadne: what it answers, and what it refuses."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult, World

from tests.support.frozen import freeze
from tests.support.graphql_shop import TOKEN, GraphqlShop, graphql_shop
from tests.support.scenarios import run_steps

Run = Callable[..., InstanceResult]


@pytest.fixture(scope="module")
def shop() -> Iterator[GraphqlShop]:
    with graphql_shop() as each:
        yield each


@pytest.fixture
def run(shop: GraphqlShop) -> Run:
    world = World(base_urls={"shop": f"http://127.0.0.1:{shop.port}"})

    def steps(*steps: dict[str, Any]) -> InstanceResult:
        return run_steps(list(steps), world, timeout="60s")

    return steps


def graphql(query: str, *expect: str, **more: Any) -> dict[str, Any]:
    document = {"url": "http://shop:8080/graphql", "bearer": TOKEN, "query": query, **more}
    return {"graphql": document, "expect": list(expect)}


def passed(result: InstanceResult) -> None:
    assert result.outcome == "passed", f"{result.message}\n{result.details}"


PLACE = "mutation Place($sku: String!, $n: Int!, $price: Float) {"
PLACE += " place(sku: $sku, quantity: $n, price: $price) { id quantity } }"
WATCH = "subscription Watch($id: ID!) { order(id: $id) { id status } }"


def test_queries_and_mutations_are_answered(run: Run) -> None:
    passed(
        run(
            {"set": {"order": "'o-7'", "n": "2"}},
            graphql(
                "query One($id: ID!) { order(id: $id) { id status } }",
                "response.data.order == {'id': 'o-7', 'status': 'NEW'}",
                "response.errors == []",
                "response.status == 200",
                variables={"id": "{{ order }}"},
            ),
            graphql(
                PLACE,
                "response.data.place == {'id': 'o-1', 'quantity': 2}",
                variables={"sku": "A1", "n": "{{ n }}"},
            ),
            graphql(
                'query A { order(id: "o-1") { id } } query B { order(id: "o-2") { id } }',
                "response.data.order.id == 'o-2'",
                operationName="B",
            ),
            graphql('{ order(id: "x") { id } }', "response.data.order == null"),
        )
    )


def test_a_value_is_taken_as_the_type_it_is_declared_with(run: Run) -> None:
    """A whole number goes for a Float, a number for an ID; a text goes for neither."""
    passed(
        run(
            graphql(PLACE, "response.errors == []", variables={"sku": "A1", "n": 2, "price": 3}),
            graphql(
                "query One($id: ID!) { order(id: $id) { id } }",
                "response.errors == []",
                variables={"id": 7},
            ),
        )
    )
    refused = run(graphql(PLACE, "response.errors == []", variables={"sku": "A1", "n": "two"}))
    assert "Int cannot represent non-integer value: 'two'" in refused.details
    missing = run(graphql(PLACE, "response.errors == []", variables={"n": 2}))
    assert "Variable '$sku'" in missing.details


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("{ order(id: ", "Syntax Error: Unexpected <EOF>."),
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'."),
        ("{ order { id } }", "of type 'ID!' is required"),
    ],
    ids=["malformed", "no-such-field", "argument-missing"],
)
def test_a_query_that_is_refused_is_told(run: Run, query: str, told: str) -> None:
    failed = run(graphql(query, "response.data.order.id == 'o-1'"))
    assert failed.outcome == "failed"
    assert "(400 Bad Request" in failed.message or "(there are errors)" in failed.message
    assert told in failed.details
    passed(run(graphql(query, f'response.errors[0].message.contains("{told}")')))


def test_an_error_of_a_resolver_is_an_answer(run: Run) -> None:
    passed(
        run(
            graphql(
                "{ broken }",
                "response.data == null",
                "response.errors[0].message == 'the stock is not known'",
                "response.errors[0].path == ['broken']",
            )
        )
    )
    failed = run(graphql("{ broken }", "response.data.broken == 1"))
    assert "(there are errors)" in failed.message
    assert "the stock is not known" in failed.details


def test_a_subscription_gives_results_until_there_are_enough(run: Run) -> None:
    watch = {"variables": {"id": "o-1"}}
    passed(
        run(
            graphql(
                WATCH,
                "response.data.order == {'id': 'o-1', 'status': 'PAID'}",
                "size(response.events) == 2",
                receive={"until": "response.data.order.status == 'PAID'"},
                **watch,
            ),
            graphql(WATCH, "size(response.events) == 3", receive={}, **watch),
        )
    )
    failed = run(graphql(WATCH, receive={"count": 4}, **watch))
    assert "the subscription ended after 3 results, before 4" in failed.message


def test_a_subscription_that_is_refused_is_told(run: Run) -> None:
    failed = run(graphql("subscription { nothing }", "response.data.order.id == 'o-1'", receive={}))
    assert "(there are errors)" in failed.message
    assert "Cannot query field 'nothing'" in failed.details


def test_a_subscription_of_which_nothing_comes_ends_in_time(run: Run) -> None:
    query = WATCH.replace("id: $id", "id: $id, forever: true")
    failed = run(graphql(query, receive={"count": 4}, variables={"id": "o-1"}, timeout="5s"))
    assert failed.message.endswith("3 results in time, and not 4")


def test_wrong_credentials_are_told(run: Run) -> None:
    ask = '{ order(id: "o-1") { id } }'
    failed = run(graphql(ask, "response.data.order.id == 'o-1'", bearer="wr0ng-word"))
    assert "response.data.order: it is a field of null" in failed.message
    assert "401 Unauthorized" in failed.details
    assert "who are you?" in failed.details
    passed(run(graphql(ask, "response.status == 401", bearer="wr0ng-word")))
    watch = graphql(
        WATCH,
        "response.data.order.id == 'o-1'",
        receive={"count": 1},
        variables={"id": "o-1"},
        bearer="wr0ng-word",
    )
    failed = run(watch)
    assert "(403 Forbidden" in failed.message
    assert "wr0ng-word" not in failed.message + failed.details


def test_an_answer_that_takes_too_long_is_told(run: Run) -> None:
    failed = run(graphql("{ slow }", timeout="2s"))
    assert failed.message.endswith("no complete response within 2 s")


def test_a_server_that_freezes_or_goes_is_told() -> None:
    ask = graphql('{ order(id: "o-1") { id } }', "response.errors == []", timeout="1s")
    watch = graphql(WATCH, receive={"count": 1}, variables={"id": "o-1"}, timeout="1s")
    with graphql_shop() as shop:
        where = f"127.0.0.1:{shop.port}"
        world = World(base_urls={"shop": f"http://{where}"})
        freeze(shop.process.pid)
        assert run_steps([ask], world).message.endswith("no complete response within 1 s")
        assert run_steps([watch], world).message.endswith(f"no WebSocket at {where} in time")
        shop.process.send_signal(signal.SIGCONT)
    for step in (ask, watch):
        message = run_steps([step], world).message
        assert message.endswith(f"connection refused: nothing listens on {where}")
