"""Imports what scenarios will use, once, before workers are forked from this process."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from seatrial_runner.scenario import expressions
from seatrial_runner.scenario.interpolation import needs_jinja
from seatrial_runner.scenario.kinds import MODULES, kind_of, module_of, steps_of


def preload(tests: Iterable[dict[str, Any]], scenarios: Iterable[dict[str, Any]] = ()) -> None:
    """
    Import httpx, CEL and Jinja2, each only if one of the tests needs it.

    Args:
        tests: Entries of ``spec.tests``; those without a scenario ask for nothing.
        scenarios: Those that they may call.
    """
    by_name = {scenario["name"]: scenario for scenario in scenarios}
    steps = [step for test in tests for step in steps_of(test, by_name)]
    if steps:
        expressions.preload()
    for kind in {kind_of(step) for step in steps} - {""}:
        if begin := getattr(module_of(kind), "preload", None):
            begin()
    if any(step.get("http") for step in steps):
        import_transport()
    if any(needs_jinja(step.get(key)) for step in steps for key in (*MODULES, "scenario")):
        import seatrial_runner.scenario.templates  # noqa: F401 - brings Jinja2 along


def import_transport() -> None:
    """
    Import what sends requests, without h2.

    NB: httpcore imports h2 wherever that is installed, which is a tenth of a start. Where HTTP/2
    is asked for, httpcore looks for it again.
    """
    hidden = "h2" not in sys.modules
    if hidden:
        sys.modules["h2"] = None  # type: ignore[assignment]  # how Python says: not there
    try:
        import seatrial_runner.scenario.transport  # noqa: F401
    finally:
        if hidden:
            del sys.modules["h2"]
