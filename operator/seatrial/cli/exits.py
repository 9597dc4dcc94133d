"""
How a command ends: exit statuses, and the error that ends it with one line.

A verdict has a status of its own. Everything else follows ``sysexits.h``, so that a script can tell
"the system under test is bad" from "the test could not be started".
"""

from __future__ import annotations

from enum import IntEnum

from seatrial.api.errors import SeatrialError
from seatrial.api.verdict import Verdict


class Exit(IntEnum):
    """Exit statuses; ``meaning`` is what the reference says of each."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Exit:
        """Make a member that equals its number and carries its explanation."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    PASSED = 0, "verdict Passed; of other commands: done"
    FAILED = 1, "verdict Failed"
    ERROR = 2, "verdict Error"
    INCONCLUSIVE = 3, "verdict Inconclusive"
    ABORTED = 4, "verdict Aborted"
    USAGE = 64, "the command line is wrong"
    REFUSED = 65, "the file or the run was refused; nothing was started"
    NOT_FOUND = 66, "the file, the run, or what was asked of it, is not there"
    UNAVAILABLE = 69, "the cluster cannot be reached, or does not let you in"
    INTERNAL = 70, "a defect in Seatrial"
    TIMED_OUT = 75, "--wait-timeout is over; the run goes on"
    FORBIDDEN = 77, "you lack a right in the cluster"
    INTERRUPTED = 130, "left by Ctrl-C; of run, by a second Ctrl-C or SIGTERM: the first aborts it"


OF_VERDICT = {
    Verdict.PASSED: Exit.PASSED,
    Verdict.FAILED: Exit.FAILED,
    Verdict.ERROR: Exit.ERROR,
    Verdict.INCONCLUSIVE: Exit.INCONCLUSIVE,
    Verdict.ABORTED: Exit.ABORTED,
}


class CommandError(SeatrialError):
    """A command cannot go on; the message is one line that says what to do next."""

    def __init__(self, message: str, status: Exit) -> None:
        self.status = status
        super().__init__(message)
