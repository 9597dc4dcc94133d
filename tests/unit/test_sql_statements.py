"""Statements with values, transactions in disguise, and values as JSON: what needs no database."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.scenario.databases.rows import RowsError, read_rows, to_json
from seatrial_runner.scenario.databases.statements import (
    StatementError,
    control_word,
    has_several,
    prepare,
)
from seatrial_runner.scenario.databases.watchdog import Watchdog


@pytest.mark.parametrize(
    ("dialect", "query", "params", "sql", "values"),
    [
        ("postgresql", "select :a", {"a": 1}, "select %(a)s", {"a": 1}),
        ("sqlite", "select :a", {"a": 1}, "select :a", {"a": 1}),
        ("mysql", "select :a, :a", {"a": 1}, "select %(a)s, %(a)s", {"a": 1}),
        ("postgresql", "select 10 % 3", None, "select 10 % 3", None),
        ("postgresql", "select 10 % :a", {"a": 3}, "select 10 %% %(a)s", {"a": 3}),
        ("sqlite", "select 10 % :a", {"a": 3}, "select 10 % :a", {"a": 3}),
        ("postgresql", "select ':a', :b::text", {"b": 1}, "select ':a', %(b)s::text", {"b": 1}),
        ("postgresql", "select $$:a$$, $t$ :b $t$", None, "select $$:a$$, $t$ :b $t$", None),
        ("postgresql", "select E'\\':a', :b", {"b": 1}, "select E'\\':a', %(b)s", {"b": 1}),
        ("postgresql", "select '\\', :b, ''", {"b": 1}, "select '\\', %(b)s, ''", {"b": 1}),
        ("mysql", "select '\\':a', :b", {"b": 1}, "select '\\':a', %(b)s", {"b": 1}),
        ("mysql", "select `:a` -- :c\n, :b", {"b": 1}, "select `:a` -- :c\n, %(b)s", {"b": 1}),
        ("sqlite", 'select ":a" /* :c */, :b', {"b": 1}, 'select ":a" /* :c */, :b', {"b": 1}),
        ("postgresql", "select a[1:2], '12:30'", None, "select a[1:2], '12:30'", None),
        ("sqlite", "x in :a", {"a": [1, 2]}, "x in (:a_0, :a_1)", {"a_0": 1, "a_1": 2}),
        ("postgresql", "x IN\n:a", {"a": [1]}, "x IN\n(%(a_0)s)", {"a_0": 1}),
        ("postgresql", "x = any(:a)", {"a": [1]}, "x = any(%(a)s)", {"a": [1]}),
        ("mysql", "select :a", {"a": {"b": 1}}, "select %(a)s", {"a": '{"b": 1}'}),
        ("sqlite", "select :a", {"a": [1]}, "select :a", {"a": "[1]"}),
        ("sqlite", "i (:a)", [{"a": 1}, {"a": 2}], "i (:a)", [{"a": 1}, {"a": 2}]),
    ],
)
def test_values_are_put_beside_the_statement(dialect, query, params, sql, values):
    prepared = prepare(query, params, dialect)
    assert (prepared.sql, prepared.values) == (sql, values)


@given(st.text())
def test_no_text_is_ever_part_of_the_statement(value):
    assert prepare("select :a", {"a": value}, "postgresql").sql == "select %(a)s"


@pytest.mark.parametrize(
    ("query", "params", "message"),
    [
        ("select :a", None, "the query has :a, and params has no 'a'"),
        ("select :a", {"a": 1, "b": 2}, "params.b is not in the query, which has :a"),
        ("x in :a", {"a": [[1]]}, r"params.a\[0\] is no single value"),
        ("x in :a", [{"a": [1]}], "params.a: a list of params takes no list after in"),
        ("i (:a)", [{"a": 1}, {}], "the query has :a, and params has no 'a'"),
    ],
)
def test_values_that_do_not_fit_are_refused(query, params, message):
    with pytest.raises(StatementError, match=message):
        prepare(query, params, "sqlite")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("BEGIN", "begin"),
        (" -- note\n start transaction read only", "start transaction"),
        ("rollback", "rollback"),
        ("rollback to savepoint a", ""),
        ("ROLLBACK WORK TO a", ""),
        ("savepoint a", ""),
        ("select 'begin'", ""),
        ("beginnings", ""),
    ],
)
def test_a_transaction_in_disguise_is_found(query, word):
    assert control_word(query) == word


@pytest.mark.parametrize(
    ("query", "several"),
    [
        ("select 1;", False),
        ("select 1; -- done", False),
        ("select ';'; ", False),
        ("select $$;$$", False),
        ("select 1; select 2", True),
    ],
)
def test_several_statements_are_found(query, several):
    assert has_several(query, "postgresql") is several


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("12.50"), 12.5),
        (Decimal("7.00"), 7),
        (Decimal("12345678901234567.89"), "12345678901234567.89"),
        (Decimal("NaN"), "NaN"),
        (float("inf"), "inf"),
        (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "2026-01-31T10:00:00Z"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00Z"),
        (datetime(2026, 1, 31, 12), "2026-01-31T12:00:00"),  # noqa: DTZ001 - as in the database
        (date(2026, 1, 31), "2026-01-31"),
        (time(12, 30), "12:30:00"),
        (timedelta(seconds=90), "90s"),
        (b"\x00\xff", "AP8="),
        (memoryview(b"a"), "YQ=="),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([Decimal("1.5"), None], [1.5, None]),
        ({"a": b"a"}, {"a": "YQ=="}),
    ],
)
def test_values_become_json(value, expected):
    assert to_json(value) == expected
    json.dumps(to_json(value))


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_is_never_rounded(value):
    assert Decimal(repr(found) if isinstance(found := to_json(value), float) else found) == value


def test_rows_are_bounded():
    endless = iter(lambda: (1,), None)
    with pytest.raises(RowsError, match="more than 5 rows: limit the query, or raise maxRows"):
        read_rows(["a"], endless, 5)
    with pytest.raises(RowsError, match="the first 5 rows are more than 4 MiB"):
        read_rows(["a"], [("x" * 1_000_000,)] * 9, 100)
    with pytest.raises(RowsError, match="two columns are named 'a': name one of them with as"):
        read_rows(["a", "b", "a"], [], 5)


def test_what_takes_too_long_is_ended_and_what_is_done_is_not():
    watchdog, ended = Watchdog(), threading.Event()
    with watchdog.limit(3600, ended.set) as done:
        pass
    with watchdog.limit(0, ended.set) as late:
        assert ended.wait(30)
    assert (done.over, late.over) == (False, True)
    watchdog.close()
