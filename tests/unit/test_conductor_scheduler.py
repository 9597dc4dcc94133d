"""Tests run in order, some at a time, and each of them once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seatrial.api import journal
from seatrial_runner.conductor.scheduler import run_tests, skip_rest
from seatrial_runner.conductor.stage import Stage

from tests.support.conducted import GOES_ON, a_run_doc, a_scenario, a_stage
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time, loop

HELD: journal.ControlDoc = {"abort": False, "suspend": True}


class Recorder:
    """Stands for running a test: takes as long as its name says, and remembers."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.began: list[str] = []
        self.most = 0
        self._now = 0

    async def __call__(self, test: dict[str, Any], state: journal.TestState) -> None:
        self.began.append(test["name"])
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(test.get("takes", 1.0))
        self._now -= 1
        state["outcome"] = "Passed"


def ran(durations: list[float], parallelism: int) -> tuple[Recorder, float]:
    async def course() -> tuple[Recorder, float]:
        tests = [a_scenario(f"t{n}", takes=takes) for n, takes in enumerate(durations)]
        stage = await a_stage(RunNamespace(), a_run_doc(tests=tests, parallelism=parallelism))
        recorder = Recorder(stage)
        began = loop().time()
        await run_tests(stage, recorder)
        return recorder, loop().time() - began

    return in_virtual_time(course())


durations = st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=1, max_size=8)


@settings(deadline=None)
@given(durations, st.integers(1, 4))
def test_every_test_begins_once_in_order_and_no_more_at_a_time_than_allowed(
    takes: list[float], parallelism: int
) -> None:
    recorder, _ = ran(takes, parallelism)
    assert recorder.began == [f"t{n}" for n in range(len(takes))]
    assert recorder.most == min(parallelism, len(takes))


@pytest.mark.parametrize(("parallelism", "seconds"), [(1, 6.0), (2, 3.0), (9, 3.0)])
def test_a_free_place_is_taken_at_once(parallelism: int, seconds: float) -> None:
    _, took = ran([1.0, 3.0, 1.0, 1.0], parallelism)
    assert took == pytest.approx(seconds, abs=0.01)


def test_what_an_earlier_conductor_has_finished_keeps_its_result() -> None:
    async def course() -> list[str]:
        tests = [a_scenario(name) for name in ("done", "broken-off", "next")]
        stage = await a_stage(RunNamespace(), a_run_doc(tests=tests))
        stage.journal.summary["tests"][0]["outcome"] = "Failed"
        stage.journal.summary["tests"][1]["outcome"] = "Running"
        recorder = Recorder(stage)
        await run_tests(stage, recorder)
        return recorder.began

    assert in_virtual_time(course()) == ["broken-off", "next"]


def test_suspension_holds_the_next_test_and_not_the_running_one() -> None:
    async def course() -> tuple[list[str], float]:
        stage = await a_stage(
            RunNamespace(), a_run_doc(tests=[a_scenario("one", takes=2.0), a_scenario("two")])
        )
        recorder = Recorder(stage)
        for moment, doc in ((1.0, HELD), (10.0, GOES_ON)):
            loop().call_later(moment, stage.control.update, doc)
        began = loop().time()
        await run_tests(stage, recorder)
        return recorder.began, loop().time() - began

    began, took = in_virtual_time(course())
    assert began == ["one", "two"]
    assert took == pytest.approx(11.0, abs=0.01)


def test_the_rest_is_skipped_with_its_reason() -> None:
    async def course() -> list[tuple[str, str]]:
        tests = [a_scenario(name) for name in ("done", "next")]
        stage = await a_stage(RunNamespace(), a_run_doc(tests=tests))
        stage.journal.summary["tests"][0]["outcome"] = "Passed"
        skip_rest(stage, "out of time")
        return [(t["outcome"], t["message"]) for t in stage.journal.summary["tests"]]

    assert in_virtual_time(course()) == [("Passed", ""), ("Skipped", "out of time")]


def test_an_abort_is_never_taken_back() -> None:
    async def course() -> str:
        stage = await a_stage(RunNamespace(), a_run_doc())
        stage.control.update({"abort": True, "abortReason": "enough", "suspend": False})
        stage.control.update({"abort": False, "suspend": False})
        return await stage.control.wait_until_aborted()

    assert in_virtual_time(course()) == "enough"
