"""The rows of the verdict table in docs/explanation/architecture.md, one by one."""

import pytest
from seatrial.api.reasons import Reason
from seatrial.api.verdict import Cause, Verdict, judge, worst

from tests.support.builders import (
    a_failed_case,
    a_fault_state,
    a_summary,
    a_test_state,
    at,
)

FAILED = a_test_state(failures=[a_failed_case()])
NODE_LOST = {"environmentLostAt": at(15), "finished": None}
PULL = {
    "reason": "ImagePullFailed",
    "message": "Service orders: image x:1 can't be pulled.",
    "service": "orders",
}


def ended(reason, message="why"):
    return {"at": at(60), "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("summary", "known", "verdict", "reason"),
    [
        pytest.param(
            a_summary(), {"abort": Cause(Reason.ABORT_REQUESTED, "stop")},
            Verdict.ABORTED, "AbortRequested", id="1-abort-asked-for",
        ),
        pytest.param(
            None, {"abort": Cause(Reason.REPLACED, "run b came")},
            Verdict.ABORTED, "Replaced", id="1-replaced-before-it-had-a-conductor",
        ),
        pytest.param(
            a_summary(tests=[FAILED], finished=ended("Aborted")), {},
            Verdict.ABORTED, "AbortRequested", id="1-abort-wins-over-a-failure",
        ),
        pytest.param(
            a_summary(tests=[FAILED]), {},
            Verdict.FAILED, "TestsFailed", id="2-a-case-failed",
        ),
        pytest.param(
            a_summary(tests=[FAILED], environmentLostAt=at(21)), {},
            Verdict.FAILED, "TestsFailed", id="2-failed-before-the-environment-broke",
        ),
        pytest.param(
            a_summary(tests=[FAILED], finished=ended("TimedOut")), {},
            Verdict.FAILED, "TestsFailed", id="2-failed-before-time-was-out",
        ),
        pytest.param(
            a_summary(tests=[a_test_state(outcome="Failed", passed=0)]), {},
            Verdict.FAILED, "TestsFailed", id="2-a-failed-test-without-cases",
        ),
        pytest.param(
            a_summary(faults=[a_fault_state(state="NotRecovered", recovered=None)]), {},
            Verdict.FAILED, "NotRecovered", id="3-not-recovered",
        ),
        pytest.param(
            None, {"error": Cause(Reason.INVALID_SPEC, "spec.tests[0]: no")},
            Verdict.ERROR, "InvalidSpec", id="4-bad-spec",
        ),
        pytest.param(
            a_summary(environmentFailure=PULL, tests=[], finished=ended("EnvironmentFailed")), {},
            Verdict.ERROR, "ImagePullFailed", id="4-environment-could-not-be-had",
        ),
        pytest.param(
            a_summary(tests=[FAILED], **NODE_LOST), {},
            Verdict.ERROR, "EnvironmentLost", id="4-failed-after-the-environment-broke",
        ),
        pytest.param(
            a_summary(tests=[FAILED], environmentFailure=PULL), {},
            Verdict.ERROR, "ImagePullFailed", id="4-nobody-knows-when-the-environment-broke",
        ),
        pytest.param(
            a_summary(faults=[a_fault_state(state="NotRecovered")], environmentLostAt=at(15)), {},
            Verdict.ERROR, "EnvironmentLost", id="4-no-recovery-without-an-environment",
        ),
        pytest.param(
            a_summary(finished=ended("TimedOut")), {},
            Verdict.ERROR, "TimedOut", id="4-the-tests-out-of-time",
        ),
        pytest.param(
            a_summary(finished=None), {"error": Cause(Reason.TIMED_OUT, "spec.timeout is over")},
            Verdict.ERROR, "TimedOut", id="4-the-run-out-of-time",
        ),
        pytest.param(
            a_summary(tests=[a_test_state(outcome="Error", passed=0)]), {},
            Verdict.ERROR, "TestCouldNotRun", id="4-a-test-could-not-run",
        ),
        pytest.param(
            a_summary(faults=[a_fault_state(state="NotInjected", applied=None)]), {},
            Verdict.INCONCLUSIVE, "FaultsNotProven", id="5-not-injected",
        ),
        pytest.param(
            a_summary(faults=[a_fault_state(state="NotReverted", reverted=None)]), {},
            Verdict.INCONCLUSIVE, "FaultsNotProven", id="5-not-reverted",
        ),
        pytest.param(
            a_summary(faults=[a_fault_state(hits=0)]), {},
            Verdict.INCONCLUSIVE, "FaultsNotProven", id="5-no-traffic",
        ),
        pytest.param(
            a_summary(faults=[a_fault_state(state="Skipped")]), {},
            Verdict.INCONCLUSIVE, "FaultsNotProven", id="5-never-came-to-its-moment",
        ),
        pytest.param(
            a_summary(), {"faults": ["lose-an-orders-pod"]},
            Verdict.INCONCLUSIVE, "FaultsNotProven", id="5-a-fault-nobody-speaks-of",
        ),
        pytest.param(
            a_summary(tests=[a_test_state(lost=True)]), {},
            Verdict.INCONCLUSIVE, "ResultsLost", id="6-results-lost",
        ),
        pytest.param(
            a_summary(tests=[a_test_state(outcome="Error", passed=0, lost=True)]), {},
            Verdict.INCONCLUSIVE, "ResultsLost", id="6-the-runner-died",
        ),
        pytest.param(
            a_summary(), {"tests": ["orders-answer", "another"]},
            Verdict.INCONCLUSIVE, "ResultsLost", id="6-a-test-nobody-speaks-of",
        ),
        pytest.param(
            a_summary(tests=[a_test_state(outcome="Skipped", passed=0, skipped=3)]), {},
            Verdict.INCONCLUSIVE, "NothingMeasured", id="6-all-skipped",
        ),
        pytest.param(
            a_summary(tests=[]), {}, Verdict.INCONCLUSIVE, "NothingMeasured", id="6-no-tests",
        ),
        pytest.param(
            None, {}, Verdict.INCONCLUSIVE, "NothingMeasured", id="6-no-conductor",
        ),
        pytest.param(
            a_summary(finished=None), {}, Verdict.INCONCLUSIVE, "ResultsLost", id="6-no-end",
        ),
        pytest.param(
            a_summary(tests=[a_test_state(passed=0)]), {},
            Verdict.INCONCLUSIVE, "ResultsLost", id="6-passed-without-a-case",
        ),
        pytest.param(
            a_summary(faults=[a_fault_state()]),
            {"faults": ["lose-an-orders-pod"], "tests": ["orders-answer"]},
            Verdict.PASSED, "AllPassed", id="7-none-of-these",
        ),
        pytest.param(
            a_summary(tests=[a_test_state(), a_test_state("b", outcome="Skipped", passed=0)]), {},
            Verdict.PASSED, "AllPassed", id="7-one-of-two-skipped",
        ),
    ],
)  # fmt: skip
def test_each_row_of_the_table_has_its_verdict_and_reason(summary, known, verdict, reason):
    judgement = judge(summary, **known)

    assert (judgement.verdict, judgement.reason) == (verdict, reason)
    assert judgement.message


def test_a_failure_only_inside_a_fault_names_the_fault():
    inside = a_failed_case(duringFaults=["lose-an-orders-pod"])

    judgement = judge(a_summary(tests=[a_test_state(failures=[inside])]))

    assert judgement.message == (
        "1 test case failed, only during fault lose-an-orders-pod:"
        " orders-answer: response.status == 200 is false: 503"
    )


def test_a_failure_outside_as_well_does_not_blame_the_fault_alone():
    cases = [a_failed_case("orders-answer[1]", duringFaults=["f"]), a_failed_case()]

    judgement = judge(a_summary(tests=[a_test_state(failures=cases)]))

    assert judgement.message == (
        "2 test cases failed: orders-answer[1]: response.status == 200 is false: 503"
        " (during fault f)"
    )


def test_failures_that_are_not_listed_are_counted_and_blamed_on_no_fault():
    shown = a_test_state(failures=[a_failed_case(duringFaults=["f"])], failed=30)

    message = judge(a_summary(tests=[shown])).message

    assert message.startswith("30 test cases failed: ")
    assert "only" not in message


def test_cases_that_passed_on_a_retry_are_not_failures():
    flaky = a_test_state(failures=[a_failed_case(outcome="flaky")], outcome="Passed", passed=1)

    judgement = judge(a_summary(tests=[{**flaky, "failed": 0, "flaky": 1}]))

    assert judgement.verdict is Verdict.PASSED
    assert judgement.message == "1 test case passed, 1 of them flaky."


def test_evidence_a_restart_may_have_missed_is_told_with_the_verdict():
    lost = ["Requests between 12:00:10 and 12:00:12 were not counted."]

    judgement = judge(a_summary(lostEvidence=lost))

    assert judgement.verdict is Verdict.PASSED
    assert lost[0] in judgement.message


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, Reason.FAULT_PROVEN),
        ({"state": "Pending"}, Reason.FAULT_NOT_STARTED),
        ({"state": "Skipped"}, Reason.FAULT_NOT_STARTED),
        ({"state": "Requested"}, Reason.FAULT_NOT_INJECTED),
        ({"state": "NotInjected"}, Reason.FAULT_NOT_INJECTED),
        ({"applied": None}, Reason.FAULT_NOT_INJECTED),
        ({"state": "Active"}, Reason.FAULT_NOT_REVERTED),
        ({"state": "NotReverted"}, Reason.FAULT_NOT_REVERTED),
        ({"reverted": None}, Reason.FAULT_NOT_REVERTED),
        ({"state": "NotRecovered"}, Reason.NOT_RECOVERED),
        ({"state": "Reverted"}, Reason.FAULT_RECOVERY_NOT_SEEN),
        ({"recovered": None}, Reason.FAULT_RECOVERY_NOT_SEEN),
        ({"state": "A state of a later version"}, Reason.FAULT_RECOVERY_NOT_SEEN),
        ({"hits": 0}, Reason.FAULT_MET_NO_TRAFFIC),
        ({"hits": 0, "exposedTests": ["byo"]}, Reason.FAULT_PROVEN),
    ],
)
def test_a_fault_is_proven_only_if_nothing_is_missing(state, reason):
    summary = a_summary(
        tests=[a_test_state(), a_test_state("byo", kind="container")],
        faults=[a_fault_state(**state)],
    )

    (proof,) = judge(summary).faults

    assert proof.reason is reason
    assert proof.proven == (reason is Reason.FAULT_PROVEN)
    assert (
        proof.proven
        or proof.message.startswith("Fault lose-an-orders-pod was")
        or (
            proof.message == "Fault lose-an-orders-pod never came to its moment."
            or proof.message == "Fault lose-an-orders-pod met no traffic of a test."
        )
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param([], Verdict.INCONCLUSIVE, id="nothing-measured-proves-nothing"),
        pytest.param([Verdict.PASSED, Verdict.FAILED], Verdict.FAILED, id="one-failure-is-enough"),
        pytest.param([Verdict.ERROR, Verdict.FAILED], Verdict.FAILED, id="failed-beats-error"),
        pytest.param([Verdict.ABORTED, Verdict.FAILED], Verdict.ABORTED, id="aborted-beats-all"),
    ],
)
def test_the_run_takes_the_worst_verdict(seen, expected):
    assert worst(seen) == expected


def test_an_environment_failure_ends_with_the_last_log_lines():
    logs = "\n".join(f"line {number}" for number in range(500)) + "\nno database url\n"
    failure = {**PULL, "reason": "CrashLoop", "message": "It keeps ending.", "logs": logs}

    message = judge(a_summary(environmentFailure=failure)).message

    assert message.startswith("It keeps ending.\nLast log lines:\n")
    assert message.endswith("\nno database url")
    assert len(message) < 1024
