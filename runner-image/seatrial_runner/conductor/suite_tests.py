"""Tests of kind pytest: the end of a suite, and what it came to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

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
    """
    Return when every shard has said that it is done; or which one never will.

    Those that are left are waited for: they have results, and must not run beside the next test.
    """
    gone_since: dict[int, float] = {}
    attempt = turn.attempt
    while len(turn.ended) < turn.shards:
        if turn.attempt != attempt:
            attempt = turn.attempt
            timer.reschedule(asyncio.get_running_loop().time() + timeout_s)
        now = stage.monotonic()
        losses = dict(_lost_shards(stage, turn))
        gone_since = {shard: gone_since.get(shard, now) for shard in losses}
        lost = {shard for shard, since in gone_since.items() if now - since > LAST_WORDS_S}
        if len(turn.ended) + len(lost) == turn.shards:
            return losses[min(lost)]
        await something(stage, turn)
    return None


def _lost_shards(stage: Stage, turn: Turn) -> Iterator[tuple[int, Loss]]:
    by_shard = {shard_of(pod): pod for pod in pods_of(stage, turn)}
    for shard in range(turn.shards):
        if shard in turn.ended:
            continue
        pod = by_shard.get(shard)
        if pod is None:
            gone = f"the pod of shard {shard} is gone: somebody deleted it, or its node"
            yield shard, Loss(gone)
        elif pods.is_over(pod) or pods.is_going(pod):
            died = f"pod {pods.name(pod)} {how_ended(pod)} before it handed in its results"
            yield shard, Loss(died)


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
        shard, ended = next(iter(sorted(bad.items())))
        said = ended.message or f"pytest ended with status {ended.exit_code}"
        outcome = "Failed" if cases.outcome() == "Failed" else "Error"
        return Come(outcome, _of_shard(turn, shard, said))
    if not len(cases):
        return Come("Skipped", "pytest collected no tests: look at -k, -m and the file names")
    for shard, ended in sorted(turn.ended.items()):
        if ended.exit_code == _FAILURES and not cases.failed_in(shard=shard):
            said = ended.message or "pytest ended with status 1 although no case failed"
            return Come("Error", _of_shard(turn, shard, said))
        known = cases.known(shard=shard, attempt=ended.attempt)
        if known < ended.collected and ended.exit_code == 0:
            return Come(
                "Error",
                f"{ended.collected - known} of {ended.collected} results of shard {shard} are"
                " missing",
                lost=True,
            )
    return Come(cases.outcome(), cases.first_message())


def _of_shard(turn: Turn, shard: int, said: str) -> str:
    return f"shard {shard}: {said}" if turn.shards > 1 else said
