"""Runs the tests: in order, some at a time, held while suspended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from seatrial.api.journal import TestState

from seatrial_runner.conductor.stage import Stage

Test = dict[str, Any]
RunTest = Callable[[Test, TestState], Awaitable[None]]

_TURN_OVER = frozenset({"Passed", "Failed", "Error", "Skipped"})


async def run_tests(stage: Stage, run_test: RunTest) -> None:
    """
    Run every test that has not ended yet, and return when all have.

    Tests begin in the order of the spec, ``parallelism`` at a time. Those that an earlier conductor
    has finished keep their results. Cancelled, it ends what runs and leaves the rest Pending.
    """
    waiting = [test for test in stage.run["tests"] if not _is_over(stage, test)]
    waiting.reverse()

    async def take_turns() -> None:
        while waiting:
            await stage.control.wait_until_not_suspended()
            if waiting:  # another one may have taken the last while this one was held
                await _turn(stage, run_test, waiting.pop())

    async with asyncio.TaskGroup() as turns:
        for _ in range(min(stage.run["parallelism"], len(waiting))):
            turns.create_task(take_turns())


def _is_over(stage: Stage, test: Test) -> bool:
    state = stage.test(test["name"])
    return state is not None and state["outcome"] in _TURN_OVER


async def _turn(stage: Stage, run_test: RunTest, test: Test) -> None:
    state = stage.test(test["name"])
    assert state is not None  # the summary has every test of the run
    await run_test(test, state)


def skip_rest(stage: Stage, why: str) -> None:
    """Mark every test that never began as Skipped."""
    for state in stage.journal.summary["tests"]:
        if state["outcome"] == "Pending":
            stage.finish_test(state, "Skipped", why, lost=False)
