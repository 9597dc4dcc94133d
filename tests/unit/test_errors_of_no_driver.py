"""What goes wrong in the engine itself is no failure of the system, and is told as what it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpcore
import pytest
from seatrial_runner.scenario.databases.asking import Asked as AskedOfSql
from seatrial_runner.scenario.databases.asking import explained

from localcluster.ports import free_port
from tests.support.loopback import Answer, Asked, Loopback
from tests.support.scenarios import a_world, run_steps


def out_of_memory(*_: Any, **__: Any) -> Any:
    raise MemoryError


class Elsewhere(Loopback):
    def respond(self, asked: Asked) -> Answer:
        return Answer(status=302, headers={"Location": asked.query["to"][0]})


class Metrics(Loopback):
    def respond(self, asked: Asked) -> Answer:
        return Answer(text="up 1\n")


def test_a_template_that_takes_too_much_memory_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seatrial_runner.scenario.templates.as_json", out_of_memory)
    result = run_steps([{"set": {"a": "1"}}, {"http": {"get": "http://orders/{{ a | upper }}"}}])
    assert (result.outcome, "out of memory" in result.message) == ("error", True), result.message


def test_metrics_that_take_too_much_memory_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prometheus_client.parser.text_string_to_metric_families", out_of_memory)
    with Metrics() as service:
        result = run_steps([{"metrics": {"url": service.url, "name": "up"}}])
    assert (result.outcome, "out of memory" in result.message) == ("error", True), result.message


def test_sql_that_takes_too_much_memory_is_told_so() -> None:
    world = SimpleNamespace(monotonic=lambda: 0.0)
    call = SimpleNamespace(tools=SimpleNamespace(world=world), seconds=lambda: 1.0)
    asked = AskedOfSql(call, "mysql", "db", 1.0, "select 1")  # type: ignore[arg-type]
    with pytest.raises(MemoryError), explained(asked, "mysql://db"):
        raise MemoryError


@pytest.mark.parametrize(
    ("raised", "told"),
    [(MemoryError(), "out of memory"), (TypeError("odd"), "the engine broke: TypeError: odd")],
)
def test_an_error_of_the_engine_in_a_websocket_step_is_none_of_the_server(
    raised: Exception, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise raised

    monkeypatch.setattr("websockets.sync.client.connect", broken)
    step = {"websocket": {"url": "ws://127.0.0.1:9/"}}
    result = run_steps([step], a_world())
    assert result.outcome == "error", result.message
    assert told in result.message


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        pytest.param("http", {"get": "http://127.0.0.1:9/"}, id="http"),
        pytest.param("http", {"get": "http://127.0.0.1:9/", "http2": True}, id="http2"),
        pytest.param("metrics", {"url": "http://127.0.0.1:9", "name": "up"}, id="metrics"),
    ],
)
def test_an_error_of_the_engine_while_it_asks_over_http_is_none_of_the_server(
    kind: str, step: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise TypeError("it broke")

    monkeypatch.setattr("httpcore.HTTPConnection.handle_request", broken)
    result = run_steps([{kind: step}])
    assert result.outcome == "error", result.message
    assert "the engine broke: TypeError: it broke" in result.message


def test_a_response_that_the_engine_cannot_take_in_is_none_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("odd")

    monkeypatch.setattr("seatrial_runner.scenario.exchange.parsed", broken)
    with Metrics() as service:
        result = run_steps([{"http": {"get": service.url}}])
    assert (result.outcome, "the engine broke: KeyError" in result.message) == ("error", True)


def test_what_httpcore_says_of_a_server_is_no_error_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise httpcore.ConnectionNotAvailable("the server goes away")

    monkeypatch.setattr("httpcore.HTTPConnection.handle_request", refused)
    result = run_steps([{"http": {"get": "http://127.0.0.1:9/"}}])
    assert result.outcome == "failed"
    assert "ConnectionNotAvailable: the server goes away" in result.message


@pytest.mark.parametrize("to", ["ftp://orders/", "http://orders:99999/"])
def test_a_redirect_to_where_nothing_can_be_sent_is_one_of_the_server(to: str) -> None:
    with Elsewhere() as service:
        step = {"get": f"{service.url}/?to={to}", "followRedirects": True}
        result = run_steps([{"http": step}])
    assert result.outcome == "failed"
    assert f"it redirects to '{to}', which is no URL to send a request to" in result.message


def test_a_request_that_is_not_as_long_as_it_says_is_none_of_the_engine() -> None:
    with Metrics() as service:
        result = run_steps([{"http": {"get": service.url, "headers": {"Content-Length": "5"}}}])
    assert result.outcome == "failed"
    assert "it cannot be sent: Too little data for declared Content-Length" in result.message


def test_who_does_not_answer_after_a_redirect_is_named() -> None:
    there = f"127.0.0.1:{free_port()}"
    with Elsewhere() as service:
        step = {"get": f"{service.url}/?to=http://{there}/", "followRedirects": True}
        result = run_steps([{"http": step}])
    assert f"connection refused: nothing listens on {there}" in result.message
