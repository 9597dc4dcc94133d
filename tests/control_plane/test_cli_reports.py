"""What the command line tool shows of a report that a real API server keeps."""

from __future__ import annotations

import json

from seatrial.cli.client import core_path

from tests.support.cli_runs import (
    Json,
    a_condition,
    a_log,
    ends,
    when_created,
    write_report,
    write_status,
)


def test_junit_waits_for_the_report(seatrial, cluster, file, tmp_path):
    path, name = file

    def finish(run: Json) -> None:
        write_status(cluster, name, phase="Collecting", verdict="Failed", report=f"{name}-kept")
        write_report(cluster, name, {"junit.xml.gz": b"<testsuites/>"})
        available = [a_condition("ReportAvailable", "True")]
        write_status(cluster, name, phase="Finished", conditions=available)

    thread = when_created(cluster, name, finish)
    assert seatrial("run", path, "--junit", str(tmp_path / "junit.xml"))[0] == 1
    thread.join()
    assert (tmp_path / "junit.xml").read_text() == "<testsuites/>"
    assert seatrial("junit", name)[1] == "<testsuites/>"


def test_junit_may_wait_for_the_clean_up(seatrial, cluster, file, tmp_path):
    path, name = file
    suite = '<testsuite name="clean-up"><testcase name="itr-x"><skipped/></testcase></testsuite>'

    def finish(run: Json) -> None:
        here = {"verdict": "Failed", "report": f"{name}-kept", "namespace": "itr-x"}
        available = a_condition("ReportAvailable", "True")
        write_report(cluster, name, {"junit.xml.gz": f"<testsuites>{suite}</testsuites>".encode()})
        write_status(cluster, name, phase="Cleaning", conditions=[available], **here)
        gone = a_condition("CleanedUp", "True")
        write_status(cluster, name, phase="Finished", conditions=[available, gone], **here)

    thread = when_created(cluster, name, finish)
    target = tmp_path / "junit.xml"
    assert seatrial("run", path, "--junit", str(target), "--cleaned-up")[0] == 1
    thread.join()
    assert 'skipped="0"' in target.read_text()
    assert 'skipped="0"' in seatrial("junit", name, "--cleaned-up")[1]


def test_a_report_that_will_never_come_says_why(seatrial, cluster, file):
    path, name = file
    message = "The conductor was lost."
    of_someone_else = {"metadata": {"name": f"{name}-report"}, "binaryData": {}}
    cluster.create(core_path("default", "configmaps"), of_someone_else)
    lost = [a_condition("ReportAvailable", "False", message)]
    thread = ends(cluster, name, "Error", conditions=lost)
    assert seatrial("run", path)[0] == 2
    thread.join()
    status, _, err = seatrial("junit", name)
    assert status == 66
    assert message in err


def test_logs_come_from_the_report_and_can_be_narrowed(seatrial, cluster, file):
    path, name = file
    available = [a_condition("ReportAvailable", "True")]
    thread = ends(cluster, name, "Failed", conditions=available, report=f"{name}-kept")
    seatrial("run", path)
    thread.join()
    logs = [
        a_log("orders-6f-abc", "orders", "one\ntwo\x1b[2J\n", service="orders"),
        a_log("orders-6f-abc", "orders", "zero\n", service="orders", previous=True),
        a_log("orders-db-0", "db", "ready\n", service="orders-db"),
        a_log("test-suite-0-x", "pytest", "1 passed\n", test="suite"),
    ]
    write_report(cluster, name, {"logs.json.gz": json.dumps(logs).encode()})
    status, out, _ = seatrial("logs", name)
    assert status == 0
    assert len(out.splitlines()) == 5
    assert "\x1b" not in out
    assert seatrial("logs", name, "-t", "suite")[1] == "test-suite-0-x/pytest | 1 passed\n"
    of_orders = seatrial("logs", name, "-s", "orders")[1].splitlines()
    assert [line.partition(" | ")[0] for line in of_orders] == [
        "orders-6f-abc/orders", "orders-6f-abc/orders", "orders-6f-abc/orders (previous)"
    ]  # fmt: skip
    assert seatrial("logs", name, "-c", "db")[1] == "orders-db-0/db | ready\n"
    status, _, err = seatrial("logs", name, "-s", "payments")
    assert status == 66
    assert "no log that matches" in err


def test_messages_come_from_the_report_and_can_be_narrowed(seatrial, cluster, file):
    path, name = file
    available = [a_condition("ReportAvailable", "True")]
    thread = ends(cluster, name, "Passed", conditions=available, report=f"{name}-kept")
    seatrial("run", path)
    thread.join()
    message = {
        "number": 1, "from": "topic orders of events", "at": "2026-11-20T12:00:00.000Z",
        "topic": "orders", "key": "ada", "headers": {}, "text": "{\x1b[2J}", "bytes": 2,
    }  # fmt: skip
    record = {
        "test": "told", "case": "told", "attempt": 1,
        "total": 1, "leftOut": 0, "withoutBody": 0, "dropped": 0, "messages": [message],
        "subscriptions": [{"name": "topic orders of events", "messages": 1, "missed": []}],
    }  # fmt: skip
    again = {**record, "test": "matrix", "case": "matrix[A1]", "attempt": 2}
    records = json.dumps([record, again]).encode()
    write_report(cluster, name, {"messages.json.gz": records})
    status, out, _ = seatrial("messages", name)
    assert status == 0
    assert out.splitlines() == [
        "told",
        "Messages recorded: 1",
        "      1  topic orders of events",
        "      1  2026-11-20T12:00:00.000Z  orders, key ada: {}",
        "",
        "matrix > matrix[A1], attempt 2",
        "Messages recorded: 1",
        "      1  topic orders of events",
        "      1  2026-11-20T12:00:00.000Z  orders, key ada: {}",
    ]
    [printed] = json.loads(seatrial("messages", name, "-t", "told", "-o", "json")[1])
    assert printed == record
    status, _, err = seatrial("messages", name, "-t", "silent")
    assert status == 66
    assert "has no messages of test silent" in err


def test_show_has_every_failure_of_the_report(seatrial, cluster, file):
    path, name = file
    available = [a_condition("ReportAvailable", "True")]
    tests = [{"name": "suite", "outcome": "Failed", "failed": 2, "message": "the first alone"}]
    kept = f"{name}-kept"
    thread = ends(cluster, name, "Failed", conditions=available, tests=tests, report=kept)
    seatrial("run", path)
    thread.join()
    case = {"outcome": "failed", "startedAt": None, "finishedAt": None, "duringFaults": []}
    failures = [{**case, "name": n, "message": f"{n} broke"} for n in ("test_a", "test_b")]
    report = {"summary": {"tests": [{"name": "suite", "failures": failures}]}}
    write_report(cluster, name, {"report.json.gz": json.dumps(report).encode()})
    out = seatrial("show", name)[1]
    assert "test_a broke" in out
    assert "test_b broke" in out
    assert seatrial("show", name, "--watch")[0] == 1
