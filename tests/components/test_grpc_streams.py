"""gRPC calls that stay open across steps, against a real server: said, heard, said again."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from seatrial_runner.scenario import World

from tests.support.grpc_shop import FILES, Shop, a_shop, pool
from tests.support.scenarios import FaultsByName, run_steps


@pytest.fixture(scope="module")
def types() -> DescriptorPool:
    return pool()


@pytest.fixture
def shop(types: DescriptorPool) -> Iterator[tuple[str, Shop]]:
    with a_shop(types) as served:
        yield served


@contextmanager
def a_mortal_shop() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve in a process of its own; gives HOST:PORT and the process."""
    server = (
        "import sys; from tests.support.grpc_shop import *\n"
        "with a_shop(pool()) as (where, _): print(where, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", server]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


CHAT = {"stream": "talk", "target": "orders:50051", "method": "shop.Orders/Chat"}
Step = tuple[dict[str, Any], list[str]]


def run(where: str, *steps: Step, **test: Any) -> Any:
    """Run steps: of each the document of ``grpc`` (its stream is talk), and expectations."""
    written = [
        {"grpc": {"stream": "talk", **document}, "expect": expected} for document, expected in steps
    ]
    return run_steps(written, World(base_urls={"orders": f"http://{where}"}), **test)


def test_what_is_sent_depends_on_what_was_received(shop: tuple[str, Shop]) -> None:
    steps = [
        {"grpc": {**CHAT, "message": {"id": "a"}, "receive": {}}, "capture": {"heard": "response"}},
        {
            "grpc": {
                "stream": "talk",
                "message": {"id": "re {{ heard }}"},
                "receive": {"count": 1},
            },
            "expect": ["response.message.id == 'RE A'", "response.code == ''"],
        },
        {
            "grpc": {"stream": "talk", "messages": [{"id": "b"}, {"id": "c"}], "end": True},
            "expect": ["response.messages.map(m, m.id) == ['B', 'C']", "response.code == 'OK'"],
        },
    ]
    steps[0]["capture"] = {"heard": "response.message.id"}
    result = run_steps(steps, World(base_urls={"orders": f"http://{shop[0]}"}))
    assert result.outcome == "passed", result.details
    assert [step.name for step in result.steps] == [
        "grpc shop.Orders/Chat",
        "grpc talk",
        "grpc talk",
    ]


def test_an_expectation_on_a_turn_can_fail(shop: tuple[str, Shop]) -> None:
    result = run(
        shop[0],
        ({**CHAT, "message": {"id": "a"}, "receive": {}}, ["response.message.id == 'A'"]),
        ({"message": {"id": "b"}, "receive": {}}, ["response.message.id == 'C'"]),
    )
    assert "step 2 of 2 (grpc talk): expected response.message.id == 'C', but" in result.message
    assert "shop.Orders/Chat at orders:50051, stream talk" in result.details
    assert '"id": "B"' in result.details


def test_messages_to_the_server_are_sent_by_several_steps(shop: tuple[str, Shop]) -> None:
    result = run(
        shop[0],
        ({**CHAT, "method": "shop.Orders/Place", "messages": [{"id": "a"}, {"id": "b"}]}, []),
        ({"message": {"id": "c"}}, ["response.code == ''", "response.message == null"]),
        ({"end": True}, ["response.code == 'OK'", "response.message.orders == 3"]),
    )
    assert result.outcome == "passed", result.details


def test_messages_of_the_server_are_taken_by_several_steps(shop: tuple[str, Shop]) -> None:
    watch = {**CHAT, "method": "shop.Orders/Watch", "message": {"id": "O-1"}}
    result = run(
        shop[0],
        (watch, []),
        ({"receive": {"count": 1}}, ["response.message.cents == '0'"]),
        ({"receive": {"until": "response.message.cents == '1'"}}, ["size(response.messages) == 1"]),
        ({"end": True}, ["response.message.cents == '2'", "response.code == 'OK'"]),
    )
    assert result.outcome == "passed", result.details


def test_two_streams_are_open_at_once(shop: tuple[str, Shop]) -> None:
    other = {**CHAT, "stream": "other"}
    result = run(
        shop[0],
        ({**CHAT, "message": {"id": "a"}}, []),
        ({**other, "message": {"id": "b"}, "receive": {}}, ["response.message.id == 'B'"]),
        ({"receive": {}}, ["response.message.id == 'A'"]),
        ({"stream": "other", "end": True}, ["response.code == 'OK'"]),
        ({"end": True}, ["response.code == 'OK'"]),
    )
    assert result.outcome == "passed", result.details


def test_a_status_that_ends_the_stream_is_an_answer(shop: tuple[str, Shop]) -> None:
    nonsense = {"message": {"id": "nonsense"}, "receive": {}}
    told = ["response.code == 'INVALID_ARGUMENT'", "response.details == 'say it better'"]
    result = run(shop[0], (CHAT, []), (nonsense, told))
    assert result.outcome == "passed", result.details


def test_a_stream_that_has_ended_is_gone(shop: tuple[str, Shop]) -> None:
    result = run(shop[0], (CHAT, []), ({"end": True}, []), ({"message": {"id": "a"}}, []))
    assert "step 3 of 3 (grpc talk): no stream named 'talk' is open: open it" in result.message


def test_sending_to_a_server_that_has_ended_the_stream_is_told(shop: tuple[str, Shop]) -> None:
    steps = [
        {"grpc": {**CHAT, "message": {"id": "a"}, "receive": {}}},
        {"grpc": {"stream": "talk", "message": {"id": "bye"}}},
        # Until the server's end has come, a message can still be sent.
        {"repeat": {"times": 100, "every": "200ms"}, "grpc": {"stream": "talk", "messages": [{}]}},
    ]
    result = run_steps(steps, World(base_urls={"orders": f"http://{shop[0]}"}))
    assert "the server has ended the stream (OK): no message can be sent" in result.message


def test_a_status_that_was_there_before_the_message_is_an_answer_too(
    shop: tuple[str, Shop],
) -> None:
    steps = [
        {"grpc": {**CHAT, "messages": [{"id": "a"}, {"id": "nonsense"}], "receive": {}}},
        # By then the status has come; that it may not have makes no difference.
        {"repeat": {"times": 6, "every": "50ms"}, "set": {"now_and_then": "1"}},
        {
            "grpc": {"stream": "talk", "message": {"id": "b"}, "receive": {}},
            "expect": ["response.code == 'INVALID_ARGUMENT'", "response.messages == []"],
        },
    ]
    result = run_steps(steps, World(base_urls={"orders": f"http://{shop[0]}"}))
    assert result.outcome == "passed", result.details


def test_a_server_that_stays_silent_is_told(shop: tuple[str, Shop]) -> None:
    quiet = {"message": {"id": "quiet"}, "receive": {}, "timeout": "300ms"}
    result = run(shop[0], (CHAT, []), (quiet, []))
    assert "0 messages came in time from orders:50051, and not 1" in result.message
    waits = {"receive": {"until": "response.message.id == 'X'"}, "timeout": "4s"}
    result = run(shop[0], ({**CHAT, "message": {"id": "a"}}, []), (waits, []))
    assert "1 message came in time from orders:50051, and not response.mes" in result.message
    silence = {"message": {"id": "quiet"}, "receive": {"for": "300ms"}}
    result = run(shop[0], (CHAT, []), (silence, ["response.messages == []"]))
    assert result.outcome == "passed", result.message
    step = {"grpc": {"stream": "talk", "receive": {"for": "20s"}}, "eventually": {"within": "1s"}}
    steps = [{"grpc": {**CHAT, "message": {"id": "quiet"}}}, step]
    result = run_steps(steps, World(base_urls={"orders": f"http://{shop[0]}"}))
    assert "it was watched for " in result.message
    assert result.message.endswith(" s of 20 s")


def test_a_stream_that_ends_before_is_told(shop: tuple[str, Shop]) -> None:
    bye = {"messages": [{"id": "a"}, {"id": "bye"}], "receive": {"count": 2}}
    result = run(shop[0], (CHAT, []), (bye, []))
    assert "the stream ended after 1 message came, before 2" in result.message


def test_a_server_that_dies_is_told_by_the_step_that_waits() -> None:
    with a_mortal_shop() as (where, process):

        class Dies(FaultsByName):
            def start(self, name: str) -> None:
                threading.Timer(1.0, process.kill).start()

        steps = [
            {"grpc": {**CHAT, "message": {"id": "a"}, "receive": {}}},
            {"fault": {"start": "server-dies"}},
            {"grpc": {"stream": "talk", "receive": {}}},
        ]
        world = World(base_urls={"orders": f"http://{where}"}, faults=Dies())
        message = run_steps(steps, world).message
    assert "step 3 of 3 (grpc talk): the connection broke: " in message


def test_a_server_that_is_down_is_told() -> None:
    opened = {**CHAT, "protos": FILES, "message": {"id": "a"}, "receive": {}}
    for steps in ([(CHAT, [])], [(opened, [])]):
        message = run("127.0.0.1:1", *steps).message
        assert message.endswith("connection refused: nothing listens on 127.0.0.1:1")


def test_wrong_credentials_are_an_answer(types: DescriptorPool) -> None:
    with a_shop(types, token="good-token") as (where, _):
        wrong = {**CHAT, "bearer": "bad-token", "message": {"id": "a"}, "receive": {}}
        right = {**CHAT, "bearer": "good-token", "message": {"id": "a"}, "receive": {}}
        result = run(
            where,
            (wrong, ["response.code == 'UNAUTHENTICATED'"]),
            (right, ["response.message.id == 'A'"]),
        )
    assert result.outcome == "passed", result.details
    assert "good-token" not in str(result)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([CHAT, {"message": {"idd": "a"}}], "messages[0] is no shop.Id"),
        (
            [{**CHAT, "method": "shop.Orders/Watch"}, {"message": {"id": "a"}}],
            "takes one message, which it has had",
        ),
        ([{**CHAT, "method": "shop.Orders/Wach"}], "has no method 'Wach'"),
        ([CHAT, {"receive": {"until": "response.nope == 1"}, "message": {"id": "a"}}], "nope"),
    ],
)
def test_what_does_not_fit_is_told(
    shop: tuple[str, Shop], steps: list[dict[str, Any]], told: str
) -> None:
    assert told in run(shop[0], *((each, []) for each in steps)).message


def test_a_stream_that_is_open_has_not_failed_during_a_fault(shop: tuple[str, Shop]) -> None:
    faults = FaultsByName(slow=["Active"])
    world = World(base_urls={"orders": f"http://{shop[0]}"}, faults=faults)
    during = {"expectFailure": {"during": "slow"}}
    message = run_steps([{"grpc": CHAT, **during}], world).message
    assert "did not fail as expected during fault slow: expected response.code != ''" in message
    nonsense = {"stream": "talk", "message": {"id": "nonsense"}, "receive": {}}
    result = run_steps([{"grpc": CHAT}, {"grpc": nonsense, **during}], world)
    assert result.outcome == "passed", result.message


def test_the_server_hears_that_a_stream_is_left(shop: tuple[str, Shop]) -> None:
    result = run(shop[0], (CHAT, []), ({"cancel": True}, ["response.code == 'CANCELLED'"]))
    assert result.outcome == "passed", result.message
    result = run(shop[0], (CHAT, []), ({"cancel": True}, []), ({"end": True}, []))
    assert "no stream named 'talk' is open" in result.message


def test_a_flood_that_nobody_asks_for_is_held_back(shop: tuple[str, Shop]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = run(
        shop[0],
        ({**CHAT, "message": {"id": "flood"}, "receive": {}}, ["response.message.id == 'FLOOD'"]),
        ({"receive": {"for": "1s", "until": "size(response.messages) == 20"}}, []),
        ({"receive": {"count": 1}}, ["size(response.message.id) == 100000"]),
    )
    assert result.outcome == "passed", result.message
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # KiB


def test_no_thread_is_left_behind(shop: tuple[str, Shop]) -> None:
    run(shop[0], (CHAT, []), ({"message": {"id": "a"}, "receive": {}}, []))
    before = threading.active_count()
    for _ in range(5):
        result = run(shop[0], ({**CHAT, "message": {"id": "a"}, "receive": {}}, []))
        assert result.outcome == "passed", result.message
    for thread in threading.enumerate():
        if thread.name.endswith("(_read)"):
            thread.join(60)
            assert not thread.is_alive()
    assert threading.active_count() <= before + 8  # the server's own pool
