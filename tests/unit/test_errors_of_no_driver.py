"""What goes wrong in the engine itself is no failure of the system, and is told as what it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from seatrial_runner.scenario.databases.asking import Asked as AskedOfSql
from seatrial_runner.scenario.databases.asking import explained

from tests.support.loopback import Answer, Asked, Loopback
from tests.support.scenarios import a_world, run_steps


def out_of_memory(*_: Any, **__: Any) -> Any:
    raise MemoryError


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
