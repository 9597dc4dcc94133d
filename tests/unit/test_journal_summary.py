"""The summary never passes its bound, and never loses a count to it."""

from __future__ import annotations

import json
from typing import Any

from seatrial.api.journal import SummaryDoc
from seatrial_runner.journal import bounded_json

from tests.support.builders import a_summary, a_test_state

CASE: Any = {
    "name": "n" * 256,
    "outcome": "failed",
    "message": "m" * 1024,
    "startedAt": "2026-11-20T12:00:00.000Z",
    "finishedAt": "2026-11-20T12:00:01.000Z",
    "duringFaults": ["f" * 50] * 64,
}


def largest() -> SummaryDoc:
    """As much as a run's bounds allow: 64 tests with 20 failures each, 64 faults, 32 services."""
    summary = a_summary()
    summary["tests"] = [
        a_test_state(f"test-{n}", failed=500 + n, message="m" * 1024) for n in range(64)
    ]
    for test in summary["tests"]:
        test["failures"] = [CASE] * 20
    target: Any = {"kind": "Pod", "name": "p" * 60, "uid": "u" * 36, "replacedBy": "r" * 36}
    summary["faults"] = [
        {
            "name": f"fault-{n}",
            "state": "NotRecovered",
            "targets": [target] * 20,
            "requested": CASE["startedAt"],
            "applied": CASE["startedAt"],
            "firstHit": None,
            "hits": 12345 + n,
            "exposedTests": ["t" * 50] * 64,
            "reverted": None,
            "revertedBy": None,
            "recovered": None,
            "message": "m" * 1024,
        }
        for n in range(64)
    ]
    summary["lostEvidence"] = ["e" * 500] * 50
    return summary


def test_the_largest_summary_fits() -> None:
    assert len(bounded_json(largest()).encode()) <= 64 * 1024


def test_that_a_container_test_met_a_fault_survives_the_cutting() -> None:
    summary = largest()
    summary["tests"][60]["kind"] = "container"
    names = [test["name"] for test in summary["tests"]]
    summary["faults"][0].update(kind="kill", exposedTests=names, hits=0)
    cut = json.loads(bounded_json(summary))
    assert len(cut["faults"][0]["exposedTests"]) < len(names)
    assert names[60] in cut["faults"][0]["exposedTests"]


def test_the_counts_survive_the_cutting() -> None:
    cut = json.loads(bounded_json(largest()))
    assert [test["failed"] for test in cut["tests"]] == [500 + n for n in range(64)]
    assert [fault["hits"] for fault in cut["faults"]] == [12345 + n for n in range(64)]
    assert [fault["state"] for fault in cut["faults"]] == ["NotRecovered"] * 64


def test_a_small_summary_is_written_as_it_is() -> None:
    assert json.loads(bounded_json(a_summary())) == a_summary()
