"""Every example runs, and comes to the verdict it is there to show."""

from __future__ import annotations

from pathlib import Path

import pytest
from seatrial.api.names import report_name

from tests.e2e.cluster import condition, documents, reason
from tests.e2e.conftest import ROOT, Desk

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/run.yaml"))


def expected_verdict(example: str) -> str:
    run = documents(Path(ROOT / "examples" / example / "run.yaml").read_text())[-1]
    annotations = run["metadata"].get("annotations", {})
    return str(annotations.get("seatrial.dev/expected-verdict", "Passed"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_comes_to_its_verdict(example: str, desk: Desk) -> None:
    run = desk.example(example)
    status = run.finished()
    assert status["verdict"] == expected_verdict(example), status["message"]
    assert condition(status, "Passed") == str(status["verdict"] == "Passed")


def test_the_shop_is_tested_and_its_faults_are_proven(desk: Desk) -> None:
    run = desk.example("shop")
    status = run.finished()

    assert status["verdict"] == "Passed", status["message"]
    assert status["summary"]["failed"] == 0
    passed = {test["name"]: test["passed"] for test in status["tests"]}
    assert passed == {
        "order-is-paid": 2,
        "the-last-one-is-sold-once": 1,
        "sent-twice-is-one-order": 1,
        "no-order-is-lost": 10,
        "suite": 4,
        "smoke": 3,
    }
    assert condition(status, "FaultsProven") == "True"
    for fault in status["faults"]:
        assert fault["state"] == "Recovered", fault
        assert fault["hits"] > 0, fault
        moments = [fault[each] for each in ("requested", "applied", "reverted", "recovered")]
        assert moments == sorted(moments)
    killed = next(each for each in status["faults"] if each["name"] == "lose-an-orders-pod")
    assert len(killed["targets"]) == 1
    assert killed["targets"][0]["replacedBy"] not in {None, killed["targets"][0]["uid"]}

    reported = run.wait(lambda now: condition(now, "ReportAvailable") == "True", "a report", 30)
    report = run.cluster.get(f"/api/v1/namespaces/{run.namespace}/configmaps/{report_name('shop')}")
    assert report is not None
    assert set(report["binaryData"]) >= {"report.json.gz", "junit.xml.gz", "logs.json.gz"}
    assert reported["report"] == report["metadata"]["name"]


def test_the_broken_shop_names_the_fault(desk: Desk) -> None:
    status = desk.example("shop-broken").finished()
    assert status["verdict"] == "Failed"
    assert reason(status, "Finished") == "TestsFailed"
    assert "during fault payments-down" in status["message"]
    assert "502" in status["message"]
    outcomes = {test["name"]: test["outcome"] for test in status["tests"]}
    assert outcomes == {"order-is-paid": "Passed", "sells-while-payments-is-down": "Failed"}
