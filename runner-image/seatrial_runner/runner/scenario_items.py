"""Scenarios as pytest items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.report import RecordDoc, messages_text

from seatrial_runner.runner.cases import FLAKY, MESSAGES
from seatrial_runner.runner.fixture_files import FolderFiles
from seatrial_runner.runner.item_lanes import lane_of_item
from seatrial_runner.runner.scenario_files import ScenarioFileError, read_file
from seatrial_runner.runner.session import SESSION
from seatrial_runner.runner.snapshot_files import OPTION, FileSnapshots
from seatrial_runner.scenario import Instance, InstanceResult, expand, run_instance
from seatrial_runner.scenario.cluster_needed import needs_faults
from seatrial_runner.scenario.identity import seed_of_attempt


class ScenarioFailure(Exception):  # noqa: N818 - not an error of ours: what a test is there to find
    """A scenario that did not pass; carries its result."""

    def __init__(self, result: InstanceResult) -> None:
        self.result = result
        super().__init__(result.message)


class ScenarioFile(pytest.File):
    """A YAML file with scenarios."""

    snapshots: FileSnapshots
    files: FolderFiles

    def collect(self) -> Iterator[ScenarioItem]:
        """Give an item for each instance of each scenario."""
        try:
            content = read_file(self.path)
            updating = bool(self.config.getoption(OPTION))
            self.snapshots = FileSnapshots(self.path, content.snapshots, updating=updating)
        except (ScenarioFileError, ValueError) as error:
            raise self.CollectError(str(error)) from error
        folders = [self.path.parent, self.config.rootpath]
        self.files = FolderFiles(content.fixtures, folders)
        if not content.tests and self.session.isinitpath(self.path):
            raise self.CollectError(
                f"{self.path.name}: no scenario in it; it needs kind: IntegrationTestRun,"
                " tests: or scenario:"
            )
        for test in content.tests:
            tags = test.get("tags") or []
            for tag in tags:
                # A mark must be known (--strict-markers) before anything is marked with it.
                self.config.addinivalue_line("markers", f"{tag}: a tag of a scenario")
            for instance in expand(test, content.scenarios):
                item = ScenarioItem.from_parent(
                    self, name=instance.id, instance=instance, retries=test.get("retries", 0)
                )
                for tag in tags:
                    item.add_marker(tag)
                if faults := content.faults.get(test["name"]):
                    # It is the run that starts them, and this is none.
                    item.add_marker(pytest.mark.skip(reason=needs_faults(faults)))
                yield item


class ScenarioItem(pytest.Item):
    """One instance of a scenario."""

    def __init__(self, *, instance: Instance, retries: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.instance = instance
        self.retries = retries
        self.flaky = False
        self.messages: RecordDoc | None = None

    def runtest(self) -> None:
        """Run it, and again after a failure as often as its test says."""
        result = self._attempt(1)
        attempts = 1
        while result.outcome in ("failed", "error") and attempts <= self.retries:
            attempts += 1
            result = self._attempt(attempts)
        self.user_properties += result.properties().items()
        self.messages = result.messages()
        if self.messages and result.outcome == "passed":  # of a failure, the details end with them
            self.add_report_section("call", "messages", messages_text(self.messages))
        self._note_skipped_steps(result)
        self.flaky = result.outcome == "passed" and (attempts > 1 or result.flaky)
        if result.outcome == "skipped":
            pytest.skip(result.message)
        if result.outcome != "passed":
            raise ScenarioFailure(result)

    def _attempt(self, number: int) -> InstanceResult:
        world = self.config.stash[SESSION].world()
        seed = self.config.getoption("--seatrial-seed")
        file = self.parent
        assert isinstance(file, ScenarioFile)
        return run_instance(
            self.instance,
            replace(
                world,
                snapshots=file.snapshots,
                files=file.files,
                seed=seed_of_attempt(seed, number),
                lane=lane_of_item(self),
            ),
        )

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
        return self.path, 0, self.name  # pytest breaks where one without a line is marked skip


def mark(item: pytest.Item, report: pytest.TestReport) -> None:
    """Let a report say that its scenario needed a further try, which messages came, and where."""
    if not isinstance(item, ScenarioItem) or report.when != "call":
        return
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        report.longrepr = (str(item.path), 1, reason)  # pytest names the line that raised it
    if item.flaky:
        setattr(report, FLAKY, True)
    if item.messages:
        setattr(report, MESSAGES, item.messages)
