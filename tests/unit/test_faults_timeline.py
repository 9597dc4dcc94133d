"""When a fault begins, and what becomes of one whose moment never came."""

from __future__ import annotations

from typing import Any

import pytest
from seatrial_runner.conductor.faults.timeline import (
    Moment,
    Trigger,
    lasts_s,
    moment,
    never_came,
    recovery_within_s,
)


def a_fault(**when: Any) -> dict[str, Any]:
    return {"name": "f", "when": when}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, Moment(Trigger.GATE, "", 0.0)),
        ({"after": "20s"}, Moment(Trigger.GATE, "", 20.0)),
        ({"test": "paid"}, Moment(Trigger.TEST, "paid", 0.0)),
        ({"test": "paid", "after": "500ms"}, Moment(Trigger.TEST, "paid", 0.5)),
        ({"manual": {}}, Moment(Trigger.MANUAL, "", 0.0)),
    ],
)
def test_when_is_read(when: dict[str, Any], expected: Moment) -> None:
    assert moment(a_fault(**when)) == expected


def test_without_when_a_fault_begins_with_the_gate() -> None:
    assert moment({"name": "f"}) == Moment(Trigger.GATE, "", 0.0)


@pytest.mark.parametrize(
    ("when", "outcome", "words"),
    [
        ({"after": "20s"}, "NotInjected", ["tests ended after 3.2s", "(20s)", "when.after"]),
        ({"test": "paid"}, "Skipped", ["test paid did not run"]),
        ({"test": "paid", "after": "9s"}, "NotInjected", ["test paid ended after 3.2s", "(9s)"]),
        ({"manual": {}}, "Skipped", ["no test started it"]),
    ],
)
def test_a_fault_that_never_came_says_why_and_what_to_change(
    when: dict[str, Any], outcome: str, words: list[str]
) -> None:
    state, message = never_came(a_fault(**when), ran_s=3.2)
    assert state == outcome
    assert [word for word in words if word not in message] == []


def test_spans_are_read_with_their_defaults() -> None:
    assert lasts_s({"name": "f"}) is None
    assert lasts_s({"name": "f", "for": "1m30s"}) == 90.0
    assert recovery_within_s({"name": "f"}) == 60.0
    assert recovery_within_s({"name": "f", "recovery": {"within": "5s"}}) == 5.0
