"""Connections of checks that the gateway has counted are taken off again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from seatrial_runner.conductor.checked import Checked, through_libpq
from seatrial_runner.conductor.tapping import Tapping


def an_order(kind: str = "latency", *, of: list[str] | None = None, **more: Any) -> Any:
    return {"kind": kind, "paths": [{"service": "db", "port": None, "sources": of}], **more}


def made(checked: Checked, *, host: str = "db", held: bool = True, libpq: bool = True) -> None:
    checked.begins("alive", host, libpq=libpq)
    checked.ends("alive", held=held)


def test_checks_since_the_fault_are_counted_with_the_one_that_is_being_made() -> None:
    checked = Checked()
    made(checked)
    until_now = checked.from_now(an_order())
    assert until_now() == 0
    made(checked)
    made(checked, host="db.shop.svc")
    made(checked, host="other")
    assert until_now() == 2
    checked.begins("alive", "db", libpq=True)
    assert until_now() == 4  # libpq may take a second connection, to give the first one up
    checked.ends("alive", held=True)
    assert until_now() == 3
    made(checked, held=False)
    assert until_now() == 5


def test_a_check_that_is_being_made_when_the_fault_begins_is_counted() -> None:
    checked = Checked()
    checked.begins("alive", "db", libpq=True)
    until_now = checked.from_now(an_order())
    checked.ends("alive", held=True)
    assert until_now() == 1


@pytest.mark.parametrize(
    ("order", "libpq", "counted"),
    [
        pytest.param(an_order(), False, 0, id="known-by-its-port"),
        pytest.param(an_order(of=["tests"]), True, 1, id="of-tests"),
        pytest.param(an_order(of=["web"]), True, 0, id="of-others"),
        pytest.param(an_order("refuse"), False, 1, id="closed-port"),
        pytest.param(an_order("refuse", of=["tests"]), False, 0, id="refused-one-by-one"),
        pytest.param(an_order("refuse", connections=1.0), False, 1, id="all-are-refused"),
        pytest.param(an_order("refuse", connections=0.5), False, 0, id="a-share-is-refused"),
        pytest.param(an_order("http"), True, 0, id="no-http"),
    ],
)
def test_only_what_the_gateway_cannot_tell_is_counted(
    order: Any, libpq: bool, counted: int
) -> None:
    checked = Checked()
    until_now = checked.from_now(order)
    made(checked, libpq=libpq)
    assert until_now() == counted


def test_what_a_tap_tries_at_a_closed_port_is_taken_off() -> None:
    stage: Any = SimpleNamespace(run={}, checked=Checked())
    tapping = Tapping(stage)

    def told(**message: Any) -> None:
        asyncio.run(tapping._serve(message))

    told(asks="db", number=1)
    told(asked=1)
    until_now = stage.checked.from_now(an_order("refuse"))
    told(asks="db", number=2)
    told(asks="db.shop.svc", number=3)
    assert until_now() == 2
    told(asked=3)
    told(asked=2)
    assert until_now() == 2


@pytest.mark.parametrize(
    ("check", "libpq"),
    [
        ({"http": {"get": "http://db/"}}, False),
        ({"sql": {"service": "db"}}, True),
        ({"sql": {"service": "shop"}}, False),
        ({"sql": {"url": "mariadb://shop/s"}}, False),
        ({"sql": {"url": "${{ env.URL }}"}}, True),
    ],
)
def test_psycopg_alone_chooses_its_port(check: Any, libpq: bool) -> None:
    connections = {"db": "postgresql://u@db/d", "shop": "mysql+pymysql://u@shop/s"}
    assert through_libpq(check, connections) == libpq
