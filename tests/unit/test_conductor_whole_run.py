"""A whole run on a namespace in memory, from the first read to the report."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from typing import Any

import pytest
from seatrial.api.verdict import Verdict
from seatrial_runner.conductor.nofaults import NoFaults
from seatrial_runner.journal import Journal

from tests.support.conducted import (
    a_conductor,
    a_fault_doc,
    a_run_doc,
    a_scenario,
    a_service_doc,
    abort,
    order,
    verdict,
)
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time, loop

FAILS = {"expect": ["1 + 1 == 3"]}


def test_a_plain_run_is_told_to_the_operator_in_two_writes() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        loop().pace = 0.1  # what takes a second is written before its end, too
        order(namespace, a_run_doc())
        finished_after: list[int] = []

        def look(number: int, what: str) -> None:
            if namespace.summary()["finished"]:
                finished_after.append(number)

        namespace.after_write = look
        await a_conductor(namespace)
        assert finished_after[0] == 2
        return namespace

    namespace = in_virtual_time(course())
    summary = namespace.summary()
    assert summary["finished"] is not None
    assert summary["finished"]["reason"] == "Completed"
    assert summary["gateOpenedAt"] is not None
    assert summary["summary"] == {"tests": 1, "passed": 1, "failed": 0, "flaky": 0, "skipped": 0}
    assert summary["reportReady"]
    assert verdict(namespace) is Verdict.PASSED


def test_the_report_holds_verdict_journal_and_junit() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        order(namespace, a_run_doc(tests=[a_scenario("paid"), a_scenario("sent", FAILS)]))
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    binary = namespace.objects["configmaps", "seatrial-report"]["binaryData"]
    parts = {name: gzip.decompress(base64.b64decode(text)) for name, text in binary.items()}
    report = json.loads(parts["report.json.gz"])
    assert report["verdict"] == "Failed"
    assert report["summary"]["tests"][1]["outcome"] == "Failed"
    assert [entry["kind"] for entry in report["journal"]][-1] == "finished"
    assert b'<testsuite name="sent"' in parts["junit.xml.gz"]
    assert json.loads(parts["logs.json.gz"]) == []


def test_the_gate_waits_for_the_services() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace(start_s=3.0)
        order(namespace, a_run_doc(services=[a_service_doc()]))
        namespace.deployment("orders", replicas=2)
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    kinds = [entry["kind"] for entry in namespace.entries()]
    assert kinds.index("service.ready") < kinds.index("gate.opened") < kinds.index("test.started")
    assert namespace.summary()["gateOpenedAt"] == "2026-11-20T12:00:03.000Z"
    assert verdict(namespace) is Verdict.PASSED


def test_a_wave_is_reported_before_the_next_one_is_there() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        services = [a_service_doc("db"), a_service_doc("orders", wave=1)]
        order(namespace, a_run_doc(services=services))
        namespace.deployment("db")

        def operator(number: int, what: str) -> None:
            db = namespace.summary()["services"][0]
            if db["state"] == "Ready" and ("deployments", "orders") not in namespace.objects:
                namespace.deployment("orders")

        namespace.after_write = operator
        await a_conductor(namespace)
        return namespace

    assert verdict(in_virtual_time(course())) is Verdict.PASSED


def test_an_environment_that_cannot_be_had_skips_the_tests() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        order(namespace, a_run_doc(services=[a_service_doc()], provisioningTimeout=20.0))
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    summary = namespace.summary()
    assert summary["environmentFailure"] is not None
    assert summary["environmentFailure"]["reason"] == "NotReadyInTime"
    assert "orders: nothing of it is there yet" in summary["environmentFailure"]["message"]
    assert [test["outcome"] for test in summary["tests"]] == ["Skipped"]
    assert verdict(namespace) is Verdict.ERROR


def test_an_abort_ends_the_wait_at_the_gate() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        order(namespace, a_run_doc(services=[a_service_doc()]))
        loop().call_later(5.0, abort, namespace)
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    finished = namespace.summary()["finished"]
    assert finished is not None
    assert (finished["reason"], finished["message"]) == ("Aborted", "enough")
    assert finished["at"] < "2026-11-20T12:00:06"


def test_an_abort_undoes_a_fault_that_lasts() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        fault = a_fault_doc("none-left", scale={"replicas": 0}, **{"for": "10m"})
        waits = {"eventually": {"within": "4m"}, "expect": ["1 == 2"]}
        order(
            namespace,
            a_run_doc(
                services=[a_service_doc()], faults=[fault], tests=[a_scenario("long", waits)]
            ),
        )
        namespace.deployment("orders", replicas=3)
        loop().call_later(2.0, abort, namespace)
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    [fault] = namespace.summary()["faults"]
    assert fault["revertedBy"] == "conductor"
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 3
    assert verdict(namespace) is Verdict.ABORTED


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"testsTimeout": 2.0}, "spec.timeouts.tests"),
        ({"deadline": "2026-11-20T12:00:02.000Z"}, "spec.timeout"),
    ],
)
def test_what_is_out_of_time_ends_as_error_and_skips_the_rest(
    budget: dict[str, Any], words: str
) -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        waits = {"eventually": {"within": "4m"}, "expect": ["1 == 2"]}
        tests = [a_scenario("long", waits), a_scenario("next")]
        order(namespace, a_run_doc(tests=tests, **budget))
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    summary = namespace.summary()
    assert summary["finished"] is not None
    assert summary["finished"]["reason"] == "TimedOut"
    assert words in summary["finished"]["message"]
    assert [test["outcome"] for test in summary["tests"]] == ["Error", "Skipped"]
    assert verdict(namespace) is Verdict.ERROR


def test_a_suspended_run_holds_its_next_test() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        order(namespace, a_run_doc(), {"abort": False, "suspend": True})

        def resume() -> None:
            control = json.dumps({"abort": False, "suspend": False})
            namespace.change(
                "configmaps", "seatrial-run", lambda i: i["data"].update({"control.json": control})
            )

        loop().call_later(30.0, resume)
        await a_conductor(namespace)
        return namespace

    started = [e["at"] for e in in_virtual_time(course()).entries() if e["kind"] == "test.started"]
    assert started == ["2026-11-20T12:00:30.000Z"]


def test_an_evicted_pod_of_the_system_is_an_error_not_a_failure() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        waits = {"eventually": {"within": "4m"}, "expect": ["1 == 2"]}
        order(namespace, a_run_doc(services=[a_service_doc()], tests=[a_scenario("long", waits)]))
        namespace.deployment("orders")

        def evict() -> None:
            [pod] = namespace.all("pods")
            condition = {"type": "DisruptionTarget", "status": "True", "reason": "NodeLost"}
            namespace.change(
                "pods",
                pod["metadata"]["name"],
                lambda i: i["status"]["conditions"].append(condition),
            )

        loop().call_later(2.0, evict)
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    assert namespace.summary()["environmentLostAt"] is not None
    assert verdict(namespace) is Verdict.ERROR


def test_ten_seconds_without_an_api_server_change_nothing() -> None:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        fault = a_fault_doc(when={"after": "1s"})
        waits = {"eventually": {"within": "3s"}, "expect": ["1 == 1"]}
        tests = [a_scenario(name, waits) for name in ("one", "two", "three")]
        order(namespace, a_run_doc(services=[a_service_doc()], faults=[fault], tests=tests))
        namespace.deployment("orders", replicas=2)

        def away(gone: bool) -> None:
            namespace.away = gone

        loop().call_later(0.7, away, True)
        loop().call_later(10.7, away, False)
        await a_conductor(namespace)
        return namespace

    summary = in_virtual_time(course()).summary()
    assert [test["outcome"] for test in summary["tests"]] == ["Passed"] * 3


def test_a_newer_conductor_makes_the_older_one_stop() -> None:
    from seatrial_runner.journal import FencedError

    async def course() -> RunNamespace:
        namespace = RunNamespace()
        waits = {"eventually": {"within": "500ms"}, "expect": ["1 == 2"]}
        order(namespace, a_run_doc(services=[a_service_doc()], tests=[a_scenario("long", waits)]))
        namespace.deployment("orders")
        newer: list[asyncio.Task[None]] = []

        def come(number: int, what: str) -> None:
            if namespace.summary()["gateOpenedAt"] and not newer:
                newer.append(asyncio.create_task(a_conductor(namespace)))

        namespace.after_write = come
        with pytest.raises(FencedError):
            await a_conductor(namespace)
        await newer[0]
        return namespace

    namespace = in_virtual_time(course())
    assert namespace.summary()["starts"] == 2
    assert namespace.summary()["finished"] is not None


def test_one_that_was_replaced_goes_on_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from seatrial_runner.journal import FencedError

    ends: list[str] = []

    async def abandon(_: object, why: str) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(why)

    async def replaced(_: object) -> None:
        await begun.wait()
        raise FencedError("start 2 has taken over")

    begun = asyncio.Event()
    monkeypatch.setattr(NoFaults, "abandon", abandon)
    monkeypatch.setattr(Journal, "keep_written", replaced)

    async def course() -> None:
        namespace = RunNamespace()
        waits = {"eventually": {"within": "10s"}, "expect": ["1 == 2"]}
        order(namespace, a_run_doc(tests=[a_scenario("long", waits)], testsTimeout=1.0))
        with pytest.raises(FencedError):
            await a_conductor(namespace)
        assert ends == [
            "The tests were not over within 1s (spec.timeouts.tests); what ran is"
            " stopped, the rest is skipped."
        ]

    in_virtual_time(course())


def test_one_that_was_replaced_is_started_again_if_its_pod_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A pod that was deleted by force may have begun after its successor.
    from seatrial_runner.conductor import process
    from seatrial_runner.journal import FencedError

    async def replaced(*_: object, **__: object) -> None:
        raise FencedError("start 2 has taken over")

    monkeypatch.setattr(process, "conduct", replaced)
    monkeypatch.setenv("SEATRIAL_NAMESPACE", "itr-a-1")
    monkeypatch.setenv("SEATRIAL_API_URL", "http://127.0.0.1:1")
    assert process.run_process([]) == 75
