"""What holds of every verdict, whatever the conductor may have written."""

from hypothesis import given
from hypothesis import strategies as st
from seatrial.api.verdict import MAX_MESSAGE, Cause, Verdict, judge, worst

from tests.support.builders import (
    a_failed_case,
    a_fault_state,
    a_probe_state,
    a_summary,
    a_test_state,
    at,
)

OTHER_STATES = [
    *("Pending", "Requested", "Active", "Reverted"),
    *("NotInjected", "NotReverted", "NotRecovered", "Skipped", "NoEffect", "EndedEarly"),
]
moments = st.none() | st.integers(0, 3000).map(at)
counts = st.integers(0, 3)
texts = st.text(max_size=30) | st.just("x" * 5000)
cases = st.builds(
    a_failed_case,
    name=texts,
    message=texts,
    outcome=st.sampled_from(["failed", "error", "skipped", "flaky"]),
    finishedAt=st.integers(0, 3000).map(at),
    duringFaults=st.lists(st.sampled_from(["f", "g"]), max_size=2),
)
tests = st.builds(
    a_test_state,
    name=st.sampled_from(["a", "b", "c"]),
    kind=st.sampled_from(["scenario", "pytest", "container"]),
    outcome=st.sampled_from(["Pending", "Running", "Passed", "Failed", "Error", "Skipped", "New"]),
    passed=counts,
    failed=counts,
    skipped=counts,
    lost=st.booleans(),
    finishedAt=moments,
    failures=st.lists(cases, max_size=3),
)
faults = st.builds(
    a_fault_state,
    name=st.sampled_from(["f", "g"]),
    kind=st.sampled_from(["kill", "latency", "http", "packets", "freeze", "resource"]),
    state=st.sampled_from(["Recovered", *OTHER_STATES]) | st.just("Recovered"),
    applied=moments,
    reverted=moments,
    recovered=moments,
    hits=counts,
    exposedTests=st.lists(st.sampled_from(["a", "b"]), max_size=2),
)
probes = st.builds(
    a_probe_state,
    name=st.sampled_from(["p", "q"]),
    mustHold=st.booleans(),
    checks=counts,
    failures=counts,
    outsideFaults=counts,
    duringFaults=st.lists(st.sampled_from(["f", "g"]), max_size=2),
    firstFailure=moments,
    message=texts,
)
finishes = st.none() | st.builds(
    lambda reason: {"at": at(60), "reason": reason, "message": "m"},
    st.sampled_from(["Completed", "Completed", "EnvironmentFailed", "Aborted", "TimedOut", "New"]),
)
failures = st.none() | st.just({"reason": "CrashLoop", "message": "m", "service": "s"})
summaries = st.builds(
    a_summary,
    tests=st.lists(tests, max_size=3, unique_by=lambda test: test["name"]),
    faults=st.lists(faults, max_size=2, unique_by=lambda fault: fault["name"]),
    probes=st.lists(probes, max_size=2, unique_by=lambda probe: probe["name"]),
    environmentFailure=failures,
    environmentLostAt=moments,
    finished=finishes,
)
causes = st.none() | st.just(Cause("R", "m"))


@given(st.none() | summaries, causes, causes)
def test_a_verdict_always_says_why_within_bounds(summary, abort, error):
    judgement = judge(summary, abort=abort, error=error)

    assert 0 < len(judgement.message) <= MAX_MESSAGE
    assert judgement.reason


@given(summaries, st.lists(st.sampled_from(["f", "g", "h"])))
def test_never_passed_with_a_fault_that_is_open_or_not_proven(summary, declared):
    judgement = judge(summary, faults=declared)

    assert {proof.name for proof in judgement.faults} >= set(declared)
    if judgement.verdict is Verdict.PASSED:
        assert judgement.faults_proven
        for fault in summary["faults"]:
            assert fault["state"] == "Recovered"
            assert fault["applied"]
            assert fault["reverted"]
            assert fault["recovered"]
            assert fault["hits"] or fault["exposedTests"]
            if fault["kind"] in ("latency", "http", "packets"):
                assert fault["hits"]
                assert fault["exposedTests"]


@given(summaries, st.lists(st.sampled_from(["p", "q", "r"])))
def test_never_passed_with_a_probe_that_did_not_hold_where_it_must_or_made_no_check(
    summary, declared
):
    if judge(summary, probes=declared).verdict is Verdict.PASSED:
        assert {probe["name"] for probe in summary["probes"]} >= set(declared)
        for probe in summary["probes"]:
            assert probe["checks"]
            assert not probe["outsideFaults"]
            assert not (probe["mustHold"] and probe["duringFaults"])


@given(summaries)
def test_a_probe_that_must_not_hold_during_faults_decides_nothing_there(summary):
    tolerant = {**probe_of(summary), "mustHold": False, "outsideFaults": 0, "checks": 1}
    without = {**summary, "probes": []}

    assert judge({**summary, "probes": [tolerant]}).verdict is judge(without).verdict


def probe_of(summary):
    return (summary["probes"] or [a_probe_state()])[0]


@given(summaries, st.lists(st.sampled_from(["a", "b", "c", "d"])))
def test_never_passed_when_something_was_not_measured(summary, declared):
    if judge(summary, tests=declared).verdict is Verdict.PASSED:
        assert summary["finished"]["reason"] == "Completed"
        assert {test["name"] for test in summary["tests"]} >= set(declared)
        assert sum(test["passed"] for test in summary["tests"]) > 0
        for test in summary["tests"]:
            assert not test["lost"]
            assert not test["failed"]
            assert test["outcome"] in ("Passed", "Skipped")


@given(summaries, causes)
def test_a_failure_after_the_environment_broke_belongs_to_the_error(summary, error):
    lost = {**summary, "environmentLostAt": at(0)}

    verdict = judge(lost, error=error).verdict

    aborted = summary["finished"] and summary["finished"]["reason"] == "Aborted"
    assert verdict is (Verdict.ABORTED if aborted else Verdict.ERROR)


@given(summaries)
def test_more_bad_news_never_makes_a_verdict_better(summary):
    before = judge(summary)
    worse = judge(summary, error=Cause("TimedOut", "m"))
    aborted = judge(summary, error=Cause("TimedOut", "m"), abort=Cause("AbortRequested", "m"))

    assert worst([before.verdict, worse.verdict]) is worse.verdict
    assert aborted.verdict is Verdict.ABORTED


@given(summaries)
def test_a_failed_case_in_a_whole_environment_is_failed(summary):
    failed = a_test_state("z", failures=[a_failed_case()])
    whole = {"environmentLostAt": None, "environmentFailure": None}
    finished = {"at": at(60), "reason": "Completed", "message": ""}
    seen = {**summary, **whole, "finished": finished, "tests": [*summary["tests"], failed]}

    assert judge(seen).verdict is Verdict.FAILED


@given(st.lists(st.sampled_from(Verdict)), st.lists(st.sampled_from(Verdict)))
def test_the_worst_verdict_does_not_depend_on_grouping(left, right):
    assert worst(left + right) == worst([worst(part) for part in (left, right) if part])
