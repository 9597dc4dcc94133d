"""A secret that stands where a long text is cut is not printed in part."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial.api.report import messages_text
from seatrial_runner.scenario.brokers.interface import Arrived
from seatrial_runner.scenario.cluster.command import _so_far
from seatrial_runner.scenario.explain import judge
from seatrial_runner.scenario.kinds import kubernetes, mongo, redis, sql
from seatrial_runner.scenario.messages import recording
from seatrial_runner.scenario.messages.feed import Feed
from seatrial_runner.scenario.messages.tape import Tape
from seatrial_runner.scenario.redaction import MASK, Redactor, cut, cut_front
from seatrial_runner.scenario.request import Request
from seatrial_runner.scenario.transcript import bounded, request_text, unmet_text

from tests.support.loopback import Answer, Loopback
from tests.support.scenarios import ORDERS, a_world, run_steps

# Of letters that no other text has, none of them twice.
SECRET = "ΔΘΛΞΠΣΦΨΩ"
PARTS = [SECRET[at : at + 2] for at in range(len(SECRET) - 1)]


def told(text: str) -> str:
    redactor = Redactor([SECRET])
    return redactor.mask(text)


def is_kept(text: str) -> bool:
    return not any(part in text for part in PARTS)


@pytest.mark.parametrize("shorten", [cut, cut_front])
def test_wherever_it_is_cut_no_part_is_left(shorten: Callable[[str, int], str]) -> None:
    text = f"before {SECRET} after"
    for limit in range(len(text) + 1):
        shown = told(shorten(text, limit))
        assert is_kept(shown), (limit, shown)


def test_what_is_no_secret_stays_at_a_cut() -> None:
    assert told(cut("before and after", 10)) == "before and…"
    assert told(f"{SECRET} … Ωmega") == f"{MASK} … Ωmega"
    # One letter tells nothing.
    assert told("Δ…Ω") == "Δ…Ω"


@given(st.text("ab…\n", max_size=30), st.text("ab", min_size=4, max_size=8), st.integers(0, 30))
def test_masking_a_cut_text_shows_no_more_than_masking_it_before(
    text: str, secret: str, limit: int
) -> None:
    shown = Redactor([secret]).mask(cut(text + secret + text, limit))
    assert secret not in shown
    first, mark, _ = shown.rpartition("…")
    if mark and len(text) < limit < len(text) + len(secret):
        left = limit - len(text)
        assert left < 2 or not first.endswith(text + secret[:left])


def test_a_secret_that_is_learned_after_the_cut_is_not_shown_either() -> None:
    redactor = Redactor()
    shown = cut(f"token {SECRET}", 10)
    redactor.learn(SECRET)
    assert redactor.mask(shown) == "token …"


def test_the_end_of_a_secret_is_kept_where_the_middle_is_left_out() -> None:
    for before in range(120, 200):
        assert is_kept(told(bounded("x" * before + SECRET * 30 + "y" * before, 300)))


def kubernetes_shows(text: str) -> str:
    return kubernetes.shown("found", {"metadata": {"name": "a"}, "data": {"a": text}})


def recording_shows(text: str) -> str:
    tape = Tape()
    feed = Feed("topic t", 0, tape)
    feed.deliver([Arrived("t", text.encode())])
    record = recording.recorded(tape, [feed], Redactor())
    return f"{record}\n{messages_text(record)}"


def request_shows(text: str) -> str:
    return request_text(Request("POST", "http://a/", {}, text.encode(), 1.0))


def expectation_shows(text: str) -> str:
    unmet = judge("x == 'y'", {"x": text})
    assert unmet is not None
    return unmet.message + unmet_text(unmet)


def command_shows(text: str) -> str:
    return _so_far({1: bytearray(text.encode()), 2: bytearray()})


SHOWS: dict[str, Callable[[str], str]] = {
    "sql": lambda text: sql._shown(text, {"a": text}, "db"),
    "mongo": lambda text: mongo._shown({"filter": text}, "db"),
    "redis": lambda text: redis._shown([["GET", text]], "db"),
    "kubernetes": kubernetes_shows,
    "message": recording_shows,
    "request": request_shows,
    "expectation": expectation_shows,
    "exec": command_shows,
}


@pytest.mark.parametrize("shows", SHOWS.values(), ids=SHOWS)
def test_no_kind_of_step_shows_a_part(shows: Callable[[str], str]) -> None:
    whole = 20_000
    cuts = {len(run) for run in re.findall("x{20,}", shows("x" * whole))}
    assert max(cuts) < whole
    for length in cuts:
        for left in range(len(SECRET)):
            before, after = "x" * (length - left), "x" * (whole - length)
            assert is_kept(told(shows(before + SECRET + after)))
            assert is_kept(told(shows(after + SECRET + before)))


def test_a_response_that_is_cut_shows_no_part(system: Loopback) -> None:
    system.respond = lambda asked: Answer(text="x" * 2996 + SECRET + "x" * 1000)
    http = {"post": f"{ORDERS}/", "json": {"token": SECRET}}
    steps = [{"http": http, "expect": ["response.status == 1"]}]
    result = run_steps(steps, a_world(system.url))
    assert "more characters)" in result.details
    assert is_kept(str(result.to_json()))


@pytest.fixture
def system() -> Iterator[Loopback]:
    with Loopback() as each:
        yield each
