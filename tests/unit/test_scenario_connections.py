"""Where databases and brokers are: read from the environment, overridden on a laptop."""

from __future__ import annotations

from typing import Any

import pytest
from seatrial_runner.scenario.action import Call, StepFailure, Tools
from seatrial_runner.scenario.connections import (
    UnreadableConnectionsError,
    connection_url,
    read_connections,
)
from seatrial_runner.scenario.exchange import Client
from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.scope import first_scope
from seatrial_runner.scenario.world import World

DB = "postgresql://app:s3cret@db:5432/app"


def call(**world: Any) -> Call:
    redactor, place = Redactor(), World(**world)
    tools = Tools(place, Client(place, redactor), redactor)
    return Call(first_scope({"port": 5432}, {}, {}), tools, lambda: 10.0)


def test_the_command_line_comes_before_the_environment() -> None:
    here = "postgresql://app:s3cret@localhost:15432/app"
    assert read_connections('{"db": "postgresql://x", "mq": "amqp://mq"}', [f"db={here}"]) == {
        "db": here,
        "mq": "amqp://mq",
    }


@pytest.mark.parametrize("override", ["db", "=postgresql://x", "db=localhost:5432"])
def test_an_override_that_is_none_is_refused_without_showing_it(override: str) -> None:
    with pytest.raises(UnreadableConnectionsError, match="write NAME=URL"):
        read_connections("", [override])


@pytest.mark.parametrize("document", ["{", "[]"])
def test_an_environment_that_is_no_map_is_refused(document: str) -> None:
    with pytest.raises(UnreadableConnectionsError, match="SEATRIAL_CONNECTIONS"):
        read_connections(document)


def test_a_step_connects_to_its_service_and_its_password_is_masked() -> None:
    asked = call(connections={"db": DB})
    assert connection_url({"service": "db"}, asked, ["postgresql"]) == DB
    assert asked.tools.redactor.mask("s3cret") == "***"


def test_a_step_may_give_a_url_whose_host_is_elsewhere() -> None:
    asked = call(base_urls={"db": "localhost:15432"})
    document = {"url": "postgresql://app:s3cret@db:{{ port }}/app"}
    found = connection_url(document, asked, ["postgresql"])
    assert found == "postgresql://app:s3cret@localhost:15432/app"


def test_an_unknown_service_is_said_with_the_remedy() -> None:
    with pytest.raises(StepFailure, match=r"known are: db.*--connection mq=amqp://") as failure:
        connection_url({"service": "mq"}, call(connections={"db": DB}), ["amqp"])
    assert failure.value.permanent


def test_a_service_of_another_kind_is_refused() -> None:
    with pytest.raises(StepFailure, match="db: this step speaks amqp, not 'postgresql'"):
        connection_url({"service": "db"}, call(connections={"db": DB}), ["amqp"])


def test_whoever_asks_for_a_url_is_about_to_send_something_there() -> None:
    told = []
    asked = call(connections={"db": DB}, on_request=lambda at, host: told.append(host))
    connection_url({"service": "db"}, asked, ["postgresql"])
    connection_url({"url": "postgresql://app:s3cret@other:5432/app"}, asked, ["postgresql"])
    with pytest.raises(StepFailure):
        connection_url({"service": "db"}, asked, ["amqp"])
    assert told == ["db", "other"]
