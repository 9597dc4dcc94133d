"""The cases of one test, by attempt, and what they come to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from seatrial.api.journal import CaseDoc, TestState

from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.record_reading import read_record

Case = dict[str, Any]  # the Case of the conductor's interface, see the architecture page

MAX_FAILURES = 20
MAX_MESSAGE = 1024
MAX_DETAILS = 16 * 1024
MAX_CASES = 20_000
MAX_RESULTS = 3 * MAX_CASES  # of all attempts
MAX_RESULTS_OF_A_CASE = 100  # each is compared with all others
MAX_ALL_DETAILS = 8 * 1024 * 1024
MAX_ALL_WORDS = 16 * 1024 * 1024  # messages, files and properties
OUTCOMES = ("passed", "failed", "error", "skipped")
_LEFT_OUT = "[... left out: this test's failures have more details than are kept ...]"
_SHORT = 128
_BAD = ("failed", "error")


class TooManyCasesError(ValueError):
    """A test has more cases than are kept."""


@dataclass
class Cases:
    """
    The results of one test.

    Idempotent by (shard, attempt of the test, case, attempt of the case): a result that is sent
    again changes nothing. The counts are kept up to date with each result, because a suite may have
    thousands of cases and asks for them after each.
    """

    _results: dict[str, dict[tuple[int, int, int], Case]] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _bad: dict[str, None] = field(default_factory=dict)  # ids, in order of their first bad result
    _flaky: dict[str, None] = field(default_factory=dict)  # likewise, of those that passed then
    _count: int = 0  # results
    _details_left: int = MAX_ALL_DETAILS
    _words_left: int = MAX_ALL_WORDS

    def add(self, case: Case, *, shard: int = 0, attempt: int = 1) -> bool:
        """
        Take a result in; False if it was known.

        Raises:
            TooManyCasesError: The test has 20,000 cases already, or the case 100 results.
        """
        results = self._results.get(case["id"], {})
        if not results and len(self._results) >= MAX_CASES:
            raise TooManyCasesError(
                f"a test may have {MAX_CASES} cases: split it into several tests"
            )
        key = (attempt, int(case.get("attempt", 1)), shard)
        if key in results:
            return False
        if len(results) >= MAX_RESULTS_OF_A_CASE or self._count >= MAX_RESULTS:
            raise TooManyCasesError(
                f"a case may have {MAX_RESULTS_OF_A_CASE} results, of all attempts, and a test"
                f" {MAX_RESULTS}: repeat it less often (retries), or split the test"
            )
        self._count += 1
        self._counts.subtract(self._words(case["id"]))
        self._results.setdefault(case["id"], results)[key] = self._slimmed(case)
        words = self._words(case["id"])
        self._counts.update(words)
        if "failed" in words:
            self._bad.setdefault(case["id"])
        else:
            self._bad.pop(case["id"], None)
        if "flaky" in words:
            self._flaky.setdefault(case["id"])
        else:
            self._flaky.pop(case["id"], None)
        return True

    def _words(self, case_id: str) -> list[str]:
        """Give the counts that a case adds to."""
        results = self._results.get(case_id)
        if not results:
            return []
        outcome = results[max(results)]["outcome"]
        words = ["failed" if outcome in _BAD else outcome]
        return [*words, "flaky"] if self.is_flaky(case_id) else words

    def _slimmed(self, case: Case) -> Case:
        """Leave out what is long when all the room there is for it is taken."""
        size = len(case.get("details", ""))
        if size <= self._details_left:
            self._details_left -= size
        else:
            case = {**case, "details": _LEFT_OUT}
        properties = case.get("properties") or {}
        words = [case.get("message", ""), case.get("file", ""), *properties, *properties.values()]
        if (size := sum(map(len, words))) <= self._words_left:
            self._words_left -= size
            return case
        kept = {name: text for name, text in properties.items() if name == "flaky"}
        message = clipped(case.get("message", ""), _SHORT)
        return {**case, "message": message, "file": "", "properties": kept}

    def __len__(self) -> int:
        return len(self._results)

    def known(self, *, shard: int, attempt: int) -> int:
        """Count the cases that have a result of this shard and attempt."""
        return sum(
            any(key[0] == attempt and key[2] == shard for key in results)
            for results in self._results.values()
        )

    def failed_in(self, *, shard: int) -> list[str]:
        """Give the cases of a shard whose last result is bad."""
        return [
            case_id
            for case_id, results in self._results.items()
            if max(results)[2] == shard and results[max(results)]["outcome"] in _BAD
        ]

    def last(self) -> list[Case]:
        """Give the last result of each case, in order of their first."""
        return [results[max(results)] for results in self._results.values()]

    def attempts(self, case_id: str) -> list[Case]:
        """Give every result of a case, oldest first."""
        results = self._results.get(case_id, {})
        return [results[key] for key in sorted(results)]

    def is_flaky(self, case_id: str) -> bool:
        """Tell whether a case passed after a failure of its own; an interruption is none."""
        *before, last = self.attempts(case_id)
        if last["outcome"] != "passed":
            return False
        return last.get("properties", {}).get("flaky") == "true" or any(
            each["outcome"] in _BAD for each in before
        )

    def write_to(self, state: TestState, during: Callable[[str, str], list[str]]) -> None:
        """
        Put counts and failures into a test's state.

        Args:
            state: Changed in place, all but its outcome and its message.
            during: Gives the faults whose window overlaps a case's (startedAt, finishedAt).
        """
        state["passed"] = self._counts["passed"]
        state["failed"] = self._counts["failed"]
        state["skipped"] = self._counts["skipped"]
        state["flaky"] = self._counts["flaky"]
        bad = [self.attempts(case_id)[-1] for case_id in islice(self._bad, MAX_FAILURES)]
        state["failures"] = [_failure(case, during) for case in bad]
        before = [
            fault
            for case_id in islice(self._flaky, MAX_FAILURES)
            for case in self.attempts(case_id)
            if case["outcome"] in _BAD
            for fault in during(case["startedAt"], case["finishedAt"])
        ]
        if before:
            state["flakyDuring"] = list(dict.fromkeys(before))
        else:
            state.pop("flakyDuring", None)

    def outcome(self) -> str:
        """Give what the test came to by its cases alone: Passed, Failed, Error or Skipped."""
        outcomes = {case["outcome"] for case in self.last()}
        for outcome, word in (("failed", "Failed"), ("error", "Error"), ("passed", "Passed")):
            if outcome in outcomes:
                return word
        return "Skipped"

    def first_message(self) -> str:
        """Give the message of the first bad case, with its name."""
        for case_id in self._bad:
            message = self.attempts(case_id)[-1].get("message", "")
            return clipped(f"{case_id}: {message}", MAX_MESSAGE)
        return ""


def _failure(case: Case, during: Callable[[str, str], list[str]]) -> CaseDoc:
    return {
        "name": clipped(case["id"], 256),
        "outcome": case["outcome"],
        "message": clipped(case.get("message", ""), MAX_MESSAGE),
        "startedAt": case["startedAt"],
        "finishedAt": case["finishedAt"],
        "duringFaults": during(case["startedAt"], case["finishedAt"]),
    }


def clipped(text: str, characters: int) -> str:
    """Give at most that many characters; a cut is visible."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def read_case(value: object) -> Case:
    """
    Check a Case that came over the network.

    Raises:
        ValueError: It is none; the message names the field.
    """
    if not isinstance(value, dict):
        raise ValueError("a case must be an object")
    for name in ("id", "outcome", "startedAt", "finishedAt"):
        if not isinstance(value.get(name), str) or not value[name]:
            raise ValueError(f"case.{name} must be a text")
    moments = {}
    for name in ("startedAt", "finishedAt"):
        try:
            moments[name] = rfc3339(parse(value[name]))
        except ValueError:
            raise ValueError(f"case.{name} must be a moment as in RFC 3339") from None
    if value["outcome"] not in OUTCOMES:
        raise ValueError(f"case.outcome must be one of: {', '.join(OUTCOMES)}")
    properties = value.get("properties") or {}
    if not isinstance(properties, dict):
        raise ValueError("case.properties must be an object")
    record = value.get("messages")
    return {
        "id": clipped(value["id"], 1024),
        "outcome": value["outcome"],
        "attempt": _whole(value.get("attempt", 1), "case.attempt"),
        **moments,
        "message": clipped(str(value.get("message") or ""), MAX_MESSAGE),
        "details": clipped(str(value.get("details") or ""), MAX_DETAILS),
        "file": clipped(str(value.get("file") or ""), 1024),
        "line": _whole(value.get("line") or 0, "case.line"),
        "requests": _whole(value.get("requests") or 0, "case.requests"),
        "properties": {
            str(key)[:64]: clipped(str(text), 1024) for key, text in list(properties.items())[:32]
        },
        **({} if record is None else {"messages": read_record(record)}),
    }


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more")
    return value
