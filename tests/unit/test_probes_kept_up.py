"""Probes through a whole run: before, during and after faults, and through restarts."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.journal import FaultState, ProbeState
from seatrial.api.verdict import judge
from seatrial_runner.conductor import probing as probing_module
from seatrial_runner.conductor.configmaps import JournalConfigMap
from seatrial_runner.conductor.faults.recovery import recovers
from seatrial_runner.conductor.opening import claim_journal
from seatrial_runner.conductor.probing import Probing
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.steady import Check

from tests.support.conducted import (
    a_conductor,
    a_fault_doc,
    a_killed_conductor,
    a_run_doc,
    a_scenario,
    a_service_doc,
    a_stage,
    order,
)
from tests.support.loopback import Answer, Asked, Loopback
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time, loop

FAILED = "response.status is 503"
MOST_WRITES = 20  # a conductor writes less often in a run with a probe and a test
# Newer Pythons warn of a fork beside threads; here it is the test that has one, for its service.
beside_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def a_probe(name: str = "p", **more: Any) -> dict[str, Any]:
    """A probe of orders, made each second."""
    return {"name": name, "http": {"get": "http://orders:8080/health"}, "every": "1s", **more}


def checked(
    course: Callable[[Probing, Stage], Awaitable[None]], *probes: dict[str, Any], **more: Any
) -> list[ProbeState]:
    """Have a course hand checks in, and give what they come to."""

    async def whole() -> list[ProbeState]:
        run = a_run_doc(
            services=[a_service_doc()],
            faults=[a_fault_doc("f"), a_fault_doc("g")],
            probes=list(probes) or [a_probe()],
            **more,
        )
        stage = await a_stage(RunNamespace(), run)
        stage.probing = Probing(stage)
        await course(stage.probing, stage)
        stage.probing.count_rest()
        return stage.journal.summary["probes"]

    return in_virtual_time(whole())


def make(probing: Probing, problem: str = "", *, probe: str = "p", extra: bool = False) -> None:
    """Have a check made now."""
    now = loop().now()
    probing.take(Check(probe, now, now + timedelta(milliseconds=1), problem, extra))


def state_of(stage: Stage, fault: str) -> FaultState:
    return next(each for each in stage.journal.summary["faults"] if each["name"] == fault)


def test_what_fails_while_a_fault_is_being_carried_out_is_the_faults() -> None:
    async def course(probing: Probing, stage: Stage) -> None:
        fault = state_of(stage, "f")
        make(probing)
        await asyncio.sleep(1)
        fault["state"] = "Requested"
        begun = loop().now()
        await asyncio.sleep(0.1)
        make(probing, FAILED)  # pods have gone already, but nobody knows yet that it has succeeded
        assert stage.journal.summary["probes"][0]["failures"] == 0
        await asyncio.sleep(0.1)
        fault["state"] = "Active"
        stage.windows.open("f", frozenset(), loop().now(), since=begun)
        make(probing, FAILED)

    [state] = checked(course)
    assert (state["failures"], state["outsideFaults"], state["duringFaults"]) == (2, 0, ["f"])


def test_what_fails_while_a_fault_that_is_not_injected_was_tried_is_nobodys() -> None:
    async def course(probing: Probing, stage: Stage) -> None:
        state_of(stage, "f")["state"] = "Requested"
        make(probing, FAILED)
        state_of(stage, "f")["state"] = "NotInjected"

    [state] = checked(course)
    assert state["outsideFaults"] == 1


def test_a_fault_that_takes_long_to_carry_out_does_not_pile_up_checks() -> None:
    async def course(probing: Probing, stage: Stage) -> None:
        state_of(stage, "f")["state"] = "Requested"
        for _ in range(5000):
            make(probing, FAILED)
            assert len(probing._waiting) <= probing_module._MAX_WAITING

    [state] = checked(course)
    assert state["failures"] == 5000


def test_the_journal_tells_of_each_outage_and_not_of_each_check() -> None:
    stages = []

    async def course(probing: Probing, stage: Stage) -> None:
        stages.append(stage)
        for problem in ("", "", FAILED, FAILED, FAILED, "", ""):
            make(probing, problem)
            await asyncio.sleep(1)

    checked(course)
    told = [e for e in stages[0].journal.entries if e["kind"].startswith("probe.")]
    assert [(entry["kind"], entry["at"][17:19]) for entry in told] == [
        ("probe.failed", "02"),
        ("probe.held", "05"),
    ]
    assert told[0]["message"] == FAILED
    assert told[1]["failedForS"] == 3.0


def recovery_of(
    course: Callable[[Probing, Stage], Awaitable[None]], *, within_s: float = 10.0
) -> tuple[str | None, float]:
    """Give what is missing of a fault's recovery, and after how long that was known."""
    found: list[tuple[str | None, float]] = []

    async def whole(probing: Probing, stage: Stage) -> None:
        began = loop().time()
        service = a_service_doc()
        service["workloads"] = []  # nothing but the probe is waited for
        fault = a_fault_doc("f")
        waiting = asyncio.create_task(recovers(stage, fault, [service], within_s=within_s))
        await asyncio.sleep(0)
        await course(probing, stage)
        found.append((await waiting, round(loop().time() - began, 1)))

    checked(whole)
    return found[0]


def test_a_system_is_well_again_only_when_every_probe_holds() -> None:
    async def course(probing: Probing, stage: Stage) -> None:
        for problem in (FAILED, FAILED, ""):
            await asyncio.sleep(1)
            make(probing, problem)

    assert recovery_of(course) == (None, 3.0)


def test_a_check_that_held_before_the_end_of_the_fault_says_nothing() -> None:
    async def course(probing: Probing, stage: Stage) -> None:
        past = loop().now() - timedelta(seconds=1)
        probing.take(Check("p", past, past, ""))
        await asyncio.sleep(2)
        make(probing)

    assert recovery_of(course) == (None, 2.0)


def test_a_probe_that_does_not_hold_in_time_is_named() -> None:
    async def course(probing: Probing, stage: Stage) -> None:
        for _ in range(12):
            await asyncio.sleep(1)
            make(probing, FAILED)

    missing, after = recovery_of(course)
    assert missing is not None
    assert missing.startswith("probe p did not hold within 10s")
    assert missing.endswith(FAILED)
    assert after >= 10


def test_what_another_fault_does_meanwhile_is_no_missing_recovery() -> None:
    async def course(probing: Probing, stage: Stage) -> None:
        state_of(stage, "g")["state"] = "Active"
        await asyncio.sleep(1)
        make(probing, FAILED)

    assert recovery_of(course) == (None, 1.0)


def test_while_someone_waits_checks_are_asked_for_out_of_turn() -> None:
    asked = []

    async def course(probing: Probing, stage: Stage) -> None:
        async def worker() -> None:
            while True:
                await probing._serve({"ask": True})
                asked.append(loop().time())
                make(probing, "" if len(asked) == 5 else FAILED, extra=True)

        task = asyncio.create_task(worker())
        assert await probing.until_well("f", within_s=10.0) is None
        task.cancel()

    [state] = checked(course)
    assert len(asked) == 5
    assert max(asked) < 1.0  # not a second for each
    assert (state["checks"], state["failures"]) == (0, 0)


def test_after_the_last_test_one_more_check_is_waited_for() -> None:
    async def course(probing: Probing, stage: Stage) -> None:
        make(probing)
        await asyncio.sleep(0.5)
        settling = asyncio.create_task(probing.settle())
        await asyncio.sleep(0.2)
        assert not settling.done()
        for _ in range(3):
            make(probing, FAILED)
            await asyncio.sleep(0.3)
        await settling

    [state] = checked(course, a_probe(threshold=3))
    assert state["outsideFaults"] == 3


def test_a_conductor_that_comes_back_says_what_was_missed() -> None:
    async def whole() -> tuple[list[str], ProbeState]:
        namespace = RunNamespace()
        run = a_run_doc(probes=[a_probe()])
        before = await a_stage(namespace, run)
        before.probing = Probing(before)
        make(before.probing)
        await asyncio.sleep(1)
        make(before.probing)
        writing = asyncio.create_task(before.journal.keep_written())
        await before.journal.save()
        writing.cancel()
        await asyncio.sleep(10)
        edge = JournalConfigMap(namespace.api, run["environment"])
        journal = await claim_journal(edge, run, now=loop().now, monotonic=loop().time)
        after = Stage(
            run, namespace.api, before.seen, journal, before.control, loop().now, loop().time
        )
        after.probing = Probing(after)
        make(after.probing)
        return journal.summary["lostEvidence"], journal.summary["probes"][0]

    lost, state = in_virtual_time(whole())
    [sentence] = lost
    told = re.sub(r"\.\d{3}Z", "", sentence)
    assert told == (
        "The probes made no check from 2026-11-20T12:00:01 to 2026-11-20T12:00:11,"
        " because the conductor, or its process for them, was restarted."
    )
    assert state["checks"] == 3


class Orders(Loopback):
    """Answers checks as it is told, and says at /checks how many have come."""

    def respond(self, asked: Asked) -> Answer:
        if asked.path == "/checks":
            return Answer(json=sum(each.path == "/health" for each in self.asked))
        return super().respond(asked)


@pytest.fixture
def orders() -> Iterator[Orders]:
    """A service on loopback."""
    with Orders() as server:
        yield server


def a_run_with_probe(orders: Orders, *, checks: int, **probe: Any) -> RunNamespace:
    """Conduct a run whose one test waits until so many checks were made."""
    many = {
        "http": {"get": f"{orders.url}/checks"},
        "eventually": {"within": "4m", "every": "50ms"},
        "expect": [f"response.json >= {checks}"],
    }
    health = {"get": f"{orders.url}/health"}

    async def course() -> RunNamespace:
        namespace = RunNamespace()
        loop().pace = 1.0  # nobody waits longer than a minute for a check
        probes = [a_probe(**{"http": health, "every": "100ms", **probe})]
        order(namespace, a_run_doc(probes=probes, tests=[a_scenario("long", many)]))
        await a_conductor(namespace)
        return namespace

    return in_virtual_time(course())


@beside_threads
def test_probes_are_checked_all_the_time_and_are_no_traffic_of_tests(orders: Orders) -> None:
    orders.answer("GET /health", json={"ok": True})
    namespace = a_run_with_probe(orders, checks=4, expect=["response.json.ok"])
    [state] = namespace.summary()["probes"]
    assert state["checks"] >= 4
    assert (state["failures"], state["message"]) == (0, "")
    [test] = namespace.summary()["tests"]
    assert test["outcome"] == "Passed"


@beside_threads
def test_a_probe_that_fails_outside_of_faults_fails_the_run(orders: Orders) -> None:
    for status in (200, 503, 200):
        orders.answer("GET /health", status=status)
    namespace = a_run_with_probe(orders, checks=3)
    judgement = judge(namespace.summary(), probes=["p"])
    assert (judgement.verdict, judgement.reason) == ("Failed", "ProbeFailed")
    assert "expected response.status < 400, but response.status is 503" in judgement.message


@beside_threads
def test_a_worker_that_dies_is_made_again_and_the_gap_is_told(
    orders: Orders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    orders.answer("GET /health")
    died = tmp_path / "died"
    real = probing_module._problem

    def dies_once(*arguments: Any) -> str:
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    monkeypatch.setattr(probing_module, "_problem", dies_once)
    summary = a_run_with_probe(orders, checks=1).summary()
    assert summary["probes"][0]["checks"] >= 1
    assert "The probes made no check from" in summary["lostEvidence"][0]


@beside_threads
def test_probes_go_on_after_each_death_of_the_conductor(orders: Orders) -> None:
    async def course(dies_at: int) -> RunNamespace | None:
        namespace = RunNamespace()
        probe = a_probe(tcp=orders.url.removeprefix("http://"), http=None)
        order(namespace, a_run_doc(probes=[probe]))
        if not await a_killed_conductor(namespace, dies_at=dies_at, after=True):
            return None
        await a_conductor(namespace)
        return namespace

    for dies_at in range(1, MOST_WRITES):
        namespace = in_virtual_time(course(dies_at))
        if namespace is None:
            break
        summary = namespace.summary()
        assert summary["finished"] is not None
        assert summary["probes"][0]["checks"] >= 1
        assert summary["probes"][0]["failures"] == 0
    else:
        pytest.fail(f"it writes {MOST_WRITES} times or more, and was not killed at all of them")
    assert dies_at > 1
