"""What the faults of a run act with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from seatrial_runner.conductor.faults.kinds import Hands
from seatrial_runner.conductor.stage import Stage


def hands_of(stage: Stage, save_logs: Callable[[str], Awaitable[None]]) -> Hands:
    """
    Give the hands of a run.

    Args:
        stage: Of the run.
        save_logs: Keeps the logs of a pod that is about to go.
    """
    return Hands(
        api=stage.api,
        namespace=stage.namespace,
        seen=stage.seen,
        save_logs=save_logs,
        at=stage.at,
        services=stage.run["services"],
        faults={fault["name"]: fault for fault in stage.run["faults"]},
    )
