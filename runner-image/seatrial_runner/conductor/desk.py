"""Where test pods wait for their turn and hand in their results."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from seatrial.api.duration import format_duration

from seatrial_runner.clock import parse
from seatrial_runner.conductor.cases import TooManyCasesError, read_case
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.httpserver import ProblemError

Json = dict[str, Any]

MAX_JUNIT_BYTES = 5 * 1024 * 1024
MAX_JUNIT_FILES = 200
MAX_TEST_JUNIT_BYTES = 32 * 1024 * 1024
MAX_ALL_JUNIT_BYTES = 64 * 1024 * 1024  # of all tests: they are held in memory
LONGEST_POLL_S = 30.0
_AHEAD = timedelta(seconds=1)  # from which on clocks are told to differ
# That a sidecar is kept while what it has handed in is written: less than its pod's grace period.
_LONGEST_TAKING_S = 8.0


@dataclass(frozen=True)
class Ended:
    """What a shard said at the end of an attempt."""

    attempt: int
    exit_code: int
    collected: int
    message: str


@dataclass
class Turn:
    """The turn of one test that has pods."""

    test: str
    shards: int
    retries: int
    attempt: int = 1
    is_open: bool = False
    cancelled: bool = False
    waiting: set[int] = field(default_factory=set)  # shards that have come to the gate
    ended: dict[int, Ended] = field(default_factory=dict)  # by shard; only when no retry follows
    answers: dict[tuple[int, int], Json] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # JUnit XML by file name
    collected: bool = False  # all of them are here, but for those that are missing
    missing: str = ""  # what could not be handed in, and why
    taken: int = 0  # attempts of a container test whose results have been taken in
    present: str = ""  # UID of the pod of a container test
    past: set[str] = field(default_factory=set)  # UIDs of the pods of its earlier attempts
    exit_code: int = 0  # of a container test
    is_ahead: bool = False  # the clock of one of its pods, and this has been said
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, attempt: int) -> None:
        """Make ready for another attempt in another pod."""
        self.attempt = attempt
        self.past.add(self.present)
        self.waiting.clear()
        self.ended.clear()
        self.files.clear()
        self.collected, self.missing = False, ""

    def notify(self) -> None:
        """Wake everyone who waits for this turn."""
        self.changed.set()
        self.changed = asyncio.Event()


class Desk:
    """The turns of all tests that have pods, and what their pods may ask."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._turns = {
            test["name"]: Turn(
                test=test["name"],
                shards=int((test.get("pytest") or {}).get("parallelism", 1)),
                retries=int(test.get("retries", 0)),
            )
            for test in stage.run["tests"]
            if "scenario" not in test
        }

    def turn(self, test: str) -> Turn:
        """
        Give the turn of a test.

        Raises:
            ProblemError: There is no such test, or it has no pods.
        """
        if test not in self._turns:
            raise ProblemError(404, f"there is no test {test[:60]!r} with pods in this run")
        return self._turns[test]

    def cancel_all(self) -> None:
        """Tell every pod that waits that its turn will never come."""
        for turn in self._turns.values():
            turn.cancelled = True
            turn.notify()

    async def gate(self, test: str, shard: int, wait_s: float) -> Json:
        """Answer a pod that asks whether it may begin; wait for that a while."""
        turn = self._known_shard(test, shard)
        turn.waiting.add(shard)
        turn.notify()
        try:
            async with asyncio.timeout(min(max(wait_s, 0.0), LONGEST_POLL_S)):
                while not (turn.is_open or turn.cancelled):
                    await turn.changed.wait()
        except TimeoutError:
            pass
        if turn.cancelled:
            return {"open": False, "cancelled": True}
        return {"open": True, "attempt": turn.attempt} if turn.is_open else {"open": False}

    def results(self, test: str, body: Json) -> Json:
        """Take results in."""
        turn, shard, attempt = self._sender(test, body)
        cases = body.get("cases")
        if not isinstance(cases, list):
            raise ProblemError(400, "cases must be a list")
        try:
            read = [read_case(case) for case in cases]
            self._see_clock(turn, max((each["finishedAt"] for each in read), default=""))
            new = self._stage.record_all(turn.test, read, shard=shard, attempt=attempt)
        except (ValueError, TooManyCasesError) as error:
            raise ProblemError(400, str(error)) from None
        return {"accepted": len(cases), "new": new}

    def _see_clock(self, turn: Turn, ended: str) -> None:
        """Say, once, that a case has ended by its pod's clock later than it came to us."""
        if turn.is_ahead or not ended or (ahead := parse(ended) - self._stage.now()) < _AHEAD:
            return
        turn.is_ahead = True
        self._stage.lost(
            f"The clock of a pod of test {turn.test} is {format_duration(ahead)} ahead of the"
            " conductor's, so its failures may not name the faults that they fell into: have the"
            " nodes' clocks agree."
        )

    async def finished(self, test: str, body: Json) -> Json:
        """
        Take the end of a shard's attempt in, and say whether it shall try again.

        Answered once it is in the journal: the pod ends with the answer and can't be asked again.
        """
        turn, shard, attempt = self._sender(test, body)
        known = turn.answers.get((shard, attempt))
        ended = Ended(
            attempt=attempt,
            exit_code=_number(body, "exitCode", 0),
            collected=_number(body, "collected", 0),
            message=str(body.get("message") or "")[:1024],
        )
        if known is not None and not known.get("resend"):
            return known
        answer = self._answer(turn, shard, ended, asked_before=known is not None)
        turn.answers[shard, attempt] = answer
        await self._stage.journal.written()
        return answer

    def _answer(self, turn: Turn, shard: int, ended: Ended, *, asked_before: bool) -> Json:
        cases = self._stage.cases_of(turn.test)
        missing = cases.known(shard=shard, attempt=ended.attempt) < ended.collected
        # Results that an earlier conductor had not written yet when it ended; the runner has them.
        if missing and not asked_before:
            return {"retry": False, "resend": True}
        if ended.attempt <= turn.retries and cases.failed_in(shard=shard):
            turn.attempt = max(turn.attempt, ended.attempt + 1)
            turn.notify()
            return {"retry": True, "attempt": ended.attempt + 1}
        turn.ended[shard] = ended
        self._stage.journal.note(
            "shard.finished",
            test=turn.test,
            shard=shard,
            attempt=ended.attempt,
            exitCode=ended.exit_code,
            collected=ended.collected,
            message=ended.message,
        )
        turn.notify()
        return {"retry": False}

    def resume(self) -> None:
        """Take over what shards have told an earlier conductor."""
        for entry in self._stage.journal.entries:
            if entry["kind"] == "shard.finished" and entry["test"] in self._turns:
                turn = self._turns[entry["test"]]
                turn.ended[entry["shard"]] = Ended(
                    entry["attempt"], entry["exitCode"], entry["collected"], entry["message"]
                )
                turn.answers[entry["shard"], entry["attempt"]] = {"retry": False}

    def junit(self, test: str, file: str, body: bytes) -> Json:
        """Keep a JUnit XML file; one that is sent again replaces the first."""
        turn = self.turn(test)
        if len(body) > MAX_JUNIT_BYTES:
            raise ProblemError(400, f"a JUnit file may have {_mib(MAX_JUNIT_BYTES)}")
        if not file:
            raise ProblemError(400, "give the file's name: ?file=NAME")
        if file not in turn.files and len(turn.files) >= MAX_JUNIT_FILES:
            raise ProblemError(400, f"a test may leave {MAX_JUNIT_FILES} JUnit files")
        replaced = len(turn.files.get(file[:256], ""))
        mine = sum(map(len, turn.files.values())) - replaced + len(body)
        if mine > MAX_TEST_JUNIT_BYTES:
            limit = _mib(MAX_TEST_JUNIT_BYTES)
            raise ProblemError(400, f"the JUnit files of a test may have {limit} in all")
        held = sum(len(text) for each in self._turns.values() for text in each.files.values())
        if held - replaced + len(body) > MAX_ALL_JUNIT_BYTES:
            limit = _mib(MAX_ALL_JUNIT_BYTES)
            raise ProblemError(400, f"the JUnit files of a run may have {limit} in all")
        turn.files[file[:256]] = body.decode("utf-8", "replace")
        turn.notify()
        return {"bytes": len(body)}

    async def collected(self, test: str, body: Json) -> Json:
        """
        Hear from a sidecar that it has handed in everything; ask for it again if it is not here.

        Answered once what the files say is in the journal: until then the sidecar has them still,
        for a conductor that comes after this one.
        """
        turn = self.turn(test)
        state = self._stage.test(test)
        if state is None or state["outcome"] in ("Pending", "Running"):
            if len(turn.files) < _number(body, "files", 0):
                return {"resend": True}
            attempt = turn.attempt
            turn.collected, turn.missing = True, str(body.get("missing") or "")[:1024]
            turn.notify()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_TAKING_S):
                    while turn.taken < attempt and not turn.cancelled:
                        await turn.changed.wait()
        await self._stage.journal.written()
        return {"resend": False}

    def _sender(self, test: str, body: Json) -> tuple[Turn, int, int]:
        shard, attempt = _number(body, "shard", 0), _number(body, "attempt", 1)
        turn = self._known_shard(test, shard)
        if turn.cancelled:
            raise ProblemError(409, f"test {test} is over; its results are no longer taken")
        return turn, shard, attempt

    def _known_shard(self, test: str, shard: int) -> Turn:
        turn = self.turn(test)
        if not 0 <= shard < turn.shards:
            raise ProblemError(400, f"test {test} has the shards 0 to {turn.shards - 1}")
        return turn


def _mib(size: int) -> str:
    return f"{size // 2**20} MiB"


def _number(body: Json, name: str, default: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProblemError(400, f"{name} must be a whole number")
    return value
