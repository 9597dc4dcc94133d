"""JUnit XML from the command line tool tells what came of the clean-up."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import junitparser
import pytest
from seatrial.cli.clean_up import clean_up_settled, with_clean_up
from seatrial_runner.conductor.cases import Cases
from seatrial_runner.conductor.junit_report import junit_xml

from tests.support.builders import a_summary, a_test_state, at

ENVIRONMENT = "itr-checkout-0a1b2c3d"
RUN: Any = {
    "name": "checkout",
    "namespace": "shop",
    "environment": ENVIRONMENT,
    "startedAt": at(0),
}
GOING = "the environment is being deleted; write the report again when it is gone"
NOT_BEGUN = "clean-up has not begun; write the report again when the run is Finished"


def a_report(name: str = "suite") -> bytes:
    """What the conductor writes: a failed case and a skipped one, and the text of people."""
    cases = Cases()
    for outcome, message in (("failed", "a < b & c\n\tö"), ("skipped", "later"), ("passed", "")):
        case = {"id": outcome, "outcome": outcome, "startedAt": at(0), "finishedAt": at(2)}
        cases.add({**case, "message": message, "details": 'two\n  lines "quoted"'})
    summary = a_summary(tests=[a_test_state(name, outcome="Failed")])
    return junit_xml(RUN, summary, {name: cases})


def a_run(status: str = "", reason: str = "", message: str = "", **more: Any) -> dict[str, Any]:
    claim = {"type": "CleanedUp", "status": status, "reason": reason, "message": message}
    conditions = [{**claim, "lastTransitionTime": at(12.5)}] if status else []
    return {"status": {"namespace": ENVIRONMENT, "conditions": conditions, **more}}


@pytest.mark.parametrize(
    ("run", "child", "message"),
    [
        pytest.param(a_run("True", "Deleted", cleanupTime=at(10)), None, None, id="gone"),
        pytest.param(
            a_run("False", "NamespaceStuck", "Pod x has a finalizer."),
            *("error", "Pod x has a finalizer."),
            id="stuck",
        ),
        pytest.param(
            a_run("False", "Kept", "It is kept until noon."),
            *("skipped", "It is kept until noon."),
            id="kept",
        ),
        pytest.param(
            a_run("False", "Deleting"),
            *(
                "skipped",
                "the environment is being deleted; write the report again when it is gone",
            ),
            id="going",
        ),
        pytest.param(a_run(), "skipped", NOT_BEGUN, id="not-begun"),
    ],
)
def test_the_case_of_the_clean_up_says_what_came_of_it(
    run: dict[str, Any], child: str | None, message: str | None
) -> None:
    root = ET.fromstring(with_clean_up(a_report(), run))
    suite = root[-1]
    [case] = suite
    assert case.get("name") == ENVIRONMENT
    assert [(each.tag, each.get("message")) for each in case] == (
        [(child, message)] if child else []
    )
    assert suite.get("errors") == ("1" if child == "error" else "0")
    assert suite.get("skipped") == ("1" if child == "skipped" else "0")
    assert root.get("errors") == suite.get("errors")
    assert root.get("failures") == "1"
    assert root.get("skipped") == ("2" if child == "skipped" else "1")


def test_how_long_the_clean_up_took_is_told() -> None:
    report = with_clean_up(a_report(), a_run("True", "Deleted", cleanupTime=at(10)))
    [*_, suite] = junitparser.JUnitXml.fromstring(report.decode().partition("?>")[2])
    assert suite.time == 2.5


def test_all_the_rest_stays_as_it_was_to_the_letter() -> None:
    def before_clean_up(report: bytes) -> bytes:
        return report[report.index(b"<testsuite ") :].partition(b'<testsuite name="clean-up"')[0]

    report = a_report()
    assert before_clean_up(with_clean_up(report, a_run("True", "Deleted"))) == before_clean_up(
        report
    )


def test_a_test_that_is_named_clean_up_is_left_alone() -> None:
    root = ET.fromstring(with_clean_up(a_report("clean-up"), a_run("True", "Deleted")))
    assert [each.get("name") for each in root][-2:] == ["clean-up", "clean-up"]
    assert [len(each) for each in root][-2:] == [3, 1]


@pytest.mark.parametrize(
    "report",
    [
        b"<testsuites/>",
        b"<testsuites",
        b"",
        b'<testsuites><testsuite name="clean-up"/></testsuites>',
        b'<testsuites><testsuite name="clean-up"><testcase name="x"/></testsuite></testsuites>',
        b'<!DOCTYPE x [<!ENTITY a "b">]><testsuites/>',
    ],
)
def test_what_has_no_such_case_stays_as_it_is(report: bytes) -> None:
    assert with_clean_up(report, a_run("True", "Deleted")) == report


@pytest.mark.parametrize(
    ("run", "settled"),
    [
        (a_run("True", "Deleted"), True),
        (a_run("False", "NamespaceStuck"), True),
        (a_run("False", "Kept"), True),
        (a_run("False", "Deleting"), False),
        (a_run(), False),
    ],
)
def test_it_is_waited_for_until_something_came_of_it(run: dict[str, Any], settled: bool) -> None:
    assert clean_up_settled(run) is settled
