"""JUnit XML that a container test left: read into cases."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.cases import MAX_CASES, MAX_DETAILS, MAX_MESSAGE, Case, clipped

if TYPE_CHECKING:
    import junitparser

# What XML 1.0 forbids: tools write their terminals' colours and other control characters anyway.
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_FORBIDDEN_REFERENCE = re.compile(
    r"&#(?:x0*(?:[0-8bcef]|1[0-9a-f])|0*(?:[0-8]|1[124-9]|2\d|3[01]));", re.I
)
_LONGEST_S = 7 * 24 * 3600.0  # no run is that long; an infinity, or no number, is no time at all
_MAX_PROBLEM = 512
_MAX_ELEMENTS = 400_000  # their beginnings and ends; a case has a dozen
_TESTCASE = re.compile(r"<testcase\b")
_DOCTYPE = re.compile(r"<!DOCTYPE|<!ENTITY", re.I)


class MalformedError(ValueError):
    """The file is no JUnit XML; the message says where."""


def xml_text(text: str) -> str:
    """Give the text without what XML 1.0 cannot hold."""
    return _FORBIDDEN.sub("", _ANSI.sub("", text))


def read_junit(name: str, text: str, *, ended: datetime) -> list[Case]:
    """
    Read the cases of a file.

    Args:
        name: Of the file, for messages.
        text: Its content; control characters are left out.
        ended: When the test ended. JUnit XML gives durations, not moments.

    Raises:
        MalformedError: It is no JUnit XML, declares entities, or holds more than is read.
    """
    import junitparser

    clean = _FORBIDDEN_REFERENCE.sub("", xml_text(text))
    # NB: of the cleaned text: a control character inside of the word would hide it here.
    if _DOCTYPE.search(clean):
        raise MalformedError(f"{name}: declares a DOCTYPE or entities, which are not read")
    # Before they are made: a hundred thousand take a second, in which nothing else goes on.
    if len(_TESTCASE.findall(clean)) > MAX_CASES:
        raise MalformedError(
            f"{name}: has more than {MAX_CASES} cases: split the test into several"
        )
    if clean.count("<") > _MAX_ELEMENTS:
        text = f"has more than {_MAX_ELEMENTS} elements: leave out what is no test case"
        raise MalformedError(f"{name}: {text}")
    try:
        root = junitparser.JUnitXml.fromstring(clean.encode())
        suites = [root] if isinstance(root, junitparser.TestSuite) else list(root)
        return [_case(each, ended) for suite in suites for each in _cases(suite)]
    except MemoryError as error:
        text = "the conductor's memory is not enough for it: make it smaller"
        raise MalformedError(f"{name}: {text}") from error
    # junitparser lets its parser's errors through, whichever it has, and reads values late.
    except Exception as error:
        raise MalformedError(f"{name}: is no JUnit XML: {error}"[:_MAX_PROBLEM]) from error


def _cases(suite: Any) -> list[Any]:
    """Give the cases of a suite and of the suites in it."""
    return [*suite, *(case for inner in suite.testsuites() for case in _cases(inner))]


def _case(case: junitparser.TestCase, ended: datetime) -> Case:
    outcome, result = _outcome(case)
    seconds = float(case.time or 0)
    began = ended - timedelta(seconds=seconds) if 0 < seconds < _LONGEST_S else ended
    message = " ".join(str(getattr(result, "message", None) or "").split())
    details = str(getattr(result, "text", None) or "")
    if not message and details:
        message = details.strip().splitlines()[0] if details.strip() else ""
    return {
        "id": ".".join(part for part in (case.classname, case.name) if part) or "case",
        "outcome": outcome,
        "attempt": 1,
        "startedAt": rfc3339(began),
        "finishedAt": rfc3339(ended),
        "message": clipped(message, MAX_MESSAGE),
        "details": clipped(details, MAX_DETAILS),
        "requests": 0,
        "properties": {},
    }


def _outcome(case: junitparser.TestCase) -> tuple[str, Any]:
    import junitparser

    for kind, outcome in (
        (junitparser.Error, "error"),
        (junitparser.Failure, "failed"),
        (junitparser.Skipped, "skipped"),
    ):
        for result in case.result:
            if isinstance(result, kind):
                return outcome, result
    return "passed", None


def numbered(cases: list[Case]) -> list[Case]:
    """Give the cases with distinct ids: the second of a name gets ``#2``."""
    counts: dict[str, int] = {}
    result = []
    for case in cases:
        count = counts[case["id"]] = counts.get(case["id"], 0) + 1
        result.append(case if count == 1 else {**case, "id": f"{case['id']}#{count}"})
    return result
