"""What a test pod or the system under test sends must not end the conductor, nor keep it busy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from seatrial_runner.clock import parse
from seatrial_runner.conductor.cases import (
    MAX_ALL_WORDS,
    MAX_CASES,
    Cases,
    TooManyCasesError,
    read_case,
)
from seatrial_runner.conductor.junit_files import MalformedError, read_junit
from seatrial_runner.conductor.logs import redacted
from seatrial_runner.conductor.seen import Seen
from seatrial_runner.conductor.stage import Control, Stage
from seatrial_runner.httpserver import HttpServer, ProblemError, Request
from seatrial_runner.httpserver.room import MAX_HELD, Room
from seatrial_runner.journal import Entries, Journal, Stored, new_summary

ENDED = datetime(2026, 11, 20, 12, 5, tzinfo=UTC)
AT = "2026-11-20T12:00:00.000Z"


def ids(text: str) -> list[str]:
    return [case["id"] for case in read_junit("r.xml", text, ended=ENDED)]


@pytest.mark.parametrize("hidden", ["\x00", "\x1b[0m", "\x07", ""])
def test_no_control_character_hides_a_declaration_of_entities(hidden: str) -> None:
    declared = f'<!{hidden}DOCTYPE x [<!{hidden}ENTITY a "aaa">]>'
    text = f'{declared}<testsuite><testcase name="&a;"/></testsuite>'

    with pytest.raises(MalformedError, match="DOCTYPE"):
        ids(text)


@pytest.mark.parametrize("seconds", ["inf", "-inf", "nan", "1e300", "1e9", "-5", ""])
def test_a_time_that_is_none_counts_as_no_time(seconds: str) -> None:
    text = f'<testsuite><testcase name="a" time="{seconds}"/></testsuite>'

    (case,) = read_junit("r.xml", text, ended=ENDED)

    assert case["startedAt"] == case["finishedAt"]


@pytest.mark.parametrize(
    "text",
    [
        '<testsuite><testcase name="a" time="soon"/></testsuite>',
        "<testsuite>" * 3000 + "</testsuite>" * 3000,
    ],
    ids=["time", "nested"],
)
def test_a_file_that_breaks_its_reader_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^r\.xml: is no JUnit XML"):
        ids(text)


@pytest.mark.parametrize(
    "moment",
    ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"],
)
def test_a_moment_before_the_first_or_after_the_last_is_none(moment: str) -> None:
    with pytest.raises(ValueError, match="is no moment"):
        parse(moment)
    case = {"id": "a", "outcome": "failed", "startedAt": moment, "finishedAt": AT}
    with pytest.raises(ValueError, match=r"case\.startedAt must be a moment"):
        read_case(case)


def test_a_moment_of_a_case_is_kept_in_a_form_that_can_be_read_again() -> None:
    long = f"2026-11-20T12:00:00.{'1' * 19}+00:00"
    case = {"id": "a", "outcome": "failed", "startedAt": long, "finishedAt": AT}

    assert read_case(case)["startedAt"] == "2026-11-20T12:00:00.111Z"


@pytest.mark.parametrize(
    "line",
    [
        "authorization:" + " " * 2_000_000 + ",",
        "authorization='" + "\t" * 2_000_000 + ";",
        "bearer" + " " * 2_000_000,
        "password" + " " * 2_000_000,
        "password=" + " " * 2_000_000 + ",",
        "://" + ":" * 2_000_000,
        "-----BEGIN " + "A" * 2_000_000,
        "-----BEGIN PRIVATE KEY-----" * 50_000,
    ],
    ids=lambda line: line[:14],
)
def test_no_line_of_a_log_keeps_the_redaction_busy(line: str) -> None:
    # Quadratic, it would not end today.
    assert redacted(line) in (line, "*** private key ***")


# Results -----------------------------------------------------------------------------------------


class _Edge:
    async def read(self) -> Stored:
        return Stored({}, "1")

    async def write(self, data: dict[str, str], resource_version: str) -> str:
        return "1"


@pytest.fixture
def stage() -> Stage:
    run: Any = {"tests": [{"name": "t", "container": {}}], "services": [], "faults": []}
    journal = Journal(
        _Edge(),
        now=lambda: ENDED,
        monotonic=lambda: 0.0,
        summary=new_summary(run, at=AT),
        entries=Entries(),
        stored=Stored({}, "1"),
    )
    control = Control({"abort": False, "suspend": False})
    api: Any = None
    return Stage(run, api, Seen(), journal, control, lambda: ENDED, lambda: 0.0)


def a_case(name: str) -> dict[str, Any]:
    return read_case({"id": name, "outcome": "passed", "startedAt": AT, "finishedAt": AT})


def test_as_many_cases_as_a_test_may_have_are_counted_once(stage: Stage) -> None:
    counted = set()

    def come() -> Iterator[dict[str, Any]]:
        for number in range(MAX_CASES):
            counted.add(stage.journal.summary["summary"]["passed"])
            yield a_case(f"c{number}")

    new = stage.record_all("t", come())

    assert new == stage.journal.summary["summary"]["passed"] == MAX_CASES
    assert counted == {0}  # counted after each, it takes minutes


def test_of_too_many_cases_those_there_was_room_for_are_counted(stage: Stage) -> None:
    with pytest.raises(TooManyCasesError):
        stage.record_all("t", (a_case(f"c{i}") for i in range(MAX_CASES + 5)))

    assert stage.journal.summary["summary"]["passed"] == MAX_CASES


def test_a_case_that_is_told_again_and_again_is_given_up(stage: Stage) -> None:
    again = ({**a_case("c"), "attempt": number} for number in range(100_000))
    with pytest.raises(TooManyCasesError, match="a case may have 100 results"):
        stage.record_all("t", again)  # quadratic, all of them would take half an hour

    assert stage.journal.summary["summary"]["passed"] == 1


def test_what_is_long_in_many_cases_is_left_out() -> None:
    cases = Cases()
    properties = {f"{number}": "x" * 1024 for number in range(32)} | {"flaky": "true"}
    for number in range(1000):
        cases.add({**a_case(f"c{number}"), "message": "m" * 1024, "properties": properties})

    held = [case["message"] + "".join(case["properties"].values()) for case in cases.last()]
    assert sum(map(len, held)) < MAX_ALL_WORDS + 1000 * 256
    assert len(held[0]) > 32 * 1024
    assert all(case["properties"]["flaky"] == "true" for case in cases.last())


# HTTP --------------------------------------------------------------------------------------------


async def answer_to(server: HttpServer, sent: bytes) -> bytes:
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        return await asyncio.wait_for(reader.read(), timeout=30)
    finally:
        writer.close()
        await server.stop()


async def echo(request: Request) -> dict[str, Any]:
    return {"bytes": len(request.body)}


@pytest.mark.parametrize("length", [b"content-length: 8000000", b"transfer-encoding: chunked"])
async def test_no_body_is_read_of_whoever_has_no_token(length: bytes) -> None:
    server = HttpServer(echo, lambda authorization: authorization == "Bearer t")
    head = b"POST /v1/requests HTTP/1.1\r\nhost: x\r\n" + length + b"\r\n\r\n"

    # Of the body only the beginning is sent: the answer must come without the rest.
    answer = await answer_to(server, head + b"5\r\nhello\r\n")

    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_with_the_token_it_is_read() -> None:
    server = HttpServer(echo, lambda authorization: authorization == "Bearer t")
    head = b"POST / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\nconnection: close\r\n"

    answer = await answer_to(server, head + b"content-length: 5\r\n\r\nhello")

    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"bytes": 5}


def test_all_bodies_together_have_a_bound_and_room_is_given_back() -> None:
    room = Room()
    room.take(MAX_HELD)
    with pytest.raises(ProblemError) as caught:
        room.take(1)
    assert caught.value.status == 503
    room.give_back(MAX_HELD)
    room.take(1)
