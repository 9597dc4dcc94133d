"""What the command line tool says of a run as it goes, and at its end."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from seatrial.cli.board import board
from seatrial.cli.changes import changes
from seatrial.cli.lines import Tone, printable, short_seconds
from seatrial.cli.list_runs import table
from seatrial.cli.parts import conclusion
from seatrial.cli.show import tree

from tests.support.builders import a_run, at

READY = {"name": "orders", "state": "Ready", "replicas": 2, "readyReplicas": 2}
PROVEN = {
    "name": "lose-a-pod",
    "state": "Recovered",
    "targets": [{"kind": "Pod", "name": "orders-1", "uid": "u1", "replacedBy": "u2"}],
    "requested": at(1),
    "applied": at(1.5),
    "effective": at(1.6),
    "firstHit": at(2),
    "hits": 14,
    "reverted": at(3),
    "revertedBy": "controller",
    "recovered": at(5.75),
}
PROOF = "lose-a-pod Recovered (Pod orders-1), met 14 requests, well again 2.75s after its end"
UP = {"name": "up", "state": "Held", "checks": 60}
DOWN = {
    **UP,
    "state": "Failed",
    "failures": 3,
    "outsideFaults": 1,
    "duringFaults": ["f"],
    "message": "response.status is 503",
}
FAILED = {
    "name": "is-paid",
    "outcome": "Failed",
    "failed": 1,
    "duration": "2s",
    "message": "expected response.status == 200\nresponse.status is 503\nduring fault lose-a-pod",
}


def said(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [str(line) for line in changes(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, {}, [], id="nothing-yet"),
        pytest.param({}, {"phase": "Queued"}, ["phase Queued"], id="in-the-queue"),
        pytest.param(
            {},
            {"phase": "Queued", "message": "Waiting for run a."},
            ["phase Queued: Waiting for run a."],
            id="in-the-queue-behind-another",
        ),
        pytest.param(
            {"phase": "Queued"},
            {"phase": "Provisioning", "namespace": "itr-a-1"},
            ["phase Provisioning in namespace itr-a-1"],
            id="out-of-the-queue",
        ),
        pytest.param(
            {"phase": "Provisioning"},
            {"phase": "Running", "timings": {"provisioning": "6.1s"}},
            ["phase Running: the environment is ready after 6.1s"],
            id="the-gate-opens",
        ),
        pytest.param(
            {}, {"services": [READY]}, ["service orders Ready, 2/2 pods"], id="a-service-is-ready"
        ),
        pytest.param({"services": [READY]}, {"services": [READY]}, [], id="nothing-new"),
        pytest.param(
            {}, {"services": [{"name": "orders", "state": "Pending"}]}, [], id="not-begun"
        ),
        pytest.param(
            {"services": [READY]},
            {"services": [{**READY, "restarts": 1}]},
            ["service orders Ready, 2/2 pods, 1 restart"],
            id="a-restart",
        ),
        pytest.param(
            {},
            {"services": [{"name": "db", "state": "Starting", "message": "pulling\nslowly"}]},
            ["service db Starting: pulling"],
            id="what-a-service-waits-for",
        ),
        pytest.param(
            {"tests": [{"name": "is-paid", "outcome": "Running"}]},
            {"tests": [FAILED]},
            [
                "test is-paid Failed, in 2s",
                "  expected response.status == 200",
                "  response.status is 503",
                "  during fault lose-a-pod",
            ],
            id="a-failure-with-its-evidence",
        ),
        pytest.param(
            {"tests": [{"name": "suite", "outcome": "Running", "passed": 3}]},
            {"tests": [{"name": "suite", "outcome": "Running", "passed": 4}]},
            [],
            id="passing-cases-are-no-news",
        ),
        pytest.param(
            {"tests": [{"name": "suite", "outcome": "Running", "passed": 3}]},
            {"tests": [{"name": "suite", "outcome": "Running", "passed": 3, "failed": 1}]},
            ["test suite Running, 3 passed, 1 failed"],
            id="a-failing-case-is",
        ),
        pytest.param(
            {"tests": [{"name": "t", "outcome": "Running"}]},
            {"tests": [{"name": "t", "outcome": "Running", "attempts": 1}]},
            [],
            id="the-first-attempt-is-no-news",
        ),
        pytest.param(
            {"tests": [{"name": "t", "outcome": "Running", "attempts": 1}]},
            {"tests": [{"name": "t", "outcome": "Running", "attempts": 2}]},
            ["test t Running, 2 attempts"],
            id="another-attempt",
        ),
        pytest.param(
            {"faults": [{**PROVEN, "state": "Active", "recovered": None, "hits": 0}]},
            {"faults": [PROVEN]},
            [f"fault {PROOF}"],
            id="a-fault-is-proven",
        ),
        pytest.param(
            {},
            {"faults": [{"name": "f", "state": "NotInjected", "message": "no pod to kill"}]},
            ["fault f NotInjected", "  no pod to kill"],
            id="a-fault-that-did-nothing",
        ),
        pytest.param(
            {},
            {"faults": [{"name": "f", "state": "NoEffect", "message": "latency 3s was not seen"}]},
            ["fault f NoEffect", "  latency 3s was not seen"],
            id="a-fault-without-effect",
        ),
        pytest.param(
            {"faults": [{**PROVEN, "times": 1}]},
            {"faults": [{**PROVEN, "kind": "latency", "times": 2}]},
            [f"fault {PROOF.replace('met 14 requests', '2 times, met 14 connections')}"],
            id="a-fault-that-has-come-again",
        ),
        pytest.param(
            {"probes": [UP]}, {"probes": [{**UP, "checks": 90}]}, [], id="checks-that-hold-are-none"
        ),
        pytest.param(
            {"probes": [UP]},
            {"probes": [{**UP, "failures": 2, "duringFaults": ["f"], "longestOutage": "1.5s"}]},
            ["probe up Held, 60 checks, 2 failed during f, 1.5s at the longest"],
            id="a-probe-fails-during-a-fault",
        ),
        pytest.param(
            {"probes": [UP]},
            {"probes": [DOWN]},
            [
                "probe up Failed, 60 checks, 3 failed, 1 outside of faults, others during f",
                "  response.status is 503",
            ],
            id="a-probe-fails-outside",
        ),
    ],
)
def test_each_change_is_said_once(before, after, expected):
    assert said(before, after) == expected


def test_every_change_on_the_way_is_said_however_often_one_looks():
    steps: list[dict[str, Any]] = [
        {},
        {"phase": "Provisioning"},
        {"phase": "Provisioning", "services": [READY]},
        {"phase": "Running", "services": [READY], "tests": [{"name": "t", "outcome": "Running"}]},
        {"phase": "Running", "services": [READY], "tests": [{"name": "t", "outcome": "Passed"}]},
    ]
    looks = [step for step in steps for _ in range(3)]
    lines = [line for a, b in pairwise(looks) for line in said(a, b)]
    assert lines == [
        "phase Provisioning",
        "service orders Ready, 2/2 pods",
        "phase Running",
        "test t Running",
        "test t Passed",
    ]


# The end -----------------------------------------------------------------------------------------


def ended(verdict: str, **status: Any) -> dict[str, Any]:
    summary = {"tests": 2, "passed": 1, "failed": 1}
    fields = {"verdict": verdict, "summary": summary, "duration": "8.1s", **status}
    return a_run(phase="Collecting", status=fields)


def test_a_passed_run_names_its_proven_faults():
    lines = list(conclusion(ended("Passed", faults=[PROVEN], message="All is well.")))
    assert [str(line) for line in lines] == [
        "✓ Passed: checkout, 2 test cases, 1 passed, 1 failed, in 8.1s",
        f"  fault {PROOF}",
    ]
    assert lines[0].tone is Tone.GOOD


def test_a_failed_run_says_what_failed_with_the_evidence():
    run = ended("Failed", message="1 test failed.", tests=[FAILED], faults=[PROVEN])
    assert [str(line) for line in conclusion(run)] == [
        "✗ Failed: checkout, 2 test cases, 1 passed, 1 failed, in 8.1s",
        "  1 test failed.",
        "  test is-paid Failed, in 2s",
        "    expected response.status == 200",
        "    response.status is 503",
        "    during fault lose-a-pod",
        "  more: seatrial show checkout -n shop; seatrial logs checkout -n shop",
    ]


def test_the_only_failure_is_not_said_twice():
    message = f"1 test case failed: {FAILED['message']}"
    lines = list(conclusion(ended("Failed", message=message, tests=[FAILED])))
    assert sum("is 503" in line.text for line in lines) == 1


def test_a_service_that_is_ready_and_not_reached_says_so_once():
    ready = {"name": "orders", "state": "Ready", "replicas": 1, "readyReplicas": 1}
    unreached = {**ready, "message": "is ready, but clients do not reach it yet: refused"}
    before, after = {"services": [ready]}, {"services": [unreached]}
    line = "service orders Ready, 1/1 pods: is ready, but clients do not reach it yet: refused"
    assert said(before, after) == [line]
    assert said(after, after) == []


def test_an_error_says_which_service_and_why():
    service = {"name": "db", "state": "Failed", "message": "image db:9 cannot be pulled\nnot found"}
    text = "\n".join(str(line) for line in conclusion(ended("Error", services=[service, READY])))
    assert "  service db Failed\n    image db:9 cannot be pulled\n    not found" in text
    assert "orders" not in text


def test_an_inconclusive_run_shows_which_proof_is_missing():
    fault = {**PROVEN, "firstHit": None, "hits": 0, "message": "no test sent a request"}
    lines = list(conclusion(ended("Inconclusive", faults=[fault])))
    missing = [line.text for line in lines if line.tone is Tone.WARNING and line.depth == 2]
    assert missing == ["first hit  -"]
    assert "no test sent a request" in [line.text for line in lines]


def test_a_fault_that_is_undone_and_proves_nothing_does_not_look_proven():
    fault = {**PROVEN, "hits": 0, "message": "Fault lose-a-pod met no traffic of a test."}
    lines = [line.text for line in tree(ended("Inconclusive", faults=[fault]), {})]
    assert [line[0] for line in lines if "fault lose-a-pod" in line] == ["!"]


def test_the_first_hit_of_a_fault_that_is_repeated_is_not_told_from_its_last_time():
    again = {
        **PROVEN,
        "times": 3,
        "requested": at(21),
        "applied": at(21.5),
        "effective": at(21.6),
        "reverted": at(23),
        "recovered": at(25),
    }
    shown = [line.text for line in tree(ended("Passed", faults=[again]), {})]
    assert "first hit  12:00:02.000, 14 requests in all 3 times" in shown


def test_show_lists_every_failure_of_the_report_and_the_fault_around_it():
    case = {
        "name": "test_paid[A1]",
        "outcome": "failed",
        "message": "402 is not 201",
        "startedAt": at(4),
        "finishedAt": at(5),
        "duringFaults": ["lose-a-pod"],
    }
    run = ended("Failed", tests=[FAILED], faults=[PROVEN], services=[READY])
    text = "\n".join(str(line) for line in tree(run, {"is-paid": [case, {**case, "name": "b"}]}))
    assert "test_paid[A1] failed at 12:00:04.000, during fault lose-a-pod" in text
    assert "b failed at" in text
    assert "reverted   12:00:03.000  +1.50s, by controller" in text
    assert "hit Pod orders-1 (uid u1), replaced by uid u2" in text


def test_show_says_when_nobody_has_taken_up_the_run():
    assert "not taken up by an operator yet" in str(next(tree(a_run(), {})))


# A status of any age or shape --------------------------------------------------------------------


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"phase": "Dreaming", "verdict": "Splendid", "tests": [{"name": "t", "outcome": "New"}]},
        {"services": None, "tests": None, "faults": None, "conditions": None, "timings": None},
        {"faults": [{"name": "f"}], "services": [{"name": "s"}], "tests": [{"name": "t"}]},
        {"startTime": "not a moment", "phase": "Running"},
    ],
    ids=["empty", "words-of-a-later-version", "nulls", "names-alone", "nonsense"],
)
def test_a_status_that_is_not_quite_ours_is_shown_all_the_same(status):
    run = a_run(status=status)
    lines = [*tree(run, {}), *conclusion(run), *changes({}, status)]
    lines += board(run, datetime(2026, 11, 20, tzinfo=UTC), room=20)
    assert all(line.text for line in lines)


def test_what_steers_a_terminal_is_taken_out_of_foreign_text():
    evil = "\x1b]0;title\x07\x1b[2Jred\x1b[31m \x9b31m\x08\u202etxet\r\nnext\tline"
    assert printable(evil) == "red 31mtxet\nnext\tline"
    failed = {**FAILED, "message": "\x1b[2J\x1b[Hgone"}
    assert not any("\x1b" in line.text for line in conclusion(ended("Failed", tests=[failed])))


# The display that is drawn again -----------------------------------------------------------------


def test_the_tests_are_shown_with_their_own_time_and_not_with_that_of_the_run():
    timings = {"provisioning": "6.1s", "tests": "1.9s", "total": "8.1s"}
    text = [str(line) for line in tree(ended("Failed", tests=[FAILED], timings=timings), {})]
    assert "  tests: 2 test cases, 1 passed, 1 failed, in 1.9s" in text
    assert "  time    provisioning 6.1s, tests 1.9s, total 8.1s" in text


def test_the_display_shows_how_long_it_has_taken():
    run = a_run(phase="Running", status={"startTime": "2026-11-20T12:00:00Z", "namespace": "itr-a"})
    first = next(iter(board(run, datetime(2026, 11, 20, 12, 1, 15, tzinfo=UTC), room=10)))
    assert first.text == "checkout  Running  75.0s  itr-a"


def test_what_goes_on_and_what_is_bad_stays_when_there_is_little_room():
    services = [{**READY, "name": f"s{n}"} for n in range(10)]
    tests = [{"name": "running", "outcome": "Running"}, FAILED]
    run = a_run(phase="Running", status={"services": services, "tests": tests})
    lines = [line.text for line in board(run, datetime(2026, 11, 20, tzinfo=UTC), room=6)]
    assert len(lines) <= 6
    assert "~ test running Running" in lines
    assert "✗ test is-paid Failed, in 2s" in lines
    assert lines[-1] == "and 8 more"


def test_the_list_is_in_order_of_age_and_says_what_each_came_to():
    old = a_run("old", status={"verdict": "Passed", "phase": "Finished", "duration": "3s"})
    new = a_run("new", created="2026-11-20T11:59:30Z", phase="Running")
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    lines = [line.text.split() for line in table([new, old], now, namespaces=False)]
    assert lines[1] == ["old", "Passed", "Finished", "0", "0", "3s", "60.0s"]
    assert lines[2] == ["new", "-", "Running", "0", "0", "-", "30.0s"]
    heading = next(iter(table([old], now, namespaces=True))).text
    assert heading.split()[:2] == ["NAMESPACE", "NAME"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.00s"),
        (0.414, "0.41s"),
        (12.44, "12.4s"),
        (99.94, "99.9s"),
        (99.95, "1m40s"),
        (185, "3m05s"),
        (3599.6, "1h00m"),
        (7800, "2h10m"),
        (273600, "3d4h"),
    ],
)
def test_times_are_short(seconds, text):
    assert short_seconds(seconds) == text
