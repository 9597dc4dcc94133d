"""Builders with good defaults, so that a test shows only what matters to it."""

from __future__ import annotations

from typing import Any

from seatrial.api import names
from seatrial.api.families import KINDS
from seatrial.api.journal import CaseDoc, FaultState, ProbeState, SummaryDoc, TestState
from seatrial.api.status import UNSEEN

UID = "0a1b2c3d-0000-4000-8000-000000000001"


def at(seconds: float) -> str:
    """Write a moment so many seconds after the gate has opened, as the journal does."""
    minutes, rest = divmod(seconds, 60)
    return f"2026-11-20T12:{int(minutes):02d}:{rest:06.3f}Z"


# What a user writes ------------------------------------------------------------------------------


def a_run(
    name: str = "checkout",
    *,
    namespace: str = "shop",
    uid: str = UID,
    generation: int = 1,
    created: str = "2026-11-20T11:59:00Z",
    deleted: str | None = None,
    phase: str | None = None,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Make a run as the API server returns it: one service, one scenario; ``spec`` replaces."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "generation": generation,
        "creationTimestamp": created,
    }
    if deleted:
        metadata["deletionTimestamp"] = deleted
    run: dict[str, Any] = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": metadata,
        "spec": {"services": [a_service()], "tests": [a_test()], **spec},
    }
    if phase or status:
        run["status"] = {**(status or {}), **({"phase": phase} if phase else {})}
    else:
        run["status"] = {"observedGeneration": UNSEEN}
    return run


def a_service(name: str = "orders", **fields: Any) -> dict[str, Any]:
    """Make a service of the short form with one HTTP port; ``manifests=`` replaces the image."""
    if "manifests" in fields:
        return {"name": name, **fields}
    short = {"image": f"registry.example/{name}:1.0.0", "ports": [{"name": "http", "port": 8080}]}
    return {"name": name, **short, **fields}


def a_step(**fields: Any) -> dict[str, Any]:
    """Make a step that GETs orders and expects 200."""
    action = {"http": {"get": "http://orders:8080/health"}, "expect": ["response.status == 200"]}
    return {**action, **fields}


def a_test(name: str = "orders-answer", **fields: Any) -> dict[str, Any]:
    """Make a scenario of one step; ``pytest=`` or ``container=`` replaces it."""
    if "pytest" in fields or "container" in fields:
        return {"name": name, **fields}
    return {"name": name, "scenario": [a_step()], **fields}


def a_fault(name: str = "lose-an-orders-pod", **fields: Any) -> dict[str, Any]:
    """Make a fault that kills a pod of orders when the gate opens; another kind replaces it."""
    kill = {} if set(KINDS) & fields.keys() else {"kill": {}}
    return {"name": name, "target": {"service": "orders"}, **kill, **fields}


# What the conductor writes -----------------------------------------------------------------------


def a_summary(**fields: Any) -> SummaryDoc:
    """Make the summary of a run that has ended well: one test passed, no fault."""
    summary: SummaryDoc = {
        "version": 1,
        "sequence": 7,
        "starts": 1,
        "updatedAt": at(60),
        "services": [],
        "environmentFailure": None,
        "environmentLostAt": None,
        "gateOpenedAt": at(0),
        "summary": {"tests": 1, "passed": 1, "failed": 0, "flaky": 0, "skipped": 0},
        "tests": [a_test_state()],
        "faults": [],
        "finished": {"at": at(60), "reason": "Completed", "message": ""},
        "lostEvidence": [],
        "reportReady": True,
    }
    return {**summary, **fields}  # type: ignore[typeddict-item]  # tests name the fields


def a_test_state(name: str = "orders-answer", **fields: Any) -> TestState:
    """Make the state of a test with one passed case; ``failures=`` makes it a failed one."""
    failures = fields.get("failures", [])
    state: TestState = {
        "name": name,
        "kind": "scenario",
        "outcome": "Failed" if failures else "Passed",
        "passed": 0 if failures else 1,
        "failed": len(failures),
        "skipped": 0,
        "flaky": 0,
        "attempts": 1,
        "lost": False,
        "startedAt": at(1),
        "finishedAt": at(50),
        "message": failures[0]["message"] if failures else "",
        "failures": failures,
    }
    return {**state, **fields}  # type: ignore[typeddict-item]  # tests name the fields


def a_failed_case(name: str = "orders-answer", **fields: Any) -> CaseDoc:
    """Make a case that failed 20 seconds after the gate has opened, while no fault was there."""
    case: CaseDoc = {
        "name": name,
        "outcome": "failed",
        "message": "response.status == 200 is false: 503",
        "startedAt": at(19),
        "finishedAt": at(20),
        "duringFaults": [],
    }
    return {**case, **fields}  # type: ignore[typeddict-item]  # tests name the fields


def a_probe_state(name: str = "orders-answer", **fields: Any) -> ProbeState:
    """Make the state of a probe whose sixty checks all held."""
    state: ProbeState = {
        "name": name,
        "mustHold": False,
        "checks": 60,
        "failures": 0,
        "outsideFaults": 0,
        "duringFaults": [],
        "longestOutageS": 0.0,
        "firstFailure": None,
        "lastCheck": at(59),
        "message": "",
    }
    return {**state, **fields}  # type: ignore[typeddict-item]  # tests name the fields


def a_failed_probe_state(name: str = "orders-answer", **fields: Any) -> ProbeState:
    """Make the state of a probe that failed twice, 20 seconds after the gate, outside of faults."""
    failed = {
        "failures": 2,
        "outsideFaults": 2,
        "longestOutageS": 1.8,
        "firstFailure": at(20),
        "message": "response.status < 400 is false: 503",
    }
    return a_probe_state(name, **{**failed, **fields})


def a_fault_state(name: str = "lose-an-orders-pod", **fields: Any) -> FaultState:
    """Make the state of a fault that is proven: hit 3 times, replaced, recovered."""
    state: FaultState = {
        "name": name,
        "kind": "kill",
        "state": "Recovered",
        "times": 1,
        "seed": 7,
        "targets": [{"kind": "Pod", "name": "orders-1", "uid": "u1", "replacedBy": "u2"}],
        "requested": at(10),
        "applied": at(10.1),
        "effective": at(10.1),
        "firstHit": at(10.2),
        "hits": 3,
        "exposedTests": ["orders-answer"],
        "reverted": at(12),
        "revertedBy": "controller",
        "recovered": at(14),
        "message": "",
    }
    return {**state, **fields}  # type: ignore[typeddict-item]  # tests name the fields


def an_open_fault(name: str = "away", *, until: str, **fields: Any) -> FaultState:
    """Make the state of an outage of Deployment orders that is on, and has to be over by then."""
    changed = {"kind": "Deployment", "name": "orders", "uid": "", "replicas": 1}
    given = {
        "kind": "outage",
        "state": "Active",
        "targets": [{"kind": "Deployment", "name": "orders", "uid": "u1", "replacedBy": None}],
        "reverted": None,
        "revertedBy": None,
        "recovered": None,
        "toUndo": {"until": until, "mark": "1", "objects": [changed]},
    }
    return a_fault_state(name, **{**given, **fields})
