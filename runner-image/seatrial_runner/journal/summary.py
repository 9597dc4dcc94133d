"""``summary.json``: how it begins, and how it stays within its bound."""

from __future__ import annotations

import copy
import json
from typing import Any

from seatrial.api.families import kind_of
from seatrial.api.journal import ProbeState, RunDoc, SummaryDoc, TestState

MAX_BYTES = 64 * 1024
# Tried in this order until the text fits: failures kept for each test, characters of a message.
_CUTS = ((20, 1024), (10, 512), (5, 256), (2, 160), (1, 80), (0, 40))


def new_summary(run: RunDoc, *, at: str) -> SummaryDoc:
    """Give the summary of a run in which nothing has happened yet."""
    tests = [_new_test(test) for test in run["tests"]]
    summary: SummaryDoc = {
        "version": 1,
        "sequence": 0,
        "starts": 0,
        "updatedAt": at,
        "services": [
            {
                "name": service["name"],
                "state": "Pending",
                "readyReplicas": 0,
                "replicas": 0,
                "restarts": 0,
                "message": "",
            }
            for service in run["services"]
        ],
        "environmentFailure": None,
        "environmentLostAt": None,
        "gateOpenedAt": None,
        "summary": {"tests": 0, "passed": 0, "failed": 0, "flaky": 0, "skipped": 0},
        "tests": tests,
        "faults": [
            {
                "name": fault["name"],
                "kind": kind_of(fault),
                "state": "Pending",
                "times": 0,
                "seed": fault.get("seed"),
                "targets": [],
                "requested": None,
                "applied": None,
                "effective": None,
                "firstHit": None,
                "hits": 0,
                "exposedTests": [],
                "reverted": None,
                "revertedBy": None,
                "recovered": None,
                "message": "",
            }
            for fault in run["faults"]
        ],
        "finished": None,
        "lostEvidence": [],
        "reportReady": False,
    }
    if probes := run.get("probes"):
        summary["probes"] = [_new_probe(probe) for probe in probes]
    return summary


def _new_probe(probe: dict[str, Any]) -> ProbeState:
    return {
        "name": probe["name"],
        "mustHold": probe.get("duringFaults") == "MustHold",
        "checks": 0,
        "failures": 0,
        "outsideFaults": 0,
        "duringFaults": [],
        "longestOutageS": 0.0,
        "firstFailure": None,
        "lastCheck": None,
        "message": "",
    }


def _new_test(test: dict[str, Any]) -> TestState:
    return {
        "name": test["name"],
        "kind": "scenario"
        if "scenario" in test
        else ("pytest" if "pytest" in test else "container"),
        "outcome": "Pending",
        "passed": 0,
        "failed": 0,
        "skipped": 0,
        "flaky": 0,
        "attempts": 0,
        "lost": False,
        "startedAt": None,
        "finishedAt": None,
        "message": "",
        "failures": [],
    }


def bounded_json(summary: SummaryDoc, *, max_bytes: int = MAX_BYTES) -> str:
    """
    Write the summary in at most ``max_bytes``.

    What does not fit loses the later failures of each test and the ends of its messages; the counts
    stay exact, because the verdict hangs on them.
    """
    text = _dumps(summary)
    for failures, characters in _CUTS:
        if len(text) <= max_bytes:
            break
        text = _dumps(_trimmed(summary, failures, characters))
    return text


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _trimmed(summary: SummaryDoc, failures: int, characters: int) -> SummaryDoc:
    small = copy.deepcopy(summary)
    containers = {test["name"] for test in small["tests"] if test["kind"] == "container"}
    for test in small["tests"]:
        test["failures"] = test["failures"][:failures]
        for case in test["failures"]:
            case["name"] = _cut(case["name"], characters)
            case["message"] = _cut(case["message"], characters)
            case["duringFaults"] = case["duringFaults"][:failures]
        test["message"] = _cut(test["message"], characters)
        if names := test.get("flakyDuring"):
            test["flakyDuring"] = names[: max(failures, 1)]
    for fault in small["faults"]:
        fault["targets"] = fault["targets"][:failures]
        # The proof may hang on a container test: its requests are not seen.
        exposed = sorted(fault["exposedTests"], key=lambda test: test not in containers)
        fault["exposedTests"] = exposed[: max(failures, 1)]
        fault["message"] = _cut(fault["message"], characters)
    for probe in small.get("probes") or []:
        probe["message"] = _cut(probe["message"], characters)
        probe["duringFaults"] = probe["duringFaults"][: max(failures, 1)]
    for service in small["services"]:
        service["message"] = _cut(service["message"], characters)
    if (failure := small["environmentFailure"]) and "logs" in failure:
        failure["logs"] = failure["logs"][-2 * characters :]
    small["lostEvidence"] = [_cut(text, characters) for text in small["lostEvidence"][:10]]
    return small


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
