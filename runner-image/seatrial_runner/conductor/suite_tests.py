"""Tests of kind pytest: the end of a suite, and what it came to."""

from __future__ import annotations

import asyncio

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.desk import Turn
from seatrial_runner.conductor.ending import Come
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.turn_pods import (
    LAST_WORDS_S,
    Loss,
    how_ended,
    pods_of,
    shard_of,
    something,
)

_NO_TESTS = 5  # pytest: no tests were collected
_FAILURES = 1  # pytest: tests were collected and run, some failed


async def suite_ends(
    stage: Stage, turn: Turn, timer: asyncio.Timeout, timeout_s: float
) -> Loss | None:
    """Return when every shard has said that it is done; or which one never will."""
    gone_since: float | None = None
    attempt = turn.attempt
    while len(turn.ended) < turn.shards:
        if turn.attempt != attempt:
            attempt = turn.attempt
            timer.reschedule(asyncio.get_running_loop().time() + timeout_s)
        loss = _lost_shard(stage, turn)
        if loss is None:
            gone_since = None
        elif gone_since is None:
            gone_since = stage.monotonic()
        elif stage.monotonic() - gone_since > LAST_WORDS_S:
            return loss
        await something(stage, turn)
    return None


def _lost_shard(stage: Stage, turn: Turn) -> Loss | None:
    there = pods_of(stage, turn)
    by_shard = {shard_of(pod): pod for pod in there}
    for shard in range(turn.shards):
        if shard in turn.ended:
            continue
        pod = by_shard.get(shard)
        if pod is None:
            return Loss(f"the pod of shard {shard} is gone: somebody deleted it, or its node")
        if pods.is_over(pod) or pods.is_going(pod):
            return Loss(f"pod {pods.name(pod)} {how_ended(pod)} before it handed in its results")
    return None


def suite_came_to(stage: Stage, turn: Turn, lost: Loss | None) -> Come:
    """Say what a suite came to, by its cases and by what its shards said in the end."""
    cases = stage.cases_of(turn.test)
    if lost is not None:
        outcome = "Failed" if cases.outcome() == "Failed" else "Error"
        return Come(outcome, lost.message, lost=True)
    bad = {
        shard: ended
        for shard, ended in turn.ended.items()
        if ended.exit_code not in (0, _FAILURES, _NO_TESTS)
    }
    if bad:
        ended = next(iter(bad.values()))
        said = ended.message or f"pytest ended with status {ended.exit_code}"
        return Come("Failed" if cases.outcome() == "Failed" else "Error", said)
    if not len(cases):
        return Come("Skipped", "pytest collected no tests: look at -k, -m and the file names")
    for shard, ended in sorted(turn.ended.items()):
        if ended.exit_code == _FAILURES and not cases.failed_in(shard=shard):
            said = ended.message or "pytest ended with status 1 although no case failed"
            return Come("Error", said)
        known = cases.known(shard=shard, attempt=ended.attempt)
        if known < ended.collected and ended.exit_code == 0:
            return Come(
                "Error",
                f"{ended.collected - known} of {ended.collected} results of shard {shard} are"
                " missing",
                lost=True,
            )
    return Come(cases.outcome(), cases.first_message())
