"""Steps of kind metrics against prometheus-client's own exposition, and a Prometheus server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from seatrial_runner.scenario import World

from tests.support.prometheus_server import PASSWORD, USER, prometheus_server
from tests.support.scenarios import run_steps


class Shop:
    """A process that counts with prometheus-client."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.orders = Counter("orders", "Orders.", ["outcome"], registry=registry)
        self.seconds = Histogram("seconds", "Time.", buckets=(0.1, 1), registry=registry)
        self.server, self.thread = start_http_server(0, "127.0.0.1", registry)
        self.port = self.server.server_port
        self.orders.labels("paid").inc(5)


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.server.shutdown()
    shop.server.server_close()
    shop.thread.join()


@pytest.fixture
def prometheus(shop: Shop) -> Iterator[int]:
    with prometheus_server(shop.port) as port:
        yield port


def run(*steps: dict[str, Any], port: int = 1, **world: Any) -> Any:
    url = f"http://127.0.0.1:{port}"
    services = {"shop": {"host": "shop", "url": "http://shop:8080", "ports": {"http": 8080}}}
    return run_steps(list(steps), World(base_urls={"shop": url}, services=services, **world))


def metrics(*expect: str, **fields: Any) -> dict[str, Any]:
    where = {} if "url" in fields else {"service": "shop"}
    return {"metrics": {**where, **fields}, "expect": list(expect)}


def test_an_exposition_is_read_and_its_change_counted(shop: Shop) -> None:
    # Each look counts: that before the first step, and one for each step.
    result = run(
        metrics("value == 7.0", name="orders_total", labels={"outcome": "paid"}),
        metrics("value == 2.0", name="orders_total", of="change"),
        metrics("value > 0.0", name="orders_total", of="rate"),
        metrics("value == 0.0", name="seconds_bucket", labels={"le": "0.1"}),
        port=shop.port,
        on_request=lambda at, host: shop.orders.labels("paid").inc(),
    )
    assert (result.outcome, result.message) == ("passed", "")


def test_a_value_that_is_not_so_fails(shop: Shop) -> None:
    result = run(metrics("value == 6.0", name="orders_total"), port=shop.port)
    assert "value is 5" in result.message
    result = run(metrics("value == 1.0", name="orders_total", of="change"), port=shop.port)
    assert "value is 0" in result.message
    result = run(metrics("value > 0.0", name="orders_total", of="rate"), port=shop.port)
    assert "expected value > 0.0, but value is 0" in result.message


def test_a_server_is_asked_in_promql(prometheus: int) -> None:
    url = f"http://{USER}:{PASSWORD}@127.0.0.1:{prometheus}"
    step = metrics(
        "value == 5.0",
        "samples[0].labels.outcome == 'paid'",
        url=url,
        query="orders_total{outcome='{{ 'paid' }}'}",
    )
    result = run({**step, "eventually": {"within": "30s"}})
    assert (result.outcome, result.message) == ("passed", "")
    # What a busy machine did not let it fetch in time, it takes for gone.
    query = "sum(last_over_time(orders_total[5m]))"
    result = run(metrics("value > 5.0", url=url, query=query))
    assert "value is 5" in result.message
    assert PASSWORD not in result.details
    result = run(metrics("value > 5.0", url=url, query="nothing_total"))
    assert "nothing_total has no result" in result.message


def test_a_query_is_compared_with_before_the_first_step(shop: Shop, prometheus: int) -> None:
    url = f"http://{USER}:{PASSWORD}@127.0.0.1:{prometheus}"
    # What a busy machine did not let it fetch in time, it takes for gone.
    paid = "last_over_time(orders_total{outcome='paid'}[5m])"
    total = "sum(last_over_time({{ 'orders_total' }}[5m]))"
    scraped = {**metrics("value == 5.0", url=url, query=total), "eventually": {"within": "30s"}}
    assert run(scraped).outcome == "passed"

    def three_orders(at: datetime, host: str) -> None:
        if host == "shop":
            shop.orders.labels("paid").inc(3)

    result = run(
        {"http": {"get": "http://shop:8080/metrics"}},
        {
            **metrics("value == 3.0", url=url, query=total, of="change"),
            "eventually": {"within": "30s"},
        },
        metrics("value == 3.0", "samples[0].value == 8.0", url=url, query=paid, of="change"),
        metrics("value > 0.0", url=url, query=total, of="rate"),
        # It is a difference, and not a counter that begins anew.
        metrics("value == -3.0", url=url, query=f"100 - {total}", of="change"),
        metrics("value == 8.0", url=url, query=total, of="change"),
        port=shop.port,
        on_request=three_orders,
    )
    assert "step 6 of 6" in result.message
    assert "expected value == 8.0, but value is 3" in result.message


def test_a_query_of_a_change_that_no_server_can_answer_is_told_at_once(prometheus: int) -> None:
    url = f"http://{USER}:{PASSWORD}@127.0.0.1:{prometheus}"
    result = run({"expect": ["false"]}, metrics(url=url, query="up{", of="change"))
    assert result.message.startswith("before the first step: ")
    assert "answers 400: invalid parameter" in result.message
    result = run({"set": {"job": "'shop'"}}, metrics(url=url, query="{{ job }}", of="change"))
    assert result.message.startswith("before the first step: ")
    assert "job" in result.message


@pytest.mark.parametrize(
    ("user", "query", "says"),
    [
        (f"{USER}:wrong", "up", "answers 401"),
        ("", "up", "answers 401"),
        (f"{USER}:{PASSWORD}", "up{", "answers 400: invalid parameter"),
        (f"{USER}:{PASSWORD}", "up[1m]", "the query gives a matrix"),
    ],
    ids=["wrong-password", "no-password", "no-promql", "a-range"],
)
def test_what_a_server_refuses_is_told(user: str, query: str, says: str, prometheus: int) -> None:
    url = f"http://{user}@127.0.0.1:{prometheus}" if user else f"http://127.0.0.1:{prometheus}"
    result = run(metrics(url=url, query=query))
    assert says in result.message
    assert PASSWORD not in result.message + result.details


def test_a_server_that_is_down_is_told(shop: Shop) -> None:
    with prometheus_server(shop.port) as port:
        pass
    result = run(metrics(url=f"http://127.0.0.1:{port}", query="up"))
    assert f"connection refused: nothing listens on 127.0.0.1:{port}" in result.message
