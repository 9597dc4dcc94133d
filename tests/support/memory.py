"""What a scenario takes of memory at most, in a process of its own."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from seatrial_runner.scenario import InstanceResult

from tests.support.scenarios import a_world, run_steps

Steps = list[dict[str, Any]]


def with_most_mib(first: Steps, steps: Steps, url: str) -> tuple[InstanceResult, float]:
    """
    Run steps that know the database at ``url`` as service ``db``.

    In the process of the tests, what an earlier test took at most would hide what this one does.

    Args:
        first: Done before: they bring the drivers, whose memory does not count.
        steps: Whose memory is measured.
        url: Of the database.

    Returns:
        The result, and the MiB that the process took at most beyond what it had before.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        return alone.submit(_measured, first, steps, url).result()


def _measured(first: Steps, steps: Steps, url: str) -> tuple[InstanceResult, float]:
    world = a_world(connections={"db": url})
    prepared = run_steps(first, world)
    assert prepared.outcome == "passed", prepared.message
    before = _mib("VmRSS")
    result = run_steps(steps, world, timeout="20m")
    # Not ru_maxrss: that begins with what the process that started this one took.
    return result, _mib("VmHWM") - before


def _mib(field: str) -> float:
    fields = Path("/proc/self/status").read_text().split(f"{field}:")[1].split()
    return int(fields[0]) / 1024
