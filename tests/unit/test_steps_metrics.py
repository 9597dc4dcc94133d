"""Steps of kind metrics: expositions of services, and what a Prometheus server answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from seatrial.api.names import direct_service

from tests.support.loopback import Loopback
from tests.support.played_cluster import PlayedCluster, of_the_system
from tests.support.scenarios import FakeTime, a_world, run_steps

PAGE = """\
# TYPE http_requests_total counter
http_requests_total{{code="200",path="/orders"}} {ok}
http_requests_total{{code="500",path="/orders"}} 2
# TYPE temperature gauge
temperature 21.5
"""


@pytest.fixture
def service() -> Iterator[Loopback]:
    with Loopback() as service:
        yield service


def run(service: Loopback, *steps: dict[str, Any], **world: Any) -> Any:
    orders = {"host": "orders", "url": "http://orders:8080", "port": 8080, "ports": {"http": 8080}}
    return run_steps(list(steps), a_world(service.url, services={"orders": orders}, **world))


def metrics(*, expect: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    where = {} if "url" in fields else {"service": "orders"}
    return {"metrics": {**where, **fields}, "expect": list(expect)}


def exposes(service: Loopback, *ok: int, path: str = "/metrics") -> None:
    for each in ok:
        service.answer(f"GET {path}", text=PAGE.format(ok=each))


def test_a_value_is_the_sum_of_its_samples(service: Loopback) -> None:
    exposes(service, 5)
    steps = [
        metrics(name="temperature", expect=("value == 21.5",)),
        metrics(name="http_requests_total", expect=("value == 7.0", "size(samples) == 2")),
        metrics(
            name="http_requests_total",
            labels={"code": "{{ 200 }}"},
            expect=("value == 5.0", "samples[0].labels.path == '/orders'"),
        ),
    ]
    result = run(service, *steps)
    assert (result.outcome, result.message) == ("passed", "")


def test_an_expectation_that_fails_shows_the_samples(service: Loopback) -> None:
    exposes(service, 5)
    result = run(service, metrics(name="http_requests_total", expect=("value > 100.0",)))
    assert "value is 7" in result.message
    assert 'http_requests_total{code="500",path="/orders"} 2' in result.details


def test_a_change_is_counted_from_before_the_first_step(service: Loopback) -> None:
    exposes(service, 5, 8)
    service.answer("GET /pay", json={})
    steps = [
        {"http": {"get": "http://orders:8080/pay"}},
        metrics(name="http_requests_total", of="change", expect=("value == 3.0",)),
    ]
    result = run(service, *steps)
    assert (result.outcome, result.message) == ("passed", "")
    assert [each.path for each in service.asked] == ["/metrics", "/pay", "/metrics"]


def test_a_counter_that_begins_anew_has_grown_from_nothing(service: Loopback) -> None:
    exposes(service, 50, 4)
    step = metrics(
        name="http_requests_total",
        labels={"code": "200"},
        of="change",
        expect=("value == 4.0",),
    )
    assert run(service, step).outcome == "passed"


@pytest.mark.parametrize(
    ("kind", "sample", "change"),
    [
        ("counter", "jobs_total", 3.0),
        ("untyped", "jobs_total", 3.0),
        ("gauge", "queue_depth", -2.0),
        ("summary", 'seconds{quantile="0.5"}', -2.0),
        ("summary", "seconds_count", 3.0),
    ],
)
def test_only_what_counts_begins_anew_when_it_is_less(
    service: Loopback, kind: str, sample: str, change: float
) -> None:
    time = FakeTime()
    name = sample.partition("{")[0]
    family = name.removesuffix("_count")
    for value in (5, 3):
        service.answer("GET /metrics", text=f"# TYPE {family} {kind}\n{sample} {value}\n")
    service.answer("GET /pay", json={}, before=lambda: time.sleep(10))
    steps = [
        {"http": {"get": "http://orders:8080/pay"}},
        metrics(name=name, of="change", expect=(f"value == {change}",)),
        metrics(name=name, of="rate", expect=(f"value == {change / 10}",)),
    ]
    result = run(service, *steps, time=time)
    assert (result.outcome, result.message) == ("passed", "")


def test_a_rate_is_a_change_by_second(service: Loopback) -> None:
    time = FakeTime()
    exposes(service, 5, 1005)
    service.answer("GET /pay", json={}, before=lambda: time.sleep(10))
    steps = [
        {"http": {"get": "http://orders:8080/pay"}},
        metrics(name="http_requests_total", of="rate", expect=("value == 100.0",)),
    ]
    result = run(service, *steps, time=time)
    assert (result.outcome, result.message) == ("passed", "")


def test_a_metric_that_is_not_there_is_null_and_says_what_is(service: Loopback) -> None:
    exposes(service, 5)
    steps = metrics(name="http_requests_totals", expect=("value > 0.0",))
    message = run(service, steps).message
    assert "there is no metric http_requests_totals; there are: http_requests_total" in message
    steps = metrics(name="http_requests_total", labels={"code": "404"}, expect=("value > 0.0",))
    message = run(service, steps).message
    assert 'no sample is http_requests_total{code="404"}; there are:' in message


def test_what_is_no_exposition_is_told(service: Loopback) -> None:
    service.answer("GET /metrics", text="<html>404</html>\n")
    message = run(service, metrics(name="up")).message
    assert "answers what is no Prometheus exposition" in message


def test_a_service_that_refuses_is_told(service: Loopback) -> None:
    service.answer("GET /metrics", status=401, text="who are you?")
    result = run(service, metrics(name="up"))
    assert "answers 401" in result.message
    assert "who are you?" in result.details


@pytest.mark.parametrize("step", [{"name": "temperature"}, {"query": "up"}], ids=["page", "query"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_leads_nowhere(status: int, step: dict[str, Any], service: Loopback) -> None:
    with Loopback() as elsewhere:
        exposes(elsewhere, 5)
        headers = {"Location": f"{elsewhere.url}/metrics"}
        for path in ("/metrics", "/api/v1/query"):
            service.answer(f"GET {path}", status=status, text="", headers=headers)
        result = run(service, metrics(**step))
        assert elsewhere.asked == []
    assert result.outcome == "failed"
    assert f"answers {status}, a redirect, which metrics does not follow" in result.message


def test_a_service_that_is_down_is_told_before_the_first_step() -> None:
    with Loopback() as gone:
        url = gone.url
    orders = {"host": "orders", "url": "http://orders:8080", "ports": {"http": 8080}}
    world = a_world(url, services={"orders": orders})
    result = run_steps([metrics(name="up", of="change")], world)
    assert result.message.startswith("before the first step: http://orders:8080/metrics")
    assert "connection refused" in result.message


def test_a_service_that_does_not_answer_is_out_of_time(service: Loopback) -> None:
    import threading

    release = threading.Event()
    service.answer("GET /metrics", text="", before=release.wait)
    result = run(service, metrics(name="up", timeout="1s"))
    release.set()
    assert "no complete response within 1 s" in result.message


def test_every_pod_is_asked_where_the_cluster_knows_them(service: Loopback) -> None:
    exposes(service, 5)
    port = int(service.url.rpartition(":")[2])
    with PlayedCluster() as played:
        played.have(
            {
                "kind": "EndpointSlice",
                "metadata": {
                    "name": "x",
                    "labels": of_the_system(
                        **{"kubernetes.io/service-name": direct_service("orders")}
                    ),
                },
                "ports": [{"name": "http", "port": port}],
                "endpoints": [
                    {"addresses": ["127.0.0.1"]},
                    {"addresses": ["127.0.0.2"], "conditions": {"ready": False}},
                ],
            }
        )
        step = metrics(
            name="temperature",
            expect=("value == 21.5", f"samples[0].instance == '127.0.0.1:{port}'"),
        )
        result = run(service, step, cluster=lambda: played.cluster)
    assert (result.outcome, result.message) == ("passed", "")


# A Prometheus server -----------------------------------------------------------------------------


def answers(service: Loopback, kind: str, result: Any) -> None:
    data = {"resultType": kind, "result": result}
    service.answer("GET /api/v1/query", json={"status": "success", "data": data})


def series(value: str, **labels: str) -> dict[str, Any]:
    return {"metric": {"__name__": "up", **labels}, "value": [1700000000.0, value]}


def test_a_server_is_asked(service: Loopback) -> None:
    answers(service, "vector", [series("0.25", job="orders")])
    step = metrics(
        url="http://orders:9090",
        query="sum(rate(x[{{ '1m' }}]))",
        expect=("value == 0.25", "samples[0].labels.job == 'orders'"),
    )
    result = run(service, step)
    assert (result.outcome, result.message) == ("passed", "")
    assert service.asked[0].query["query"] == ["sum(rate(x[1m]))"]


def test_a_number_is_a_value(service: Loopback) -> None:
    answers(service, "scalar", [1700000000.0, "42"])
    assert run(service, metrics(query="42", expect=("value == 42.0",))).outcome == "passed"


def test_the_change_of_a_query_is_a_difference(service: Loopback) -> None:
    time = FakeTime()
    service.answer("GET /pay", json={}, before=lambda: time.sleep(10))
    for value in ("50", "20"):
        answers(service, "vector", [series(value, job="orders")])
    steps = [
        {"http": {"get": "http://orders:8080/pay"}},
        metrics(query="up", of="change", expect=("value == -30.0", "samples[0].value == 20.0")),
        metrics(query="up", of="rate", expect=("value == -3.0",)),
    ]
    result = run(service, *steps, time=time)
    assert (result.outcome, result.message) == ("passed", "")
    queries = ["/api/v1/query", "/pay", "/api/v1/query", "/api/v1/query"]
    assert [each.path for each in service.asked] == queries


def test_a_series_that_was_not_there_has_grown_from_nothing(service: Loopback) -> None:
    answers(service, "vector", [])
    answers(service, "vector", [series("4", job="orders")])
    step = metrics(query="up", of="change", expect=("value == 4.0",))
    assert run(service, step).outcome == "passed"


@pytest.mark.parametrize(
    ("kind", "result", "says"),
    [
        ("vector", [], "up has no result"),
        ("vector", [series("1", a="1"), series("2", a="2")], "2 results: use samples, or sum"),
        ("matrix", [], "the query gives a matrix"),
    ],
)
def test_what_is_no_single_value_says_so(
    kind: str, result: Any, says: str, service: Loopback
) -> None:
    answers(service, kind, result)
    assert says in run(service, metrics(query="up", expect=("value > 0.0",))).message


def test_a_query_that_the_server_cannot_read_is_told(service: Loopback) -> None:
    problem = {"status": "error", "errorType": "bad_data", "error": "parse error at char 3"}
    service.answer("GET /api/v1/query", status=400, json=problem)
    assert "answers 400: parse error at char 3" in run(service, metrics(query="up{")).message


def test_something_else_at_the_address_is_told(service: Loopback) -> None:
    service.answer("GET /api/v1/query", json={"hello": "world"})
    message = run(service, metrics(query="up")).message
    assert "does not answer as a Prometheus server does" in message
