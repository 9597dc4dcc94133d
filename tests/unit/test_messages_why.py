"""Why a broker cannot be reached, in words."""

from __future__ import annotations

import errno

import pytest
from seatrial_runner.scenario.brokers.interface import because


def test_what_the_system_says_is_told() -> None:
    error = RuntimeError("something")
    error.__cause__ = OSError(errno.ECONNREFUSED, "x")
    assert because(error) == "connection refused"


def test_errors_that_stand_behind_one_another_come_to_an_end() -> None:
    """As aiormq's do, where the answer is none of AMQP."""
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__context__ = second, first
    assert because(first) == "first"
    first.__cause__ = first
    assert because(first) == "first"


@pytest.mark.parametrize("error", [RuntimeError(), RuntimeError("\n")])
def test_an_error_without_words_is_told_by_its_name(error: Exception) -> None:
    assert because(error) == "RuntimeError"
