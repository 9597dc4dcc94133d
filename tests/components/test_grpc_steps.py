"""gRPC steps against a real server: four kinds of methods, reflection, files, status, TLS."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from seatrial_runner.scenario import World
from seatrial_runner.scenario.kinds import grpc_seen

from tests.support.authority import Authority
from tests.support.grpc_shop import FILES, ORDERS, Shop, a_shop, pool
from tests.support.loopback import Loopback
from tests.support.scenarios import FaultsByName, run_steps


@pytest.fixture(scope="module")
def types() -> DescriptorPool:
    return pool()


@pytest.fixture(scope="module")
def shop(types: DescriptorPool) -> Iterator[tuple[str, Shop]]:
    with a_shop(types) as served:
        yield served


def run(where: str, *steps: tuple[Any, ...], world: World | None = None, **test: Any) -> Any:
    """Run steps; of each the method, fields of ``grpc``, and expectations."""
    written = [
        {"grpc": {"target": "orders:50051", "method": f"shop.Orders/{m}", **more}, "expect": [*e]}
        for m, more, *e in steps
    ]
    world = world or World(base_urls={"orders": f"http://{where}"})
    return run_steps([{"set": {"order": "'O-1'"}}, *written], world, **test)


OK = "response.code == 'OK'"
THREE = "size(response.messages) == 3"
O_1 = {"message": {"id": "{{ order }}"}}


def test_a_call_by_reflection(shop: tuple[str, Shop]) -> None:
    result = run(
        shop[0],
        (
            "Get",
            O_1,
            "response.code == 'OK'",
            "response.message.id == 'O-1'",
            "response.message.state == 'PAID'",
            "response.message.lines == [{'sku': 'A1', 'count': 2}]",
            "response.message.cents == '1099511627776'",
            "response.message.placedAt == '2026-01-02T03:04:05Z'",
            "response.message.labels == {}",
            "response.metadata['x-served-by'] == 'orders-0'",
            "response.trailers['x-cost'] == '3'",
            "response.trailers['trace-bin'] == 'AAE='",
            "response.elapsed > duration('0s')",
        ),
    )
    assert result.outcome == "passed", result.details
    assert result.requests == 1


def test_an_expectation_on_a_message_can_fail(shop: tuple[str, Shop]) -> None:
    result = run(shop[0], ("Get", O_1, "response.message.state == 'PENDING'"))
    assert 'but response.message.state is "PAID"' in result.message
    assert '"sku": "A1"' in result.details


def test_a_call_by_files_without_reflection(types: DescriptorPool) -> None:
    with a_shop(types, reflects=False) as (where, _):
        result = run(where, ("Get", {**O_1, "protos": FILES}, "response.message.id == 'O-1'"))
        assert result.outcome == "passed", result.details
        result = run(where, ("Get", O_1))
    assert "has no reflection: give its files as protos" in result.message


def test_files_are_compiled_where_only_memory_can_be_written_to(
    shop: tuple[str, Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert run(shop[0], ("Get", {**O_1, "protos": FILES}, OK)).outcome == "passed"


@pytest.mark.parametrize(
    ("protos", "told"),
    [
        ({"a.proto": "syntax = 'proto3'; nonsense"}, "protos: a.proto:1:"),
        ({"orders.proto": ORDERS}, "types.proto: File not found"),
        ({"a.proto": "syntax = 'proto3'; package a;"}, "no file of protos has a service"),
        ({"../a.proto": ""}, "protos: '../a.proto' is no name of a file"),
    ],
)
def test_files_that_are_no_good_are_told(
    shop: tuple[str, Shop], protos: dict[str, str], told: str
) -> None:
    result = run(shop[0], ("Get", {**O_1, "protos": protos}))
    assert told in result.message + result.details
    assert result.outcome == "failed"


def test_a_stream_from_the_server(shop: tuple[str, Shop]) -> None:
    result = run(
        shop[0],
        (
            "Watch",
            O_1,
            "response.messages.map(m, m.cents) == ['0', '1', '2']",
            "response.code == 'OK'",
        ),
        (
            "Watch",
            {"message": {"id": "breaks"}},
            "response.code == 'DATA_LOSS'",
            "size(response.messages) == 3",
        ),
    )
    assert result.outcome == "passed", result.details


def test_a_stream_that_stays_open_is_left(types: DescriptorPool) -> None:
    watch = {"message": {"id": "open"}}
    for receive, came in (
        ({"count": 2}, 2),
        ({"until": "response.message.cents == '1'"}, 2),
        ({"for": "4s"}, 3),
    ):
        with a_shop(types) as (where, _):
            expected = f"size(response.messages) == {came}"
            result = run(where, ("Watch", {**watch, "receive": receive}, expected))
            assert result.outcome == "passed", result.message


def test_a_stream_that_was_watched_too_short_is_told(types: DescriptorPool) -> None:
    with a_shop(types) as (where, _):
        watch = {"message": {"id": "open"}, "receive": {"for": "50s"}}
        result = run(where, ("Watch", watch), timeout="5s")
    assert "it was watched for " in result.message
    assert result.message.endswith(" s of 50 s")


def test_a_stream_that_ends_too_early_or_stays_away_is_told(types: DescriptorPool) -> None:
    with a_shop(types) as (where, _):
        result = run(where, ("Watch", {**O_1, "receive": {"count": 5}}))
        assert result.message.endswith("the stream ended after 3 messages, before 5")
        until = {"until": "response.message.cents == '9'"}
        step = {"message": {"id": "open"}, "receive": until, "timeout": "6s"}
        result = run(where, ("Watch", step))
    assert "3 messages came in time from orders:50051" in result.message


def test_a_stream_to_the_server(shop: tuple[str, Shop]) -> None:
    orders = [{"id": "a", "lines": [{"sku": "A1"}]}, {"id": "b"}, {}]
    result = run(shop[0], ("Place", {"messages": orders}, "response.message.orders == 3"))
    assert result.outcome == "passed", result.details


def test_streams_both_ways(shop: tuple[str, Shop]) -> None:
    asked = [{"id": "a"}, {"id": "{{ order }}x"}]
    expected = "response.messages.map(m, m.id) == ['A', 'O-1X']"
    assert run(shop[0], ("Chat", {"messages": asked}, expected)).outcome == "passed"


def test_a_status_that_is_not_ok_is_an_answer(shop: tuple[str, Shop]) -> None:
    result = run(
        shop[0],
        (
            "Get",
            {"message": {"id": "none"}},
            "response.code == 'NOT_FOUND'",
            "response.details == 'no such order'",
            "response.message == null",
        ),
        ("Get", {"message": {"id": "away"}}, "response.code == 'UNAVAILABLE'"),
    )
    assert result.outcome == "passed", result.details
    result = run(shop[0], ("Get", {"message": {"id": "none"}}, "response.message.id == 'x'"))
    assert "(NOT_FOUND: no such order)" in result.message


def test_a_deadline_is_an_answer_where_it_was_given(shop: tuple[str, Shop]) -> None:
    slow = {"message": {"id": "slow"}, "timeout": "4s"}
    result = run(shop[0], ("Get", slow, "response.code == 'DEADLINE_EXCEEDED'"))
    assert result.outcome == "passed", result.message


def test_the_time_of_the_test_is_no_answer(shop: tuple[str, Shop]) -> None:
    result = run(shop[0], ("Get", {"message": {"id": "slow"}}), timeout="5s")
    assert "no answer came in time from orders:50051" in result.message


def test_wrong_credentials_are_an_answer(types: DescriptorPool) -> None:
    with a_shop(types, token="good-token") as (where, shop):
        result = run(
            where,
            ("Get", {**O_1, "bearer": "good-token"}, "response.code == 'OK'"),
            ("Get", {**O_1, "bearer": "bad-token"}, "response.code == 'UNAUTHENTICATED'"),
            ("Get", {**O_1, "metadata": {"Authorization": "Bearer good-token", "x-bin": "AAE="}}),
        )
    assert result.outcome == "passed", result.details
    assert shop.metadata[-1]["x-bin"] == b"\x00\x01"
    assert "good-token" not in str(result)


def test_what_the_server_does_not_have_is_told(shop: tuple[str, Shop]) -> None:
    message = run(shop[0], ("Get", {**O_1, "method": "shop.Order/Get"})).message
    assert "has no service 'shop.Order': is its package before it, and is it a service?" in message
    message = run(shop[0], ("Get", {**O_1, "method": "shop.Nope/Get"})).message
    assert "has no service 'shop.Nope'; its services are: " in message
    assert "shop.Orders" in message.partition("its services are")[2]
    message = run(shop[0], ("Gett", O_1)).message
    assert message.endswith(
        "service shop.Orders has no method 'Gett'; its methods are: Chat, Get, Place, Watch"
    )


@pytest.mark.parametrize(
    ("method", "sent", "told"),
    [
        ("Get", {"message": {"idd": "a"}}, "(its fields are: id)"),
        ("Get", {"message": {"id": 7}}, "message is no shop.Id"),
        ("Get", {"message": ["a"]}, "message is no shop.Id"),
        ("Place", {"messages": [{}, {"state": "LOST"}]}, "messages[1] is no shop.Order"),
        ("Get", {"messages": [{}, {}]}, "shop.Orders/Get takes one message, not 2"),
        ("Get", {"metadata": {"bad name": "x"}}, "'bad name' is no name"),
    ],
)
def test_what_does_not_fit_is_told(
    shop: tuple[str, Shop], method: str, sent: dict[str, Any], told: str
) -> None:
    assert told in run(shop[0], (method, sent)).message


def test_an_answer_that_cannot_be_read_is_told(shop: tuple[str, Shop]) -> None:
    message = run(shop[0], ("Get", {"message": {"id": "garbage"}})).message
    assert "the answer of 3 bytes is no shop.Order" in message


def test_a_server_that_is_down_is_told_and_one_that_comes_is_met(types: DescriptorPool) -> None:
    result = run("127.0.0.1:1", ("Get", O_1))
    assert result.message.endswith("connection refused: nothing listens on 127.0.0.1:1")
    result = run("127.0.0.1:1", ("Get", {**O_1, "protos": FILES}))
    assert result.message.endswith("connection refused: nothing listens on 127.0.0.1:1")


def test_a_server_of_something_else_is_told() -> None:
    with Loopback() as system:
        result = run(system.url.removeprefix("http://"), ("Get", O_1))
    assert "does not speak gRPC, or wants TLS" in result.message


@pytest.mark.parametrize("target", ["orders", "orders:http", "{{ order }}"])
def test_what_is_no_target_is_told(target: str) -> None:
    assert "is no target: write HOST:PORT" in run("x:1", ("Get", {"target": target})).message


def credentials(ours: Authority, wants: Authority | None = None) -> grpc.ServerCredentials:
    certificate, key = ours.sign("127.0.0.1", "orders")
    return grpc.ssl_server_credentials(
        [(key.encode(), certificate.encode())],
        root_certificates=wants.ca.encode() if wants else None,
        require_client_auth=wants is not None,
    )


def test_tls_with_an_authority_and_a_client_of_the_run(types: DescriptorPool) -> None:
    ours, clients = Authority(), Authority("clients")
    cert, key = clients.sign("a client")
    with a_shop(types, tls=credentials(ours, clients)) as (where, _):
        tls = {"ca": ours.ca, "cert": cert, "key": key}
        result = run(where, ("Get", {**O_1, "tls": tls}, "response.message.id == 'O-1'"))
        assert result.outcome == "passed", result.message
        result = run(where, ("Get", {**O_1, "tls": {"ca": ours.ca}}))
        assert "does it want a client certificate (tls.cert, tls.key)?" in result.message
        result = run(where, ("Get", {**O_1, "tls": {**tls, "ca": clients.ca}}))
        assert "give its authority as tls.ca" in result.message
        result = run(where, ("Get", {**O_1, "tls": {"verify": False}}))
        assert "gRPC always verifies; give the certificate as tls.ca" in result.message


def test_streams_without_end_are_bounded(
    shop: tuple[str, Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_seen, "MAX_MESSAGES", 100)
    result = run(shop[0], ("Watch", {"message": {"id": "endless"}}))
    assert "more than 100 messages" in result.message


def test_it_may_have_to_fail_during_a_fault(shop: tuple[str, Shop]) -> None:
    faults = FaultsByName(slow=["Active"])
    world = World(base_urls={"orders": f"http://{shop[0]}"}, faults=faults)
    document = {"target": "orders:1", "method": "shop.Orders/Get", "message": {"id": "none"}}
    step = {"grpc": document, "expectFailure": {"during": "slow"}}
    assert run_steps([step], world).outcome == "passed"
    document["message"] = {"id": "O-1"}
    message = run_steps([step], world).message
    assert (
        "it did not fail as expected during fault slow: expected response.code != 'OK'" in message
    )
    down = World(faults=faults)
    gone = {"grpc": {**document, "target": "127.0.0.1:1"}}
    expected = {"expectFailure": {"during": "slow", "noResponse": True}}
    assert run_steps([gone | expected], down).outcome == "passed"


def test_the_driver_is_not_imported_before_the_first_call() -> None:
    code = (
        "import sys; from seatrial_runner.scenario import preload;"
        "preload([{'scenario': [{'grpc': {'target': 'a:1', 'method': 'a.B/C'}}]}]);"
        "print([name for name in sys.modules if name.startswith('grpc')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert run.stdout.strip() == "[]"


def test_a_call_in_a_forked_worker(types: DescriptorPool) -> None:
    """As in the conductor: the process that forks has never imported the driver."""
    server = (
        "import sys, time; from tests.support.grpc_shop import *\n"
        "with a_shop(pool()) as (where, _): print(where, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        where = process.stdout.readline().strip()
        client = (
            "import asyncio\n"
            "from seatrial_runner.conductor.workers import run_in_worker\n"
            "from seatrial_runner.scenario import World, expand, run_instance\n"
            f"step = {{'grpc': {{'target': '{where}', 'method': 'shop.Orders/Get',"
            " 'message': {'id': 'a'}}, 'expect': [\"response.message.id == 'a'\"]}\n"
            "[one] = expand({'name': 'a', 'scenario': [step] * 20})\n"
            "async def listen(message): return {}\n"
            "async def main():\n"
            "    work = lambda channel: run_instance(one, World()).to_case()\n"
            "    results = [await run_in_worker(work, listen, timeout_s=60) for _ in range(3)]\n"
            "    print([each['outcome'] for each in results])\n"
            "asyncio.run(main())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", client], capture_output=True, text=True, check=False
        )
        assert done.stdout.strip() == "['passed', 'passed', 'passed']", done.stderr[-2000:]
        process.kill()
