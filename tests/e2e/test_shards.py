"""A pytest suite that several pods share: all of it runs, once; a pod that is lost is named."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tests.e2e.breaking import peer, report_part, run_of, suite
from tests.e2e.cluster import Json, Run
from tests.e2e.conftest import Desk

SHARDS = 3
LOST_SHARD = 1
OTHERS = 4  # of the nine tests of "lost", by the hash of their ids
SHARED = {*(f"test_shared[once-{number}]" for number in range(9)), "test_shared_flaky"}
SPEC: Json = {
    "services": [peer("book", wire={"wire": 9000})],
    "tests": [
        {
            "name": name,
            "retries": retries,
            "pytest": {"configMap": "suite", "parallelism": shards, "args": ["-k", f"test_{name}"]},
        }
        for name, shards, retries in (
            ("shared", SHARDS, 1),
            ("lost", SHARDS, 1),
            ("book", 1, 0),
        )
    ],
}


def result_of(status: Json, name: str) -> Json:
    return next(each for each in status.get("tests", []) if each["name"] == name)


def kill_a_shard(run: Run) -> None:
    """Kill the pod of a shard that is in the middle of its first test."""
    path = f"/api/v1/namespaces/{run.environment}/pods"
    selector = "seatrial.dev/test=lost,batch.kubernetes.io/job-completion-index=" + str(LOST_SHARD)
    [pod] = run.cluster.items(path, labelSelector=selector)
    run.cluster.delete(f"{path}/{pod['metadata']['name']}", gracePeriodSeconds=0)


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    run = run_of(shared_desk, "shards", SPEC, suite("suite", "shards"))
    run.wait(
        lambda status: bool(status.get("tests")) and result_of(status, "lost")["passed"] == OTHERS,
        "the shards that are not killed have run their tests",
        180,
    )
    kill_a_shard(run)
    return run


def test_every_test_of_a_shared_suite_runs_once_and_is_counted_once(run: Run, status: Json) -> None:
    shared = result_of(status, "shared")
    assert shared["outcome"] == "Passed", shared
    counts = {name: shared[name] for name in ("passed", "failed", "skipped", "flaky", "attempts")}
    assert counts == {"passed": 10, "failed": 0, "skipped": 0, "flaky": 1, "attempts": 2}
    # By what the tests themselves have done: see inside/shards.py.
    assert result_of(status, "book")["outcome"] == "Passed", result_of(status, "book")


def test_the_junit_report_of_a_shared_suite_has_every_test_once(run: Run, status: Json) -> None:
    root = ElementTree.fromstring(report_part(run, "junit.xml.gz"))
    [shared] = [each for each in root.iter("testsuite") if each.get("name") == "shared"]
    cases = {case.get("name", "").partition("::")[2]: case for case in shared.iter("testcase")}
    assert len(list(shared.iter("testcase"))) == len(cases) == 10
    assert set(cases) == SHARED
    assert (shared.get("failures"), shared.get("errors")) == ("0", "0")
    again = {name: len(case.findall("rerunFailure")) for name, case in cases.items()}
    assert again == {**dict.fromkeys(SHARED, 0), "test_shared_flaky": 1}


def test_a_shard_whose_pod_is_killed_is_named_and_never_passes(run: Run, status: Json) -> None:
    lost = result_of(status, "lost")
    assert lost["outcome"] == "Error", lost
    # Its pytest may still have said that it was killed.
    named = rf"shard {LOST_SHARD}: .*killed|shard {LOST_SHARD} is gone|pod test-lost-{LOST_SHARD}-"
    assert re.search(named, lost["message"])
    assert lost["passed"] == OTHERS
    assert status["verdict"] in ("Error", "Inconclusive"), status["message"]
    assert lost["message"] in status["message"]
