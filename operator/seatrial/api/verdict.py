"""
Phases and verdicts, and how a run comes to its verdict. Plain: the pods use it too.

The table in ``docs/explanation/faults-and-verdict.md`` ("Exactly what each rule does") is the
authority; ``judge`` has a step for each group of its rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from seatrial.api.journal import CaseDoc, FailureDoc, SummaryDoc, TestState
from seatrial.api.proof import Proof, during, probe_failure, prove
from seatrial.api.reasons import Reason


class Phase(StrEnum):
    """Where a run is. For display and order only; what to do follows from what is observed."""

    QUEUED = "Queued"
    PROVISIONING = "Provisioning"
    RUNNING = "Running"
    COLLECTING = "Collecting"  # the verdict stands; logs and the report are being gathered
    CLEANING = "Cleaning"
    FINISHED = "Finished"


class Verdict(StrEnum):
    """What a run came to, from worst to best."""

    ABORTED = "Aborted"
    FAILED = "Failed"
    ERROR = "Error"
    INCONCLUSIVE = "Inconclusive"
    PASSED = "Passed"


MAX_MESSAGE = 2048  # characters, of status.message and of a condition
_MAX_LOGS = 600  # characters of a container's log in a message
_MAX_MISSING = 400  # characters of what is said of missing evidence
_WORST_FIRST = tuple(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Take the worst; of none, Inconclusive: a run in which nothing was measured is not Passed."""
    return min(verdicts, key=_WORST_FIRST.index, default=Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class Cause:
    """Why a run ended early, as the operator knows it."""

    reason: str
    message: str


@dataclass(frozen=True)
class Judgement:
    """What a run came to, why, and the proof of each fault."""

    verdict: Verdict
    reason: str
    message: str
    faults: tuple[Proof, ...] = ()

    @property
    def faults_proven(self) -> bool:
        """True if every declared fault is proven; also when there is none."""
        return all(proof.proven for proof in self.faults)


def judge(
    summary: SummaryDoc | None,
    *,
    tests: Sequence[str] = (),
    faults: Sequence[str] = (),
    probes: Sequence[str] = (),
    abort: Cause | None = None,
    error: Cause | None = None,
) -> Judgement:
    """
    Judge a run by the table of rules; the worst one that applies wins.

    Args:
        summary: What the conductor has written; None if there never was a conductor.
        tests: Names of all ``spec.tests``; one that the summary does not have is lost.
        faults: Names of all ``spec.faults``; one that the summary does not have is not proven.
        probes: Names of all ``spec.probes``; one that the summary does not have was never checked.
        abort: The run was to be aborted, or a newer run replaced it.
        error: What the operator knows of: a bad spec, an environment it could not create, a phase
            or the run out of time.

    Returns:
        The verdict. It is Passed only if the summary says finished, every test has results, at
        least one case was executed, every fault is proven, and every probe held where it must.
    """
    proofs = tuple(prove(summary, faults))
    findings = [
        *_aborted(summary, abort),  # rules 1
        *_failed_tests(summary),  # rules 2
        *_not_recovered(summary, proofs),  # rules 3
        *_failed_probes(summary),  # rules 3
        *_errors(summary, error),  # rules 4
        *_not_proven(proofs),  # rules 5
        *_not_measured(summary, tests, probes),  # rules 6
    ]
    if not findings:
        assert summary is not None  # without one, rule 6 applies
        message = _with_missing(_passed(summary, proofs), summary)
        return Judgement(Verdict.PASSED, Reason.ALL_PASSED, message, proofs)
    verdict = worst(finding.verdict for finding in findings)
    first = next(finding for finding in findings if finding.verdict is verdict)
    # Aborted and Error say why nothing was measured; what else is missing has no weight there.
    tells = verdict in (Verdict.FAILED, Verdict.INCONCLUSIVE)
    message = _with_missing(first.message, summary) if tells else first.message[:MAX_MESSAGE]
    return Judgement(verdict, first.reason, message, proofs)


def _with_missing(message: str, summary: SummaryDoc | None) -> str:
    """Add what evidence is missing: as much of it as there is room for, and how much more."""
    lost = list(dict.fromkeys(filter(None, summary["lostEvidence"]))) if summary else []
    if not lost:
        return message[:MAX_MESSAGE]
    told: list[str] = []
    for sentence in lost:
        if told and len(" ".join([*told, sentence])) > _MAX_MISSING:
            break
        told.append(sentence[:_MAX_MISSING])
    more = f" (and {len(lost) - len(told)} more)" if len(lost) > len(told) else ""
    missing = f". Missing evidence: {' '.join(told)}{more}"
    return message[: MAX_MESSAGE - len(missing)].removesuffix(".") + missing


@dataclass(frozen=True)
class _Finding:
    verdict: Verdict
    reason: str
    message: str


def _aborted(summary: SummaryDoc | None, abort: Cause | None) -> Iterator[_Finding]:
    if abort is not None:
        yield _Finding(Verdict.ABORTED, abort.reason, abort.message)
    finished = summary["finished"] if summary else None
    if finished and finished["reason"] == "Aborted":
        yield _Finding(Verdict.ABORTED, Reason.ABORT_REQUESTED, finished["message"])


def _failed_tests(summary: SummaryDoc | None) -> Iterator[_Finding]:
    if summary is None:
        return
    lost_at = summary["environmentLostAt"]
    if lost_at is None and _environment_broke(summary):
        return  # nobody can say what came before
    failed = [test for test in summary["tests"] if _failed_before(test, lost_at)]
    if failed:
        yield _Finding(Verdict.FAILED, Reason.TESTS_FAILED, _failures(failed, lost_at))


def _failed_before(test: TestState, lost_at: str | None) -> bool:
    """Tell whether the test has a failure that is older than the end of the environment."""
    if not test["failed"] and test["outcome"] != "Failed":
        return False
    if test["failures"]:
        return bool(_failed_cases(test, lost_at))
    return _before(test["finishedAt"], lost_at)


def _failed_cases(test: TestState, lost_at: str | None) -> list[CaseDoc]:
    return [
        case
        for case in test["failures"]
        if case["outcome"] in ("failed", "error") and _before(case["finishedAt"], lost_at)
    ]


def _before(moment: str | None, end: str | None) -> bool:
    if end is None:
        return True
    return moment is not None and datetime.fromisoformat(moment) < datetime.fromisoformat(end)


def _failures(tests: Sequence[TestState], lost_at: str | None) -> str:
    """Say how many cases failed, and the first of them with the faults it failed in."""
    cases = [(test, case) for test in tests for case in _failed_cases(test, lost_at)]
    count = len(cases)
    if lost_at is None:  # the list of failures is bounded, the counts are not
        count = max(count, sum(test["failed"] for test in tests))
    what = f"{count} test case{'s' if count != 1 else ''} failed" if count else "A test failed"
    if not cases:
        return _joined(what, tests[0]["name"], tests[0]["message"])
    test, case = cases[0]
    name = case["name"] if case["name"].startswith(test["name"]) else test["name"]
    text = _joined(name, "" if name == case["name"] else case["name"], case["message"])
    if len(cases) == count and all(each["duringFaults"] for _, each in cases):
        names = dict.fromkeys(fault for _, each in cases for fault in each["duringFaults"])
        return f"{what}, only {during(tuple(names))}: {text}"
    inside = f" ({during(case['duringFaults'])})" if case["duringFaults"] else ""
    return f"{what}: {text}{inside}"


def _joined(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


def _not_recovered(summary: SummaryDoc | None, proofs: Iterable[Proof]) -> Iterator[_Finding]:
    if summary is None or _environment_broke(summary):
        return  # whatever broke the environment also kept it from recovering
    for proof in proofs:
        if proof.reason is Reason.NOT_RECOVERED:
            yield _Finding(Verdict.FAILED, Reason.NOT_RECOVERED, proof.message)


def _failed_probes(summary: SummaryDoc | None) -> Iterator[_Finding]:
    if summary is None:
        return
    lost_at = summary["environmentLostAt"]
    if lost_at is None and _environment_broke(summary):
        return  # whatever broke the environment is why
    for probe in summary.get("probes") or []:
        if not _before(probe["firstFailure"], lost_at):
            continue
        if message := probe_failure(probe):
            yield _Finding(Verdict.FAILED, Reason.PROBE_FAILED, message)


def _environment_broke(summary: SummaryDoc) -> bool:
    finished = summary["finished"]
    return (
        summary["environmentLostAt"] is not None
        or summary["environmentFailure"] is not None
        or (finished is not None and finished["reason"] == "EnvironmentFailed")
    )


def _errors(summary: SummaryDoc | None, error: Cause | None) -> Iterator[_Finding]:
    if error is not None:
        yield _Finding(Verdict.ERROR, error.reason, error.message)
    if summary is None:
        return
    finished = summary["finished"]
    if failure := summary["environmentFailure"]:
        reason = failure["reason"] or Reason.ENVIRONMENT_FAILED
        yield _Finding(Verdict.ERROR, reason, failure["message"] + _last_log_lines(failure))
    if lost_at := summary["environmentLostAt"]:
        message = (
            finished["message"] if finished else ""
        ) or f"The environment broke at {lost_at}."
        yield _Finding(Verdict.ERROR, Reason.ENVIRONMENT_LOST, message)
    if finished and finished["reason"] not in ("Completed", "Aborted"):
        yield _Finding(Verdict.ERROR, finished["reason"], finished["message"])
    for test in summary["tests"]:
        # With a failed case it is rule 2, with results lost it is rule 6.
        if test["outcome"] == "Error" and not test["failed"] and not test["lost"]:
            message = _joined(f"Test {test['name']} could not run", test["message"])
            yield _Finding(Verdict.ERROR, Reason.TEST_COULD_NOT_RUN, message)


def _last_log_lines(failure: FailureDoc) -> str:
    """Give the end of what the container wrote, after a headline; empty if there is nothing."""
    logs = failure.get("logs", "").strip()
    # As much as the largest message of a condition leaves room for, beside the sentence itself.
    return f"\nLast log lines:\n{logs[-_MAX_LOGS:]}" if logs else ""


def _not_proven(proofs: Iterable[Proof]) -> Iterator[_Finding]:
    missing = [proof for proof in proofs if not proof.proven]
    if missing:
        message = missing[0].message
        if len(missing) > 1:
            message = f"{message.rstrip('.')}. And {len(missing) - 1} more not proven."
        yield _Finding(Verdict.INCONCLUSIVE, Reason.FAULTS_NOT_PROVEN, message)


def _not_measured(
    summary: SummaryDoc | None, tests: Sequence[str], probes: Sequence[str]
) -> Iterator[_Finding]:
    if summary is None:
        message = "Nothing was measured: the conductor never wrote its journal."
        yield _Finding(Verdict.INCONCLUSIVE, Reason.NOTHING_MEASURED, message)
        return
    if summary["finished"] is None:
        message = "Results were lost: the conductor never said that the tests have ended."
        yield _Finding(Verdict.INCONCLUSIVE, Reason.RESULTS_LOST, message)
    seen = {test["name"] for test in summary["tests"]}
    lost = [name for name in tests if name not in seen]
    lost += [test["name"] for test in summary["tests"] if _is_lost(test)]
    if lost:
        message = f"Results were lost: not all of {', '.join(lost[:5])} arrived."
        yield _Finding(Verdict.INCONCLUSIVE, Reason.RESULTS_LOST, message)
    if not any(test["passed"] or test["failed"] for test in summary["tests"]):
        message = "Nothing was measured: no test case was executed."
        yield _Finding(Verdict.INCONCLUSIVE, Reason.NOTHING_MEASURED, message)
    states = {probe["name"]: probe["checks"] for probe in summary.get("probes") or []}
    silent = [name for name in dict.fromkeys([*probes, *states]) if not states.get(name)]
    if silent:
        message = f"Nothing is known of the steady state: {', '.join(silent[:5])} made no check."
        yield _Finding(Verdict.INCONCLUSIVE, Reason.PROBE_NOT_CHECKED, message)


def _is_lost(test: TestState) -> bool:
    if test["lost"] or test["outcome"] not in ("Passed", "Failed", "Error", "Skipped"):
        return True
    return test["outcome"] == "Passed" and not (test["passed"] or test["skipped"])


def _passed(summary: SummaryDoc, proofs: Sequence[Proof]) -> str:
    passed = sum(test["passed"] for test in summary["tests"])
    flaky = sum(test["flaky"] for test in summary["tests"])
    skipped = sum(test["skipped"] for test in summary["tests"])
    text = f"{passed} test case{'s' if passed != 1 else ''} passed"
    text += f", {flaky} of them flaky" if flaky else ""
    names = dict.fromkeys(name for test in summary["tests"] for name in test.get("flakyDuring", ()))
    text += f" (failed {during(tuple(names))})" if names else ""
    text += f", {skipped} skipped" if skipped else ""
    if proofs:
        text += f"; {len(proofs)} fault{'s' if len(proofs) != 1 else ''} proven"
    if probes := summary.get("probes"):
        text += f"; {len(probes)} probe{'s' if len(probes) != 1 else ''} held"
    return f"{text}."
