"""Every example runs, and comes to the verdict it is there to show."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from xml.etree import ElementTree

import pytest
from seatrial.api.names import report_name

from tests.e2e.breaking import fault_of, report_part
from tests.e2e.cluster import Json, Run, condition, documents, reason
from tests.e2e.conftest import ROOT, Desk

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/run.yaml"))
Finished = Callable[[str], tuple[Run, Json]]


@pytest.fixture(scope="module")
def finished(shared_desk: Desk) -> Finished:
    """Run an example by its name, once for all tests, and give it with its status."""

    @cache
    def run(example: str) -> tuple[Run, Json]:
        applied = shared_desk.example(example)
        return applied, applied.finished()

    return run


def expected_verdict(example: str) -> str:
    run = documents((ROOT / "examples" / example / "run.yaml").read_text())[-1]
    annotations = run["metadata"].get("annotations", {})
    return str(annotations.get("seatrial.dev/expected-verdict", "Passed"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_comes_to_its_verdict(example: str, finished: Finished) -> None:
    _, status = finished(example)
    assert status["verdict"] == expected_verdict(example), status["message"]
    assert condition(status, "Passed") == str(status["verdict"] == "Passed")


def test_every_kind_of_test_of_the_shop_has_its_results(finished: Finished) -> None:
    _, status = finished("shop")
    assert {test["name"]: test["passed"] for test in status["tests"]} == {
        "order-is-paid": 2,
        "the-last-one-is-sold-once": 1,
        "sent-twice-is-one-order": 1,
        "no-order-is-lost": 10,
        "suite": 4,
        "smoke": 3,
    }
    assert status["summary"]["passed"] == status["summary"]["tests"] == 21


@pytest.mark.parametrize("name", ["lose-an-orders-pod", "payments-down"])
def test_a_fault_of_the_shop_is_proven(name: str, finished: Finished) -> None:
    _, status = finished("shop")
    assert condition(status, "FaultsProven") == "True"
    [fault] = [each for each in status["faults"] if each["name"] == name]
    assert fault["state"] == "Recovered"
    assert fault["hits"] > 0
    moments = [fault[each] for each in ("requested", "applied", "reverted", "recovered")]
    assert moments == sorted(moments)
    assert len(fault["targets"]) == 1


@pytest.mark.parametrize("example", ["authentication", "cache-restart", "pool-exhausted"])
def test_the_fault_that_a_test_waits_for_is_proven(example: str, finished: Finished) -> None:
    _, status = finished(example)
    assert condition(status, "FaultsProven") == "True"
    [fault] = status["faults"]
    assert fault["state"] == "Recovered"
    assert fault["hits"] > 0


def test_the_orders_pod_that_was_killed_has_a_successor(finished: Finished) -> None:
    _, status = finished("shop")
    [fault] = [each for each in status["faults"] if each["name"] == "lose-an-orders-pod"]
    [target] = fault["targets"]
    assert target["kind"] == "Pod"
    assert target["replacedBy"] not in {None, target["uid"]}


def test_the_report_stays_when_the_environment_goes(finished: Finished) -> None:
    run, _ = finished("shop")
    status = run.in_phase("Finished")
    assert condition(status, "CleanedUp") == "True"
    assert run.cluster.environments(run.get()["metadata"]["uid"]) == []
    path = f"/api/v1/namespaces/{run.namespace}/configmaps/{report_name('shop')}"
    report = run.cluster.get(path)
    assert report is not None
    assert set(report["binaryData"]) >= {"report.json.gz", "junit.xml.gz", "logs.json.gz"}
    assert status["report"] == report["metadata"]["name"]


def test_what_happened_to_a_pod_is_in_the_report(finished: Finished) -> None:
    run, status = finished("shop")
    events = json.loads(report_part(run, "report.json.gz"))["events"]
    [killed] = fault_of(status, "lose-an-orders-pod")["targets"]
    reasons = {each["reason"] for each in events if each["object"] == f"Pod/{killed['name']}"}
    assert "Scheduled" in reasons  # a busy kubelet may tell of the rest too late


def test_all_of_a_run_is_in_its_junit(finished: Finished) -> None:
    run, status = finished("shop")
    junit = ElementTree.fromstring(report_part(run, "junit.xml.gz"))
    suites = {
        suite.get("name"): {case.get("name"): case for case in suite.iter("testcase")}
        for suite in junit
    }
    tests = [test["name"] for test in status["tests"]]
    assert list(suites) == ["provisioning", *tests, "faults", "clean-up"]
    assert {name: len(suites[name]) for name in tests} == {
        test["name"]: test["passed"] for test in status["tests"]
    }
    assert list(suites["provisioning"]) == ["db", "payments", "inventory", "orders", "gate"]
    assert all(float(case.get("time") or 0) > 0 for case in suites["provisioning"].values())
    assert list(suites["clean-up"]) == [status["namespace"]]
    assert list(suites["faults"]) == ["lose-an-orders-pod", "payments-down"]
    for name, case in suites["faults"].items():
        told = {each.get("name"): each.get("value") for each in case.iter("property")}
        fault = fault_of(status, name or "")
        moments = ("requested", "applied", "effective", "reverted", "recovered")
        assert {each: told[each] for each in moments} == {each: fault[each] for each in moments}
        assert told["hits"] == str(fault["hits"])
    bad = [each.tag for each in junit.iter() if each.tag in {"failure", "error"}]
    assert bad == []


def test_how_soon_another_service_agreed_is_a_result(finished: Finished) -> None:
    run, _ = finished("event-sourcing")
    junit = ElementTree.fromstring(report_part(run, "junit.xml.gz"))
    took = {each.get("name"): each.get("value") or "" for each in junit.iter("property")}
    for step in ("the other service has seen it all", "as of every other wallet", "nor here"):
        assert float(took[f"settled: {step}"].removesuffix("s")) >= 0  # the run knows how soon


@pytest.mark.parametrize("example", ["queue-rabbitmq", "queue-kafka"])
def test_the_messages_of_a_run_are_in_its_report(example: str, finished: Finished) -> None:
    run, _ = finished(example)
    run.in_phase("Finished")
    records = {each["test"]: each for each in json.loads(report_part(run, "messages.json.gz"))}
    waited = records["orders-wait-for-who-is-down"]
    bodies = [json.loads(each["text"]) for each in waited["messages"]]
    assert sorted(each["order"] for each in bodies) == [f"wait-{n}" for n in range(10)]
    every = [each for record in records.values() for each in record["messages"]]
    dead = [json.loads(each["text"])["order"] for each in every if "deadLetter" in each]
    assert set(dead) == {"gil-1"}  # put aside again where the broker did not hear of the first time
    junit = report_part(run, "junit.xml.gz")
    assert all(f'"wait-{number}"' in junit for number in range(10))


def test_the_broken_shop_names_the_fault(finished: Finished) -> None:
    _, status = finished("shop-broken")
    assert reason(status, "Finished") == "TestsFailed"
    assert "during fault payments-down" in status["message"]
    assert "502" in status["message"]
    outcomes = {test["name"]: test["outcome"] for test in status["tests"]}
    assert outcomes == {"order-is-paid": "Passed", "sells-while-payments-is-down": "Failed"}


@pytest.mark.parametrize(
    ("example", "why", "words"),
    [
        ("circuit-breaker-broken", "NotRecovered", ["rates-refuses", "'live'", '"last known"']),
        ("timeout-fallback-broken", "TestsFailed", ["during fault rates-slow", "elapsed"]),
        ("partition-broken", "NotRecovered", ["parted", "recovery.until", "'two', 'three'"]),
        (
            "database-restart-broken",
            "TestsFailed",
            ["is there", "expected response.json == ['ada', 'bob', 'eve']"],
        ),
        ("replica-lost-broken", "TestsFailed", ["lose-a-worker", "response.json.answered"]),
    ],
)
def test_a_broken_twin_fails_for_the_right_reason(
    example: str, why: str, words: list[str], finished: Finished
) -> None:
    run, status = finished(example)
    assert reason(status, "Finished") == why
    assert [word for word in words if word not in status["message"]] == [], status["message"]
    # The bug is the system's: the fault itself happened, met traffic, and was undone.
    [fault] = status["faults"]
    # Hits are requests sent while it lasted; one that was under way when it came counts for none.
    assert fault["hits"] > 0 or f"during fault {fault['name']}" in status["message"]
    assert fault["applied"] is not None
    assert fault["reverted"] is not None
    junit = ElementTree.fromstring(report_part(run, "junit.xml.gz"))
    failure = junit.find("testsuite[@name='faults']/testcase/failure")
    assert (failure is not None) == (why == "NotRecovered")


@pytest.mark.parametrize(
    ("example", "test", "words"),
    [
        (
            "service-discovery-broken",
            "three-share-the-work",
            ["all three are found", "size(response.json.by) is 1"],
        ),
        (
            "postgres-broken",
            "a-transfer-is-whole-or-not-at-all",
            ["nothing has left bob's account", "row.balance is 70"],
        ),
        (
            "user-creation-broken",
            "mail-comes-later-when-it-was-down",
            ["now it writes", "rows has 0 elements, not 1"],
        ),
        (
            "order-processing-broken",
            "what-comes-twice-is-charged-once",
            ["charged once", "rows has 2 elements, not 1"],
        ),
        (
            "saga-broken",
            "without-shipping-nothing-is-left",
            ["the money and the stock are back", "row.reserved is 1, not 0"],
        ),
        (
            "event-sourcing-broken",
            "of-writers-in-conflict-one-is-first",
            ["one is first, and seven are told", "a.status == 201)) is 8"],
        ),
        (
            "authentication-broken",
            "a-token-for-another-service-is-refused",
            ["by records, to which front passes it on", "response.status is 200"],
        ),
        (
            "cache-restart-broken",
            "what-changed-meanwhile-is-known-after-a-restart",
            ["hears of the new price", 'result is "100"'],
        ),
        (
            "pool-exhausted-broken",
            "an-exhausted-pool-recovers",
            ["when the database is fast again, so are we", "response.status is 503"],
        ),
        (
            "queue-rabbitmq-broken",
            "what-dies-in-the-middle-is-done-once",
            ["its successor gets the order again", "expected row.n == 1, but row.n is 0"],
        ),
        (
            "queue-kafka-broken",
            "what-dies-in-the-middle-is-done-once",
            ["and does not pack it again", "expected size(rows) == 1, but size(rows) is "],
        ),
    ],
)
def test_a_broken_twin_fails_in_the_one_test_that_is_for_its_bug(
    example: str, test: str, words: list[str], finished: Finished
) -> None:
    _, status = finished(example)
    assert reason(status, "Finished") == "TestsFailed"
    outcomes = {each["name"]: each["outcome"] for each in status["tests"]}
    assert [name for name, outcome in outcomes.items() if outcome != "Passed"] == [test]
    assert [word for word in words if word not in status["message"]] == [], status["message"]


@pytest.mark.parametrize(
    "example",
    ["circuit-breaker", "timeout-fallback", "partition", "database-restart", "replica-lost"],
)
def test_a_system_that_bears_its_fault_is_proven_to(example: str, finished: Finished) -> None:
    _, status = finished(example)
    [fault] = status["faults"]
    # NB: a killed pod is replaced sooner than the next request comes.
    for end in ("firstHit", "reverted"):
        moments = [fault[each] for each in ("requested", "applied", end)]
        assert moments == sorted(moments)
    assert status["summary"]["faults"] == "1/1"
    assert all(probe["state"] == "Held" for probe in status.get("probes", []))
