"""From pytest's reports to the Cases of the conductor's interface."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from seatrial_runner.clock import rfc3339

if TYPE_CHECKING:
    import pytest

MAX_DETAILS_BYTES = 16 * 1024
MAX_BATCH = 20  # cases in one request, each with its messages
MAX_OUTPUT = 4096  # characters of each captured section
MAX_MESSAGE = 500
PHASES = ("setup", "call", "teardown")
# Attributes that ``plugin`` sets on reports; xdist carries them to the controller.
REQUESTS = "seatrial_requests"
FLAKY = "seatrial_flaky"
MESSAGES = "seatrial_messages"


def envelope(shard: int, attempt: int, cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the body of POST /v1/tests/NAME/results."""
    return {"shard": shard, "attempt": attempt, "cases": cases}


class Gathering:
    """Collects the reports of each test's phases, and gives its Case with the last one."""

    def __init__(self, attempt: int) -> None:
        self._attempt = attempt
        self._reports: dict[str, list[pytest.TestReport]] = {}

    def add(self, report: pytest.TestReport) -> dict[str, Any] | None:
        """Take one report; give a Case when the test has ended."""
        reports = self._reports.setdefault(report.nodeid, [])
        reports.append(report)
        # "???" is how xdist reports a test whose worker died.
        if report.when == "teardown" or report.when not in PHASES:
            return _case(self._reports.pop(report.nodeid), self._attempt)
        return None

    def unfinished(self) -> list[str]:
        """Give the tests whose end was not seen."""
        return sorted(self._reports)


def collection_case(report: pytest.CollectReport, attempt: int, now: datetime) -> dict[str, Any]:
    """Make a Case of a file that could not be collected."""
    details = report.longreprtext
    lines = [line.strip() for line in details.splitlines() if line.strip()]
    errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    return {
        "id": report.nodeid or "collection",
        "outcome": "error",
        "attempt": attempt,
        "startedAt": rfc3339(now),
        "finishedAt": rfc3339(now),
        "message": f"not collected: {(errors or lines or ['no reason given'])[0]}"[:MAX_MESSAGE],
        "details": _bounded(details),
        "file": report.nodeid.partition("::")[0],
        "line": 0,
        "requests": 0,
        "properties": {},
    }


def _case(reports: list[pytest.TestReport], attempt: int) -> dict[str, Any]:
    outcome, decisive = _outcome(reports)
    file, line, _ = decisive.location
    properties = {str(name): str(value) for name, value in decisive.user_properties}
    if any(getattr(report, FLAKY, False) for report in reports) and outcome == "passed":
        properties["flaky"] = "true"
    return {
        "id": decisive.nodeid,
        "outcome": outcome,
        "attempt": attempt,
        "startedAt": _moment(min(report.start for report in reports)),
        "finishedAt": _moment(max(report.stop for report in reports)),
        "message": "" if outcome == "passed" else _message(decisive),
        "details": _details(decisive) if outcome in ("failed", "error") else "",
        "file": file,
        "line": (line or 0) + 1,
        "requests": sum(getattr(report, REQUESTS, 0) for report in reports),
        "properties": properties,
        "messages": next((m for report in reports if (m := getattr(report, MESSAGES, None))), None),
    }


def _outcome(reports: list[pytest.TestReport]) -> tuple[str, pytest.TestReport]:
    """Give the outcome and the report that decides it."""
    for report in reports:
        if report.failed:
            return ("error" if report.when in ("setup", "teardown") else "failed"), report
    for report in reports:
        if report.skipped:
            return "skipped", report
    return "passed", reports[-1]


def _message(report: pytest.TestReport) -> str:
    if report.skipped:
        if hasattr(report, "wasxfail"):
            return f"expected to fail: {report.wasxfail}".rstrip(": ")[:MAX_MESSAGE]
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        return _first_line(str(reason).removeprefix("Skipped: "))
    crash = getattr(report.longrepr, "reprcrash", None)
    text = _first_line(crash.message if crash else report.longreprtext)
    return f"in {report.when}: {text}" if report.when in ("setup", "teardown") else text


def _details(report: pytest.TestReport) -> str:
    output = [
        f"{title}:\n{text[-MAX_OUTPUT:]}"
        for title, text in report.sections
        if text.strip() and title.startswith("Captured")
    ]
    return _bounded("\n\n".join([report.longreprtext, *output]))


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= MAX_MESSAGE else f"{line[: MAX_MESSAGE - 1]}…"


def _bounded(text: str) -> str:
    from seatrial_runner.scenario.transcript import bounded

    return bounded(text, MAX_DETAILS_BYTES)


def _moment(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC))
