"""The report fits into its ConfigMap, whatever a run has written."""

from __future__ import annotations

import base64
import gzip
import json
import random

from seatrial.api.names import MAX_REPORT_BYTES
from seatrial_runner.conductor.collecting import bounded_parts

from tests.support.conducted import a_run_doc, a_scenario, a_stage
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time

AT = "2026-11-20T12:00:00.000Z"


def noise(size: int, seed: int) -> str:
    """Text that compresses badly."""
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()


def parts_of(cases: int, logs: dict[str, str]) -> dict[str, bytes]:
    async def course() -> dict[str, bytes]:
        stage = await a_stage(RunNamespace(), a_run_doc(tests=[a_scenario("suite")]))
        for number in range(cases):
            case = {"id": f"case-{number}", "outcome": "failed", "startedAt": AT, "finishedAt": AT}
            stage.record("suite", {**case, "message": "no", "details": noise(3000, number)})
        return bounded_parts(stage, [], logs)

    return in_virtual_time(course())


def size(parts: dict[str, bytes]) -> int:
    return sum(len(base64.b64encode(part)) for part in parts.values())


def test_endless_logs_are_cut_to_the_room_there_is() -> None:
    parts = parts_of(3, {f"pod-{n}/main": noise(400_000, n) for n in range(4)} | {"small": "hello"})
    assert size(parts) <= MAX_REPORT_BYTES
    logs = json.loads(gzip.decompress(parts["logs.json.gz"]))
    assert logs["small"] == "hello"
    assert logs["pod-0/main"].startswith("[... the beginning is left out")
    assert logs["pod-0/main"].endswith(noise(400_000, 0)[-1000:])


def test_endless_failures_leave_the_counts_and_the_journals_end() -> None:
    parts = parts_of(400, {"pod/main": "hello"})
    assert size(parts) <= MAX_REPORT_BYTES
    report = json.loads(gzip.decompress(parts["report.json.gz"]))
    assert report["summary"]["tests"][0]["failed"] == 400
    assert report["journal"][-1]["case"] == "case-399"
    assert b"<testsuites" in gzip.decompress(parts["junit.xml.gz"])
