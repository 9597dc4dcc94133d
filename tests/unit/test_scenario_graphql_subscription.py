"""Subscriptions of GraphQL against a real server of graphql-transport-ws on loopback."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from seatrial_runner.scenario import World
from seatrial_runner.scenario.kinds import graphql_subscription
from websockets.sync.server import ServerConnection

from tests.support.scenarios import run_steps
from tests.unit.test_scenario_websocket import a_server, echo

SPEAKS: dict[str, Any] = {"subprotocols": ["graphql-transport-ws"]}


class Orders:
    """Gives results to whoever subscribes; remembers what was asked."""

    def __init__(self, *results: Any, end: dict[str, Any] | None = None) -> None:
        self.results, self.end = results, end
        self.asked: list[dict[str, Any]] = []

    def __call__(self, connection: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            self.asked.append(json.loads(connection.recv()))
            connection.send(json.dumps({"type": "connection_ack"}))
            self.asked.append(json.loads(connection.recv()))
            connection.send(json.dumps({"type": "ping"}))
            for payload in self.results:
                message = {"id": "1", "type": "next", "payload": payload}
                connection.send(json.dumps(message))
            if self.end:
                connection.send(json.dumps({"id": "1", **self.end}))
            while True:
                self.asked.append(json.loads(connection.recv()))


def subscribed(
    where: str, receive: dict[str, Any], *expect: str, of_the_test: str = "20s", **more: Any
) -> Any:
    document = {
        "url": "http://orders:8080/graphql",
        "query": "subscription Watch($id: ID!) { order(id: $id) { status } }",
        "variables": {"id": "{{ order }}"},
        "receive": receive,
        **more,
    }
    steps = [{"set": {"order": "'o-1'"}}, {"graphql": document, "expect": list(expect)}]
    return run_steps(steps, World(base_urls={"orders": f"http://{where}"}), timeout=of_the_test)


def status(word: str) -> dict[str, Any]:
    return {"data": {"order": {"status": word}}}


THREE = [status("paid"), status("packed"), status("shipped")]


def test_results_are_taken_until_a_condition_holds() -> None:
    orders = Orders(*THREE)
    with a_server(orders, **SPEAKS) as where:
        result = subscribed(
            where,
            {"until": "response.data.order.status == 'packed'"},
            "size(response.events) == 2",
            "response.data.order.status == 'packed'",
            "response.errors == []",
            "response.status == 101",
        )
    assert result.outcome == "passed", result.details
    assert orders.asked[0] == {"type": "connection_init"}
    assert orders.asked[1]["payload"]["variables"] == {"id": "o-1"}
    assert {"id": "1", "type": "complete"} in orders.asked
    assert {"type": "pong"} in orders.asked


@pytest.mark.parametrize(("receive", "came"), [({"count": 2}, 2), ({"for": "3s"}, 3)])
def test_results_are_taken_by_count_and_time(receive: dict[str, Any], came: int) -> None:
    with a_server(Orders(*THREE), **SPEAKS) as where:
        result = subscribed(where, receive, f"size(response.events) == {came}")
    assert result.outcome == "passed", result.message


def test_a_time_that_was_cut_short_is_told() -> None:
    with a_server(Orders(*THREE), **SPEAKS) as where:
        result = subscribed(where, {"for": "30s"}, of_the_test="3s")
    assert result.outcome == "failed"
    assert "it was watched for " in result.message
    assert result.message.endswith(" s of 30 s")


def test_all_of_a_subscription_that_ends_by_itself() -> None:
    with a_server(Orders(*THREE, end={"type": "complete"}), **SPEAKS) as where:
        assert subscribed(where, {}, "size(response.events) == 3").outcome == "passed"
        result = subscribed(where, {"count": 4})
    assert result.message.endswith("the subscription ended after 3 results, before 4")


def test_an_expectation_on_results_can_fail() -> None:
    with a_server(Orders(*THREE), **SPEAKS) as where:
        result = subscribed(where, {"count": 1}, "response.data.order.status == 'packed'")
    assert 'but response.data.order.status is "paid"' in result.message


def test_errors_are_an_answer() -> None:
    end = {"type": "error", "payload": [{"message": "no such field"}]}
    with a_server(Orders(end=end), **SPEAKS) as where:
        told = "response.errors[0].message == 'no such field'"
        assert subscribed(where, {"count": 1}, told).outcome == "passed"
        result = subscribed(where, {"count": 1}, "response.data.order.status == 'paid'")
    assert "(there are errors)" in result.message


def test_results_that_do_not_come_are_told() -> None:
    with a_server(Orders(*THREE), **SPEAKS) as where:
        result = subscribed(where, {"count": 5}, timeout="3s")
    assert result.message.endswith("3 results in time, and not 5")


def test_a_server_that_closes_is_told() -> None:
    def refuses(connection: ServerConnection) -> None:
        connection.recv()
        connection.close(4403, "Forbidden")

    with a_server(refuses, **SPEAKS) as where:
        result = subscribed(where, {"count": 1})
    assert "the server did not take the connection: it closed (4403 Forbidden)" in result.message


def test_a_server_of_another_protocol_is_told() -> None:
    with a_server(echo) as where:
        result = subscribed(where, {"count": 1})
    assert "the server does not speak graphql-transport-ws" in result.message

    def babbles(connection: ServerConnection) -> None:
        connection.recv()
        connection.send("no json")

    with a_server(babbles, **SPEAKS) as where:
        result = subscribed(where, {"count": 1})
    assert "what came is no message of graphql-transport-ws: 'no json'" in result.message


def test_a_server_that_is_down_is_told() -> None:
    result = subscribed("127.0.0.1:1", {"count": 1})
    assert result.message.endswith("connection refused: nothing listens on 127.0.0.1:1")


def test_results_without_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql_subscription, "MAX_EVENTS", 20)
    orders = Orders(*THREE * 20)
    with a_server(orders, close_s=0.1, **SPEAKS) as where:  # our close is behind what is not read
        result = subscribed(where, {"for": "5s"})
    assert "more than 20 results" in result.message
