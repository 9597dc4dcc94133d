"""The report fits into its ConfigMap, whatever a run has written."""

from __future__ import annotations

import base64
import gzip
import json
import random

from seatrial.api.names import MAX_REPORT_BYTES, REPORT_CONFIGMAP
from seatrial.api.report import LogDoc
from seatrial_runner.conductor.collecting import bounded_parts, collect
from seatrial_runner.conductor.keepsakes import Keepsakes
from seatrial_runner.conductor.seen import PODS

from tests.support.conducted import a_run_doc, a_scenario, a_stage
from tests.support.pods import a_pod, an_end, running
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time

AT = "2026-11-20T12:00:00.000Z"


def noise(size: int, seed: int) -> str:
    """Text that compresses badly."""
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()


def a_log(pod: str, text: str) -> LogDoc:
    return {
        "pod": pod, "container": "main", "previous": False,
        "service": None, "test": None, "text": text,
    }  # fmt: skip


def parts_of(cases: int, texts: dict[str, str]) -> dict[str, bytes]:
    logs = {pod: a_log(pod, text) for pod, text in texts.items()}

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
    parts = parts_of(3, {f"pod-{n}": noise(400_000, n) for n in range(4)} | {"small": "hello"})
    assert size(parts) <= MAX_REPORT_BYTES
    listed: list[LogDoc] = json.loads(gzip.decompress(parts["logs.json.gz"]))
    logs = {log["pod"]: log["text"] for log in listed}
    assert logs["small"] == "hello"
    assert logs["pod-0"].startswith("[... the beginning is left out")
    assert logs["pod-0"].endswith(noise(400_000, 0)[-1000:])


def test_endless_failures_leave_the_counts_and_the_journals_end() -> None:
    parts = parts_of(400, {"pod": "hello"})
    assert size(parts) <= MAX_REPORT_BYTES
    report = json.loads(gzip.decompress(parts["report.json.gz"]))
    assert report["summary"]["tests"][0]["failed"] == 400
    assert report["journal"][-1]["case"] == "case-399"
    assert b"<testsuites" in gzip.decompress(parts["junit.xml.gz"])


def test_a_log_says_whose_it_is() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        stage = await a_stage(namespace, a_run_doc())
        container = running(name="main", restarts=1, last=an_end(1))
        namespace.add("pods", a_pod("orders-db-0", service="orders-db", containers=[container]))
        suite = a_pod("test-suite-0-x", test="suite", containers=[running(name="test")])
        namespace.add("pods", suite)
        texts = {"orders-db-0": "b", "orders-db-0/previous": "a", "test-suite-0-x": "c"}
        namespace.logs.update(texts)
        await collect(stage, Keepsakes(stage))
        return namespace

    namespace = in_virtual_time(course())
    binary = namespace.objects["configmaps", REPORT_CONFIGMAP]["binaryData"]
    logs = json.loads(gzip.decompress(base64.b64decode(binary["logs.json.gz"])))
    db = {"pod": "orders-db-0", "container": "main", "service": "orders-db", "test": None}
    of_suite = {"pod": "test-suite-0-x", "container": "test", "service": None, "test": "suite"}
    assert logs == [
        {**db, "previous": False, "text": "b"},
        {**db, "previous": True, "text": "a"},
        {**of_suite, "previous": False, "text": "c"},
    ]


def test_a_killed_pod_and_its_successor_of_the_same_name_have_a_log_each() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        stage = await a_stage(namespace, a_run_doc())
        keepsakes = Keepsakes(stage)
        # NB: UIDs are drawn, so their order says nothing.
        for uid, second, text in (("uid-2", 0, "before"), ("uid-1", 5, "after")):
            made = {"uid": uid, "creationTimestamp": f"2026-11-20T12:00:0{second}Z"}
            containers = [running(name="main")]
            pod = a_pod("db-0", service="db", containers=containers, **made)
            namespace.add("pods", pod)
            stage.seen.replace(PODS, [pod])
            namespace.logs["db-0"] = text
            await keepsakes.save_logs("db-0")
        namespace.logs["db-0"] = "after, to the end"
        await collect(stage, keepsakes)
        return namespace

    namespace = in_virtual_time(course())
    binary = namespace.objects["configmaps", REPORT_CONFIGMAP]["binaryData"]
    logs = json.loads(gzip.decompress(base64.b64decode(binary["logs.json.gz"])))
    assert [(each["pod"], each["text"]) for each in logs] == [
        ("db-0", "before"),
        ("db-0", "after, to the end"),
    ]
