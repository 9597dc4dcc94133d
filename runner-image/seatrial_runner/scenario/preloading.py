"""Imports what scenarios will use, once, before workers are forked from this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from seatrial_runner.scenario import expressions
from seatrial_runner.scenario.interpolation import needs_jinja


def preload(tests: Iterable[dict[str, Any]]) -> None:
    """
    Import httpx, CEL and Jinja2, each only if one of the tests needs it.

    Args:
        tests: Entries of ``spec.tests``; those without a scenario ask for nothing.
    """
    steps = [step for test in tests for step in test.get("scenario") or ()]
    steps += [s for step in steps for branch in step.get("parallel") or () for s in branch["steps"]]
    if steps:
        expressions.preload()
    if any(step.get("http") for step in steps):
        import seatrial_runner.scenario.transport
    if any(needs_jinja(step.get("http")) for step in steps):
        import seatrial_runner.scenario.templates  # noqa: F401 - brings Jinja2 along
