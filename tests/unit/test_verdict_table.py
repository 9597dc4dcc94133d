"""The rules of the table in docs/explanation/faults-and-verdict.md, one by one."""

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from seatrial.api.journal import FaultState
from seatrial.api.reasons import Reason
from seatrial.api.verdict import Cause, Verdict, judge, worst

from tests.support.builders import (
    a_failed_case,
    a_failed_probe_state,
    a_fault_state,
    a_probe_state,
    a_summary,
    a_test_state,
    at,
)

PAGE = Path(__file__).parents[2] / "docs/explanation/faults-and-verdict.md"
FAILED = a_test_state(failures=[a_failed_case()])
FLAKY = a_failed_case("orders-answer[1]", outcome="flaky", finishedAt=at(10))
FAILED_AS_IT_BROKE = a_failed_case(finishedAt=at(15))
FAILED_SOME_TIME = {"outcome": "Failed", "passed": 0, "finishedAt": None}
NODE_LOST = {"environmentLostAt": at(15), "finished": None}
NOT_SO = "step 2 of 2 (POST http://orders:8080/orders): it did not fail during fault payments-slow"
TOLERATED = {"outsideFaults": 0, "duringFaults": ["lose-an-orders-pod"]}
PULL = {
    "reason": "ImagePullFailed",
    "message": "Service orders: image x:1 can't be pulled.",
    "service": "orders",
}


CRASHES = {**PULL, "reason": "CrashLoop"}
LOST = ["Requests between 12:00:10 and 12:00:12 were not counted.", "Fault f ended early."]


def ended(reason, message="why"):
    return {"at": at(60), "reason": reason, "message": message}


ROWS = {
    "1a": (a_summary(), {"abort": Cause(Reason.ABORT_REQUESTED, "stop")}),
    "1b": (None, {"abort": Cause(Reason.REPLACED, "run b came")}),
    "1c": (a_summary(tests=[FAILED], finished=ended("Aborted")), {}),
    "1d": (
        a_summary(finished=None),
        {
            "abort": Cause(Reason.ABORT_REQUESTED, "stop"),
            "error": Cause(Reason.INVALID_SPEC, "spec.tests[0]: no"),
        },
    ),
    "2a": (a_summary(tests=[FAILED]), {}),
    "2b": (a_summary(tests=[a_test_state(failures=[a_failed_case(duringFaults=["f"])])]), {}),
    "2c": (a_summary(tests=[FAILED], environmentLostAt=at(21)), {}),
    "2d": (a_summary(tests=[FAILED], finished=ended("TimedOut")), {}),
    "2e": (a_summary(tests=[a_test_state(outcome="Failed", passed=0)]), {}),
    "2f": (a_summary(tests=[a_test_state(failures=[a_failed_case(message=NOT_SO)])]), {}),
    "2g": (a_summary(tests=[FAILED], lostEvidence=LOST), {}),
    "3a": (a_summary(faults=[a_fault_state(state="NotRecovered", recovered=None)]), {}),
    "3b": (a_summary(probes=[a_failed_probe_state()]), {}),
    "3c": (a_summary(probes=[a_failed_probe_state(**TOLERATED, mustHold=True)]), {}),
    "3d": (a_summary(probes=[a_failed_probe_state()], environmentLostAt=at(21)), {}),
    "4a": (None, {"error": Cause(Reason.INVALID_SPEC, "spec.tests[0]: no")}),
    "4b": (a_summary(environmentFailure=PULL, tests=[], finished=ended("EnvironmentFailed")), {}),
    "4c": (a_summary(tests=[FAILED], **NODE_LOST), {}),
    "4d": (a_summary(tests=[FAILED], environmentFailure=CRASHES), {}),
    "4e": (a_summary(faults=[a_fault_state(state="NotRecovered")], **NODE_LOST), {}),
    "4f": (a_summary(probes=[a_failed_probe_state()], **NODE_LOST), {}),
    "4g": (a_summary(finished=ended("TimedOut")), {}),
    "4h": (a_summary(finished=None), {"error": Cause(Reason.TIMED_OUT, "spec.timeout is over")}),
    "4i": (a_summary(tests=[a_test_state(outcome="Error", passed=0)]), {}),
    "4j": (
        a_summary(
            environmentFailure={**PULL, "reason": "UnsupportedFault"},
            tests=[a_test_state(outcome="Skipped", passed=0)],
            finished=ended("EnvironmentFailed"),
        ),
        {},
    ),
    "5a": (a_summary(faults=[a_fault_state(state="Skipped", applied=None)]), {}),
    "5b": (a_summary(faults=[a_fault_state(state="NotInjected", applied=None)]), {}),
    "5c": (a_summary(faults=[a_fault_state(kind="latency", state="NoEffect")]), {}),
    "5d": (a_summary(faults=[a_fault_state(kind="latency", state="EndedEarly")]), {}),
    "5e": (a_summary(faults=[a_fault_state(state="NotReverted", reverted=None)]), {}),
    "5f": (a_summary(faults=[a_fault_state(state="Reverted", recovered=None)]), {}),
    "5g": (a_summary(faults=[a_fault_state(hits=0)]), {}),
    "5h": (a_summary(faults=[a_fault_state(kind="latency", hits=0)]), {}),
    "5i": (a_summary(faults=[a_fault_state(kind="latency", hits=9, exposedTests=[])]), {}),
    "5j": (a_summary(), {"faults": ["lose-an-orders-pod"]}),
    "5k": (a_summary(faults=[a_fault_state(state="EndedEarly")], lostEvidence=LOST), {}),
    "6a": (a_summary(tests=[a_test_state(lost=True)]), {}),
    "6b": (a_summary(), {"tests": ["orders-answer", "another"]}),
    "6c": (a_summary(finished=None), {}),
    "6d": (a_summary(tests=[a_test_state(passed=0)]), {}),
    "6e": (a_summary(tests=[a_test_state(outcome="Skipped", passed=0, skipped=3)]), {}),
    "6f": (None, {}),
    "6g": (a_summary(), {"probes": ["orders-answer"]}),
    "6h": (a_summary(tests=[a_test_state(lost=True)], lostEvidence=LOST), {}),
    "7a": (
        a_summary(faults=[a_fault_state()], probes=[a_probe_state()]),
        {
            "faults": ["lose-an-orders-pod"],
            "tests": ["orders-answer"],
            "probes": ["orders-answer"],
        },
    ),
    "7b": (a_summary(tests=[a_test_state(flaky=1, failures=[]) | {"attempts": 2}]), {}),
    "7c": (a_summary(tests=[a_test_state(), a_test_state("b", outcome="Skipped", passed=0)]), {}),
    "7d": (a_summary(probes=[a_failed_probe_state(**TOLERATED)]), {}),
    "7e": (a_summary(probes=[a_failed_probe_state(outsideFaults=0)]), {}),
    "7f": (
        a_summary(
            tests=[a_test_state("byo", kind="container")],
            faults=[a_fault_state(hits=0, exposedTests=["byo"])],
        ),
        {},
    ),
    "7g": (a_summary(faults=[a_fault_state()], lostEvidence=LOST), {}),
    "7h": (a_summary(faults=[a_fault_state(kind="outage", revertedBy="operator")]), {}),
}
# More than one thing can be seen where one rule speaks.
MORE_ROWS = [
    ("2a", (a_summary(tests=[a_test_state(failures=[a_failed_case()], outcome="Error")]), {})),
    (
        "2d",
        (
            a_summary(tests=[FAILED], finished=None),
            {"error": Cause(Reason.TIMED_OUT, "spec.timeout is over")},
        ),
    ),
    # What passed on a further attempt is no failure, before the environment broke or after.
    ("4c", (a_summary(tests=[a_test_state(failures=[FLAKY, a_failed_case()])], **NODE_LOST), {})),
    ("4c", (a_summary(tests=[a_test_state(failures=[FAILED_AS_IT_BROKE])], **NODE_LOST), {})),
    ("4c", (a_summary(tests=[a_test_state(**FAILED_SOME_TIME)], **NODE_LOST), {})),
    ("4d", (a_summary(probes=[a_failed_probe_state()], environmentFailure=CRASHES), {})),
    ("5a", (a_summary(faults=[a_fault_state(state="Pending", applied=None)]), {})),
    ("5b", (a_summary(faults=[a_fault_state(state="Requested", applied=None)]), {})),
    ("5c", (a_summary(faults=[a_fault_state(effective=None)]), {})),
    ("5c", (a_summary(faults=[a_fault_state(kind="latency", effective=None)]), {})),
    ("5e", (a_summary(faults=[a_fault_state(state="Active", reverted=None)]), {})),
    ("5f", (a_summary(faults=[a_fault_state(state="Reverted", revertedBy="operator")]), {})),
    ("5g", (a_summary(faults=[a_fault_state(kind="freeze", hits=0)]), {})),
    ("5h", (a_summary(faults=[a_fault_state(kind="http", hits=0)]), {})),
    ("5h", (a_summary(faults=[a_fault_state(kind="dns", hits=0)]), {})),
    ("5i", (a_summary(faults=[a_fault_state(kind="packets", exposedTests=[])]), {})),
    ("5i", (a_summary(faults=[a_fault_state(kind="dns", exposedTests=[])]), {})),
    ("6a", (a_summary(tests=[a_test_state(outcome="Error", passed=0, lost=True)]), {})),
    ("6a", (a_summary(tests=[a_test_state(), a_test_state("b", outcome="Running")]), {})),
    ("6e", (a_summary(tests=[]), {})),
    ("6g", (a_summary(probes=[a_probe_state(checks=0)]), {})),
    ("7a", (a_summary(faults=[a_fault_state(kind="latency")]), {})),
    ("7a", (a_summary(probes=[a_probe_state(mustHold=True)]), {})),
    ("7c", (a_summary(tests=[a_test_state(), a_test_state("b", passed=0, skipped=2)]), {})),
]


@dataclass(frozen=True)
class Rule:
    """A row of the table in the documentation."""

    verdict: str
    reason: str


def documented_table(header: str) -> list[list[str]]:
    """Read the table of the page that has this header; cells without backticks."""
    lines = iter(PAGE.read_text().splitlines())
    assert next((line for line in lines if line.startswith(header)), None), header
    next(lines)  # the rule below the header
    rows = takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def documented_rules() -> dict[str, Rule]:
    rows = documented_table("| rule | what was seen |")
    return {row[0]: Rule(row[-2], row[-1]) for row in rows}


def test_each_rule_of_the_documentation_has_a_test_and_no_other_is_tested():
    assert list(documented_rules()) == list(ROWS)


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        pytest.param(rule, seen, id=f"{rule}-{number}")
        for number, (rule, seen) in enumerate([*ROWS.items(), *MORE_ROWS])
    ],
)
def test_each_rule_comes_to_the_verdict_and_the_reason_of_the_documentation(rule, seen):
    summary, known = seen
    expected = documented_rules()[rule]

    judgement = judge(summary, **known)

    assert (judgement.verdict, judgement.reason) == (expected.verdict, expected.reason)
    assert judgement.message


def test_every_reason_of_the_table_is_one_that_is_explained():
    rows = [*documented_table("| rule | what was seen |"), *documented_table("| state of the")]

    assert {row[-1] for row in rows} <= {str(reason) for reason in Reason}


@pytest.mark.parametrize("rule", ["2g", "5k", "6h", "7g"])
def test_missing_evidence_is_told_with_the_verdict(rule):
    summary, known = ROWS[rule]
    bare = judge({**summary, "lostEvidence": []}, **known).message

    message = judge(summary, **known).message

    assert message == f"{bare.removesuffix('.')}. Missing evidence: {LOST[0]} {LOST[1]}"


@pytest.mark.parametrize("rule", ["1c", "4b", "4g"])
def test_where_the_run_was_stopped_or_broke_that_alone_is_told(rule):
    summary, known = ROWS[rule]

    assert judge({**summary, "lostEvidence": LOST}, **known) == judge(summary, **known)


def documented_states() -> list[tuple[str, str, str]]:
    rows = documented_table("| state of the fault |")
    return [(row[0], row[1], row[2]) for row in rows]


# What else is said of a fault that is Recovered, in the words of the table.
ELSE = {
    "applied, effective, undone, recovered, and met traffic": {},
    "met no traffic (rules 5g, 5h and 5i)": {"hits": 0},
    "no moment of its being applied": {"applied": None},
    "no moment of its effect": {"effective": None},
    "no moment of its being undone": {"reverted": None},
    "no moment of recovery": {"recovered": None},
    "": {},
}


def test_a_fault_that_the_conductor_says_nothing_of_never_came_to_its_moment():
    (proof,) = judge(a_summary(), faults=["lose-an-orders-pod"]).faults

    assert proof.reason is Reason.FAULT_NOT_STARTED


@pytest.mark.parametrize(("state", "what_else", "reason"), documented_states())
def test_a_fault_has_the_reason_that_the_documentation_gives_to_its_state(state, what_else, reason):
    known = "A state of a later version" if state == "any other" else state
    summary = a_summary(faults=[a_fault_state(state=known, **ELSE[what_else])])

    (proof,) = judge(summary).faults

    assert proof.reason == reason
    assert proof.proven == (reason == Reason.FAULT_PROVEN)
    assert proof.proven or proof.message.startswith("Fault lose-an-orders-pod ")


def test_the_table_has_every_state_a_fault_can_be_in():
    states = get_args(get_type_hints(FaultState)["state"])

    assert {row[0] for row in documented_states()} == {*states, "any other"}


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
