"""What the message of a verdict tells: what failed and during which fault, and what is missing."""

import pytest
from seatrial.api.reasons import Reason
from seatrial.api.verdict import MAX_MESSAGE, Verdict, judge

from tests.support.builders import (
    a_failed_case,
    a_failed_probe_state,
    a_fault_state,
    a_probe_state,
    a_summary,
    a_test_state,
    at,
)

FAILED = a_test_state(failures=[a_failed_case()])
PULL = {
    "reason": "ImagePullFailed",
    "message": "Service orders: image x:1 can't be pulled.",
    "service": "orders",
}


def ended(reason, message="why"):
    return {"at": at(60), "reason": reason, "message": message}


def test_a_probe_that_failed_outside_of_faults_says_what_it_saw():
    message = judge(a_summary(probes=[a_failed_probe_state()])).message

    assert message == (
        "Probe orders-answer did not hold outside of any fault (2 failed checks, 1.8 s at the"
        " longest): response.status < 400 is false: 503"
    )


def test_a_probe_that_must_hold_names_the_fault_during_which_it_did_not():
    probe = a_failed_probe_state(outsideFaults=0, mustHold=True, duringFaults=["payments-slow"])

    message = judge(a_summary(probes=[probe])).message

    assert message == (
        "Probe orders-answer must hold, and did not during fault payments-slow:"
        " response.status < 400 is false: 503"
    )


def test_a_fault_that_only_a_probe_met_has_met_no_traffic_of_a_test():
    fault = a_fault_state(kind="latency", hits=40, exposedTests=[])

    (proof,) = judge(a_summary(faults=[fault])).faults

    assert proof.reason is Reason.FAULT_MET_NO_TRAFFIC
    assert proof.message == (
        f"Fault lose-an-orders-pod met no traffic of a test. {Reason.FAULT_MET_NO_TRAFFIC.remedy}"
    )


def test_a_fault_that_met_nothing_says_why_where_that_is_known():
    message = "2 connections passed it meanwhile. Ask without TLS."
    fault = a_fault_state(kind="http", hits=0, message=message)

    (proof,) = judge(a_summary(faults=[fault])).faults

    assert proof.reason is Reason.FAULT_MET_NO_TRAFFIC
    assert proof.message == f"Fault lose-an-orders-pod met no traffic of a test: {message}"


def test_a_fault_without_effect_says_what_was_tried_and_what_to_change():
    fault = a_fault_state(state="NoEffect", message="nothing was slow")

    message = judge(a_summary(faults=[fault])).message

    assert message == (
        "Fault lose-an-orders-pod was carried out, but had no effect that could be seen: nothing"
        f" was slow. {Reason.FAULT_NO_EFFECT.remedy}"
    )


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


def test_what_failed_in_an_environment_that_broke_by_an_unknown_cause_proves_nothing():
    unknown = ended("EnvironmentFailed")

    judgement = judge(a_summary(tests=[FAILED], probes=[a_failed_probe_state()], finished=unknown))

    assert (judgement.verdict, judgement.reason) == (Verdict.ERROR, "EnvironmentFailed")


def test_an_environment_failure_without_a_reason_has_a_general_one():
    judgement = judge(a_summary(environmentFailure={**PULL, "reason": ""}))

    assert (judgement.verdict, judgement.reason) == (Verdict.ERROR, Reason.ENVIRONMENT_FAILED)


@pytest.mark.parametrize(
    ("finished", "told"),
    [
        pytest.param(None, f"The environment broke at {at(15)}.", id="when"),
        pytest.param(ended("EnvironmentFailed", "Node n is gone."), "Node n is gone.", id="why"),
    ],
)
def test_an_environment_that_was_lost_says_why_or_when(finished, told):
    assert judge(a_summary(environmentLostAt=at(15), finished=finished)).message == told


@pytest.mark.parametrize(
    ("test", "told"),
    [
        pytest.param(
            a_test_state(outcome="Failed", passed=0, message="exit status 3"),
            "A test failed: orders-answer: exit status 3",
            id="without-a-case",
        ),
        pytest.param(
            a_test_state(failures=[a_failed_case("test_orders.py::test_paid")]),
            "1 test case failed: orders-answer: test_orders.py::test_paid:"
            " response.status == 200 is false: 503",
            id="case-with-a-name-of-its-own",
        ),
        pytest.param(
            a_test_state(failures=[a_failed_case("orders-answer[A1]")]),
            "1 test case failed: orders-answer[A1]: response.status == 200 is false: 503",
            id="case-named-after-its-test",
        ),
    ],
)
def test_what_failed_is_named_once(test, told):
    assert judge(a_summary(tests=[test])).message == told


def test_only_failures_before_the_environment_broke_are_counted():
    cases = [a_failed_case(), a_failed_case(finishedAt=at(30))]
    summary = a_summary(tests=[a_test_state(failures=cases)], environmentLostAt=at(21))

    assert judge(summary).message.startswith("1 test case failed: ")


def test_cases_that_passed_on_a_retry_are_not_failures():
    flaky = a_test_state(failures=[a_failed_case(outcome="flaky")], outcome="Passed", passed=1)

    judgement = judge(a_summary(tests=[{**flaky, "failed": 0, "flaky": 1}]))

    assert judgement.verdict is Verdict.PASSED
    assert judgement.message == "1 test case passed, 1 of them flaky."
    judgement = judge(a_summary(tests=[{**flaky, "failed": 0, "flaky": 1, "flakyDuring": ["f"]}]))
    assert judgement.message == "1 test case passed, 1 of them flaky (failed during fault f)."


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "1 test case passed, 1 skipped; 1 fault proven; 1 probe held."),
        (2, "2 test cases passed, 2 skipped; 2 faults proven; 2 probes held."),
    ],
)
def test_a_run_that_passed_says_what_it_has_shown(count, told):
    names = [f"n{number}" for number in range(count)]
    summary = a_summary(
        tests=[a_test_state(passed=count, skipped=count)],
        faults=[a_fault_state(name) for name in names],
        probes=[a_probe_state(name) for name in names],
    )

    assert judge(summary).message == told


@pytest.mark.parametrize("length", [1, 40, 300, 3000])
def test_missing_evidence_is_told_within_bounds_and_the_rest_is_counted(length):
    lost = [f"{number}{'x' * length}" for number in range(300)]
    failed = a_test_state(failures=[a_failed_case(message="y" * 3000)])

    message = judge(a_summary(tests=[failed], lostEvidence=lost)).message

    assert len(message) <= MAX_MESSAGE
    told = message.partition(". Missing evidence: ")[2]
    assert told.startswith("0x")
    shown = told.partition(" (and ")[0].split(" ")
    assert told.endswith(f" (and {300 - len(shown)} more)")


def test_what_is_missing_twice_is_told_once():
    message = judge(a_summary(lostEvidence=["It is gone."] * 3 + [""])).message

    assert message == "1 test case passed. Missing evidence: It is gone."


def test_an_environment_failure_ends_with_the_last_log_lines():
    logs = "\n".join(f"line {number}" for number in range(500)) + "\nno database url\n"
    failure = {**PULL, "reason": "CrashLoop", "message": "It keeps ending.", "logs": logs}

    message = judge(a_summary(environmentFailure=failure)).message

    assert message.startswith("It keeps ending.\nLast log lines:\n")
    assert message.endswith("\nno database url")
    assert len(message) < 1024


def test_an_environment_failure_without_logs_is_its_message():
    assert judge(a_summary(environmentFailure=PULL)).message == PULL["message"]


def test_of_several_faults_the_first_is_told_and_the_others_counted():
    gone = {"state": "NotInjected", "message": "no pod has the labels role=leader"}
    faults = [a_fault_state(name=name, applied=None, **gone) for name in ("one", "two")]

    assert judge(a_summary(faults=faults)).message == (
        "Fault one was not injected: no pod has the labels role=leader. And 1 more not proven."
    )
