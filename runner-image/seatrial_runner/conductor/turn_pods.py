"""The pods of a test's turn: which they are, how they ended, and waiting for what they do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.cases import Case
from seatrial_runner.conductor.desk import Turn
from seatrial_runner.conductor.seen import PODS
from seatrial_runner.conductor.stage import Stage

Object = dict[str, Any]

_LOOK_AGAIN_S = 1.0
# What a pod sent just before it ended may still be on its way when the watch tells of the end.
LAST_WORDS_S = 3.0


@dataclass(frozen=True)
class Loss:
    """Results that will not come."""

    message: str


async def something(stage: Stage, turn: Turn) -> None:
    """Return after a change of the pods or of the turn, or a second."""
    seen = asyncio.create_task(stage.seen.wait(_LOOK_AGAIN_S))
    changed = asyncio.create_task(turn.changed.wait())
    try:
        await asyncio.wait((seen, changed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        seen.cancel()
        changed.cancel()


def pods_of(stage: Stage, turn: Turn) -> list[Object]:
    """Give the pods of the present attempt, the youngest first."""
    there = [
        pod
        for pod in stage.seen.all(PODS)
        if pods.test(pod) == turn.test and pods.uid(pod) not in turn.past
    ]
    return sorted(there, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)


def shard_of(pod: Object) -> int:
    """Give the pod's number in its Indexed Job."""
    annotations = pod["metadata"].get("annotations") or {}
    labels = pod["metadata"].get("labels") or {}
    key = "batch.kubernetes.io/job-completion-index"
    return int(labels.get(key) or annotations.get(key) or 0)


def how_ended(pod: Object) -> str:
    """Say how a pod ended, as the end of a sentence that begins with its name."""
    why = pods.disruption(pod)
    if why is not None:
        return f"was taken away ({why})"
    for each in pods.containers(pod):
        end = each.terminated
        if end is not None and end.get("reason") == "OOMKilled":
            return f"was OOMKilled: raise the memory limit in resources ({each.title})"
        if end is not None and end.get("exitCode") not in (0, None):
            return f"ended with exit status {end['exitCode']} ({each.title})"
    return "was deleted" if pods.is_going(pod) else "ended"


def one_case(
    test: str, outcome: str, began: str, ended: str, message: str, details: str = ""
) -> Case:
    """Make the one case of a test that has none of its own."""
    return {
        "id": test,
        "outcome": outcome,
        "attempt": 1,
        "startedAt": began,
        "finishedAt": ended,
        "message": message,
        "details": details,
        "requests": 0,
        "properties": {},
    }
