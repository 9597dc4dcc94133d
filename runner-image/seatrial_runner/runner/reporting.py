"""Registered in test pods alone: sends the result of each test to the conductor as it happens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from seatrial_runner import clock
from seatrial_runner.runner import exit_status
from seatrial_runner.runner.cases import MAX_BATCH, Gathering, collection_case, envelope
from seatrial_runner.runner.conductor_api import PATIENCE_S, ConductorApi, test_path
from seatrial_runner.runner.delivery import Delivery
from seatrial_runner.runner.settings import ENV_OUTCOME_FILE, Settings


class Reporter:
    """
    The plugin of the process that sees all reports: with xdist, the controller.

    At the end it writes what came of the session to the file named by SEATRIAL_OUTCOME_FILE:
    ``{"collected", "cases", "lost", "message"}``.
    """

    def __init__(self, settings: Settings, api: ConductorApi) -> None:
        self._settings = settings
        self._gathering = Gathering(settings.attempt)
        self._collected = 0
        self._message = ""
        self._cases: list[dict[str, Any]] = []
        self._delivery = Delivery(
            api,
            test_path(settings.test, "results"),
            lambda cases: envelope(settings.shard, settings.attempt, cases),
            max_batch=MAX_BATCH,
            patience_s=PATIENCE_S,
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the tests."""
        self._collected = max(self._collected, len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Count the tests: every worker collects all of them."""
        self._collected = max(self._collected, len(ids))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Report a file that cannot be collected."""
        if report.failed:
            self._put(collection_case(report, self._settings.attempt, clock.now()))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Report a test when its last phase has ended."""
        if str(report.outcome) == "rerun":  # of pytest-rerunfailures; another report follows
            return
        case = self._gathering.add(report)
        if case is not None:
            self._put(case)

    def _put(self, case: dict[str, Any]) -> None:
        self._cases.append(case)
        self._delivery.put(case)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Deliver what is left; if that fails, the exit status says so."""
        lost = self._delivery.close()
        messages = []
        if unfinished := self._gathering.unfinished():
            messages.append(f"{len(unfinished)} tests did not end, such as {unfinished[0]}")
        if lost:
            messages.append(f"{lost} results could not be handed in: {self._delivery.problem}")
            session.exitstatus = exit_status.NOT_REPORTED
        self._message = "; ".join(messages)
        self._write_outcome(lost)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was lost."""
        if self._message:
            terminalreporter.write_line(f"seatrial: {self._message}", red=True)

    def _write_outcome(self, lost: int) -> None:
        if path := os.environ.get(ENV_OUTCOME_FILE):
            outcome = {
                "collected": self._collected,
                "cases": self._cases,
                "lost": lost,
                "message": self._message,
            }
            Path(path).write_text(json.dumps(outcome), encoding="utf-8")
