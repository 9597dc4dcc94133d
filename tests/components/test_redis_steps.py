"""``redis`` against a real Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult

from tests.support.redis_server import PASSWORD, redis_server
from tests.support.scenarios import a_world, run_steps
from tests.support.talker import Talker

Run = Callable[..., InstanceResult]


@pytest.fixture
def run(redis_url: str) -> Run:
    world = a_world(connections={"cache": redis_url})

    def steps(*steps: dict[str, Any], **test: Any) -> InstanceResult:
        return run_steps(list(steps), world, **test)

    assert steps({"redis": redis("FLUSHALL")}).outcome == "passed"
    return steps


def redis(command: Any, **more: Any) -> dict[str, Any]:
    return {"service": "cache", "command": command, **more}


def passed(result: InstanceResult) -> None:
    assert result.outcome == "passed", f"{result.message}\n{result.details}"


def test_answers_have_the_types_of_the_protocol(run: Run) -> None:
    passed(
        run(
            {"redis": redis("SET order:1 paid EX 60"), "expect": ["result == 'OK'"]},
            {"redis": redis("GET order:1"), "expect": ["result == 'paid'"]},
            {"redis": redis("TTL order:1"), "expect": ["result > 50", "result <= 60"]},
            {"redis": redis("GET nothing"), "expect": ["result == null"]},
            {"redis": redis(["HSET", "h", "a", 1, "b", 2.5]), "expect": ["result == 2"]},
            {"redis": redis("HGETALL h"), "expect": ["result == {'a': '1', 'b': '2.5'}"]},
            {"redis": redis("SADD s b a"), "expect": ["result == 2"]},
            {"redis": redis("SMEMBERS s"), "expect": ["'a' in result", "size(result) == 2"]},
            {"redis": redis("ZADD z 1.5 one")},
            {"redis": redis("ZSCORE z one"), "expect": ["result == 1.5"]},
            {"redis": redis("SETRANGE bin 0 '\\x'")},
        )
    )


def test_a_value_is_one_word_whatever_is_in_it(run: Run) -> None:
    passed(
        run(
            {"set": {"evil": "'x EX 1\\r\\nFLUSHALL'", "n": "7"}},
            {"redis": redis("SET k {{ evil }}"), "expect": ["result == 'OK'"]},
            {"redis": redis("GET k"), "expect": ["result == evil"]},
            {"redis": redis('SET "a b:{{ n }}" "two words"')},
            {"redis": redis(["GET", "a b:{{ n }}"]), "expect": ["result == 'two words'"]},
        )
    )


def test_a_pipeline_gives_all_answers_and_a_transaction_all_or_nothing(run: Run) -> None:
    commands = ["INCR a", "INCR a", ["GET", "a"]]
    passed(
        run(
            {
                "redis": {"service": "cache", "pipeline": commands},
                "expect": ["result == [1,2,'2']"],
            },
            {
                "redis": {"service": "cache", "pipeline": commands, "transaction": True},
                "expect": ["result == [3, 4, '4']"],
            },
            {
                "redis": {
                    "service": "cache",
                    "pipeline": ["INCR a", "INCR"],
                    "transaction": True,
                },
                "expectError": ["error.name == 'syntaxError'", "error.details.index == 1"],
            },
            {"redis": redis("GET a"), "expect": ["result == '4'"]},
        )
    )


def test_a_transaction_sees_that_what_it_watched_was_changed(run: Run) -> None:
    change = {"service": "cache", "pipeline": ["SET stock 1"], "transaction": True}
    passed(
        run(
            {"redis": redis("WATCH stock", session="s")},
            {"redis": redis("SET stock 5")},
            {"redis": {**change, "session": "s"}, "expect": ["result == null"]},
            {"redis": redis("GET stock"), "expect": ["result == '5'"]},
            {"redis": {**change, "session": "s"}, "expect": ["result == ['OK']"]},
        )
    )


@pytest.mark.parametrize(
    ("command", "name", "code"),
    [
        ("LPUSH text 1", "wrongType", "WRONGTYPE"),
        ("NOSUCH 1", "unknownCommand", "ERR"),
        ("INCR text", "invalidValue", "ERR"),
        ("GET", "syntaxError", "ERR"),
    ],
)
def test_an_error_has_a_name_and_a_code(run: Run, command: str, name: str, code: str) -> None:
    text = {"redis": redis("SET text hello")}
    expected = [f"error.name == '{name}'", f"error.code == '{code}'", "elapsed > duration('0s')"]
    passed(run(text, {"redis": redis(command), "expectError": expected}))
    failed = run(text, {"redis": redis(command)})
    assert f"({name}, {code})" in failed.message
    assert f"Sent (cache):\n  {command}" in failed.details


def test_an_error_that_does_not_come_or_is_another_is_told(run: Run) -> None:
    expected = {"expectError": ["error.name == 'wrongType'"]}
    failed = run({"redis": redis("SET text hello"), **expected})
    assert failed.message.endswith("no error, where one was expected: error.name == 'wrongType'")
    failed = run({"redis": redis("SET text hello")}, {"redis": redis("INCR text"), **expected})
    assert 'error.name is "invalidValue"; the error is: cache: ' in failed.message


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"command": "GET 'a"}, "cache: GET 'a: no closing quotation"),
        ({"command": "SUBSCRIBE a"}, "SUBSCRIBE has no end: use a message step"),
        ({"command": "multi"}, "MULTI is of a connection: give the steps"),
    ],
)
def test_what_cannot_work_is_said_before_it_is_sent(
    run: Run, document: dict[str, Any], message: str
) -> None:
    assert message in run({"redis": {"service": "cache", **document}}).message


def test_an_expectation_that_does_not_hold_shows_the_answer(run: Run) -> None:
    failed = run({"redis": redis("GET nothing"), "expect": ["result == 'paid'"]})
    assert "result is null" in failed.message


def test_waiting_ends_in_time_and_the_connection_is_of_use_again(run: Run) -> None:
    result = run(
        {
            "redis": redis("BLPOP nothing 30", timeout="200ms"),
            "expectError": ["error.name == 'timeout'"],
        },
        {"redis": redis("PING"), "expect": ["result == 'PONG'"]},
    )
    passed(result)


def test_branches_have_connections_of_their_own(run: Run) -> None:
    passed(
        run(
            {
                "parallel": [
                    {
                        "steps": [
                            {
                                "redis": redis("BLPOP queue 60", timeout="60s"),
                                "expect": ["result[1] == 'x'"],
                            }
                        ]
                    },
                    {
                        "steps": [
                            {
                                "redis": redis("CLIENT LIST"),
                                "expect": ["result.contains('cmd=blpop')"],
                                "eventually": {"within": "30s"},
                            },
                            {"redis": redis("RPUSH queue x")},
                        ]
                    },
                ]
            }
        )
    )


@pytest.mark.parametrize("password", ["wr0ng-word", ""])
def test_wrong_credentials_are_said_without_the_password(redis_url: str, password: str) -> None:
    url = redis_url.replace(f":{PASSWORD}@", f":{password}@" if password else "")
    step = {"redis": {"url": url, "command": "GET a"}}
    failed = run_steps([step])
    assert "accessDenied" in failed.message
    assert "wr0ng-word" not in failed.message + failed.details
    passed(run_steps([{**step, "expectError": ["error.name == 'accessDenied'"]}]))


def test_a_store_that_is_away_is_said() -> None:
    failed = run_steps([{"redis": {"url": "redis://127.0.0.1:1/0", "command": "PING"}}])
    assert "redis://127.0.0.1:1/0: " in failed.message
    assert "(unavailable)" in failed.message


def test_what_is_no_store_is_said() -> None:
    with Talker(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        step = {"redis": {"url": f"redis://127.0.0.1:{port}", "command": "PING", "timeout": "10s"}}
        failed = run_steps([step])
    assert "(invalidData)" in failed.message


def test_a_store_that_was_restarted_between_two_steps_is_no_failure() -> None:
    with redis_server() as port:
        world = a_world(connections={"cache": f"redis://:{PASSWORD}@127.0.0.1:{port}"})
        kill = "CLIENT KILL TYPE normal SKIPME yes"
        result = run_steps(
            [
                {"redis": redis("PING", session="a")},
                {"redis": redis(kill)},
                {"redis": redis("PING", session="a"), "expect": ["result == 'PONG'"]},
            ],
            world,
        )
        passed(result)
