"""Scenarios as pytest items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seatrial_runner.runner.cases import FLAKY
from seatrial_runner.runner.scenario_files import ScenarioFileError, read_tests
from seatrial_runner.runner.session import SESSION
from seatrial_runner.scenario import Instance, InstanceResult, expand, run_instance


class ScenarioFailure(Exception):  # noqa: N818 - not an error of ours: what a test is there to find
    """A scenario that did not pass; carries its result."""

    def __init__(self, result: InstanceResult) -> None:
        self.result = result
        super().__init__(result.message)


class ScenarioFile(pytest.File):
    """A YAML file with scenarios."""

    def collect(self) -> Iterator[ScenarioItem]:
        """Give an item for each instance of each scenario."""
        try:
            tests = read_tests(self.path)
        except ScenarioFileError as error:
            raise self.CollectError(str(error)) from error
        if not tests and self.session.isinitpath(self.path):
            raise self.CollectError(
                f"{self.path.name}: no scenario in it; it needs kind: IntegrationTestRun,"
                " tests: or scenario:"
            )
        for test in tests:
            for instance in expand(test):
                yield ScenarioItem.from_parent(
                    self, name=instance.id, instance=instance, retries=test.get("retries", 0)
                )


class ScenarioItem(pytest.Item):
    """One instance of a scenario."""

    def __init__(self, *, instance: Instance, retries: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.instance = instance
        self.retries = retries
        self.flaky = False

    def runtest(self) -> None:
        """Run it, and again after a failure as often as its test says."""
        world = self.config.stash[SESSION].world()
        result = run_instance(self.instance, world)
        attempts = 1
        while result.outcome in ("failed", "error") and attempts <= self.retries:
            result = run_instance(self.instance, world)
            attempts += 1
        self._note_skipped_steps(result)
        self.flaky = result.outcome == "passed" and (attempts > 1 or result.flaky)
        if result.outcome == "skipped":
            pytest.skip(result.message)
        if result.outcome != "passed":
            raise ScenarioFailure(result)

    def _note_skipped_steps(self, result: InstanceResult) -> None:
        lines = [
            f"{step.name}: {step.message}" for step in result.steps if step.outcome == "skipped"
        ]
        if lines:
            self.add_report_section("call", "skipped steps", "\n".join(lines))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what failed in the scenario's own words, not in the engine's traceback."""
        if isinstance(excinfo.value, ScenarioFailure):
            return excinfo.value.result.details or excinfo.value.result.message
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Give where it comes from."""
        return self.path, None, self.name


def mark_flaky(item: pytest.Item, report: pytest.TestReport) -> None:
    """Let a report say that its scenario needed a further try."""
    if isinstance(item, ScenarioItem) and report.when == "call" and item.flaky:
        setattr(report, FLAKY, True)
