"""What every part of a conductor shares: the run, its namespace as seen, and the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from seatrial.api.journal import ControlDoc, FinishedDoc, RunDoc, ServiceDoc, TestState

from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.cases import Case, Cases, clipped
from seatrial_runner.conductor.checked import Checked
from seatrial_runner.conductor.passwords import masked
from seatrial_runner.conductor.recorded import Recorded
from seatrial_runner.conductor.seen import Seen
from seatrial_runner.conductor.windows import Windows
from seatrial_runner.journal import Journal

if TYPE_CHECKING:
    from seatrial_runner.conductor.probing import Probing
    from seatrial_runner.scenario.world import WebhookPlace


class Control:
    """What the user asked of the running run."""

    def __init__(self, doc: ControlDoc) -> None:
        self._changed = asyncio.Event()
        self.doc = doc

    def update(self, doc: ControlDoc) -> None:
        """Take a new ``control.json`` in; an abort is never taken back."""
        if self.doc["abort"]:
            return
        self.doc = doc
        self._changed.set()

    async def wait_until_aborted(self) -> str:
        """Return when an abort was asked for, with its reason."""
        await self._wait_for(lambda: self.doc["abort"])
        return self.doc.get("abortReason") or "The run was aborted."

    async def wait_until_not_suspended(self) -> None:
        """Return at once, or when the suspension ends."""
        await self._wait_for(lambda: not self.doc["suspend"])

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


@dataclass
class Stage:
    """Where a run plays. One for each conductor process."""

    run: RunDoc
    api: ApiServer
    seen: Seen
    journal: Journal
    control: Control
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    windows: Windows = field(default_factory=Windows)
    cases: dict[str, Cases] = field(default_factory=dict)
    recorded: Recorded = field(default_factory=Recorded)
    running: set[str] = field(default_factory=set)  # names of tests
    # What was seen where clients could not reach a service that was ready, by its name.
    unreached: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # UIDs of pods that faults have evicted
    checked: Checked = field(default_factory=Checked)
    # Why the tests end before their time; what is still running says so.
    ending: FinishedDoc | None = None
    probing: Probing | None = None  # None: no probes are declared
    webhooks: WebhookPlace | None = None  # None: no scenario has one

    @property
    def namespace(self) -> str:
        """The run's own namespace."""
        return self.run["environment"]

    def at(self) -> str:
        """Give the present moment as the journal writes it."""
        return rfc3339(self.now())

    def service(self, name: str) -> ServiceDoc | None:
        """Give a service of the run."""
        return next((each for each in self.run["services"] if each["name"] == name), None)

    def test(self, name: str) -> TestState | None:
        """Give the state of a test, to be changed in place."""
        return next((each for each in self.journal.summary["tests"] if each["name"] == name), None)

    def cases_of(self, test: str) -> Cases:
        """Give the results of a test."""
        return self.cases.setdefault(test, Cases())

    def lost(self, sentence: str) -> None:
        """Say what evidence is missing, because something of ours has ended."""
        self.journal.summary["lostEvidence"].append(sentence)
        self.journal.note("evidence.lost", message=sentence)

    def record(self, test: str, case: Case, *, shard: int = 0, attempt: int = 1) -> bool:
        """Take a result in, note it, and bring the counts up to date; False if it was known."""
        return bool(self.record_all(test, [case], shard=shard, attempt=attempt))

    def record_all(
        self, test: str, cases: Iterable[Case], *, shard: int = 0, attempt: int = 1
    ) -> int:
        """
        Take results in as ``record`` does, and give how many were not known.

        Counted once, in the end: to count is to go through all cases of the test.

        Raises:
            TooManyCasesError: There is no more room; those before are taken in.
        """
        new = 0
        try:
            for given in cases:
                case = _without_passwords(given)
                record = case.pop("messages", None)
                if self.cases_of(test).add(case, shard=shard, attempt=attempt):
                    recorded = record["total"] if record is not None else 0
                    self._note_case(test, {**case, "recorded": recorded}, shard, attempt)
                    new += 1
                    if record is not None:
                        self.recorded.keep(test, case["id"], attempt, record)
        finally:
            if new:
                self.count(test)
        return new

    def _note_case(self, test: str, case: Case, shard: int, attempt: int) -> None:
        fields: dict[str, Any] = {key: value for key, value in case.items() if value}
        fields["case"] = fields.pop("id")
        fields["caseAttempt"] = fields.pop("attempt", 1)
        self.journal.note("case.finished", test=test, shard=shard, attempt=attempt, **fields)

    def count(self, test: str) -> None:
        """Bring a test's counts, and those of the run, up to date."""
        state = self.test(test)
        if state is None:
            return
        self.cases_of(test).write_to(state, self.windows.during)
        tests = self.journal.summary["tests"]
        summary = {
            "passed": sum(each["passed"] for each in tests),
            "failed": sum(each["failed"] for each in tests),
            "flaky": sum(each["flaky"] for each in tests),
            "skipped": sum(each["skipped"] for each in tests),
        }
        known = summary["passed"] + summary["failed"] + summary["skipped"]
        self.journal.summary["summary"] = {"tests": known, **summary}
        self.journal.changed()

    def finish_test(self, test: TestState, outcome: Any, message: str, *, lost: bool) -> None:
        """Write the end of a test."""
        self.count(test["name"])
        test["outcome"] = outcome
        test["message"] = clipped(message, 1024)
        test["lost"] = lost
        test["finishedAt"] = self.at()
        self.journal.note(
            "test.finished",
            test=test["name"],
            outcome=outcome,
            message=test["message"],
            lost=lost,
        )


def _without_passwords(case: Case) -> Case:
    """Mask what a test's failure may show: the URL that it connected to."""
    return {**case, "message": masked(case["message"]), "details": masked(case["details"])}
