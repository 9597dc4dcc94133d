"""Logs lose what looks like a credential, and share out the room there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.conductor.collecting import shared_out
from seatrial_runner.conductor.logs import redacted
from seatrial_runner.conductor.passwords import masked


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic ***"),
        ('{"password": "hunter2", "user": "bob"}', '{"password": "***", "user": "bob"}'),
        ("DB_PASSWORD=hunter2 starting", "DB_PASSWORD=*** starting"),
        ("api_key=abc&page=2", "api_key=***&page=2"),
        ("postgres://shop:s3cret@db:5432/shop", "postgres://shop:***@db:5432/shop"),
        ("access-key: AKIA123", "access-key: ***"),
        ("got bearer eyJhbGciOi.J9 from", "got bearer *** from"),
        ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "*** private key ***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB", "*** private key ***"),
    ],
)
def test_what_looks_like_a_credential_is_left_out(line: str, expected: str) -> None:
    assert redacted(line) == expected


@pytest.mark.parametrize(
    "line", ["GET /orders 200", "the tokenizer is ready", "passwords are checked", "http://a:80/b"]
)
def test_other_text_stays(line: str) -> None:
    assert redacted(line) == line


MARK = "[... the beginning is left out: the report is bounded ...]\n"
logs = st.dictionaries(st.text("abc", min_size=1), st.text(max_size=300), max_size=8)


@given(logs, st.integers(0, 1000))
def test_logs_take_no_more_room_than_there_is(texts: dict[str, str], budget: int) -> None:
    cut = shared_out(texts, budget)
    assert sum(len(text.removeprefix(MARK)) for text in cut.values()) <= budget
    assert cut.keys() == texts.keys()


def test_a_short_log_stays_whole_and_a_long_one_keeps_its_end() -> None:
    cut = shared_out({"short": "ab", "long": "0123456789" * 10}, 12)
    assert cut["short"] == "ab"
    assert cut["long"].startswith("[...")
    assert cut["long"].endswith("0123456789")


CONNECTIONS = {
    "SEATRIAL_CONNECTIONS": '{"db": "postgresql://app:p%40ss1234@db:5432/app",'
    ' "cache": "redis://default:abcdef@cache:6379/0", "short": "nats://a:b@n:4222"}'
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("connected with p%40ss1234", "connected with ***"),
        ("AUTH abcdef, then p@ss1234", "AUTH ***, then ***"),
        ("a banana", "a banana"),  # a password of one letter is none that could be told
    ],
)
def test_the_passwords_of_presets_are_masked_whatever_shape_they_stand_in(text, expected):
    assert masked(text, CONNECTIONS) == expected
    assert masked(text, {}) == text


def test_secrets_of_the_run_are_masked_whatever_shape_they_stand_in() -> None:
    environ = {
        **CONNECTIONS,
        "SEATRIAL_SECRET_api": "zebra-42",
        "SEATRIAL_SECRET_longer": "zebra-42-stripes\n",
        "SEATRIAL_SECRET_short": "abc",
        "SEATRIAL_ENV_level": "debug",
    }
    text = "zebra-42, zebra-42-stripes, abcdef, abc at debug"
    assert masked(text, environ) == "***, ***, ***, abc at debug"


def test_secrets_of_the_run_are_masked_in_logs_and_events(monkeypatch) -> None:
    monkeypatch.setenv("SEATRIAL_SECRET_api", "zebra-42")
    assert redacted("Back-off of zebra-42") == "Back-off of ***"
