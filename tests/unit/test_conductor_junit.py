"""JUnit XML of any tool is read or refused in one sentence; what we write every reader takes."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import junitparser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.conductor.cases import Cases
from seatrial_runner.conductor.junit_files import MalformedError, numbered, read_junit
from seatrial_runner.conductor.junit_report import junit_xml

from tests.support.builders import (
    a_failed_probe_state,
    a_fault_state,
    a_probe_state,
    a_summary,
    a_test_state,
)
from tests.support.virtual_time import GATE

AT = "2026-11-20T12:00:00.000Z"
RUN: Any = {
    "name": "checkout",
    "namespace": "shop",
    "environment": "itr-checkout-0a1b2c3d",
    "startedAt": AT,
}


def outcomes(text: str) -> dict[str, str]:
    return {case["id"]: case["outcome"] for case in read_junit("r.xml", text, ended=GATE)}


def a_suite(cases: str) -> str:
    return f"<testsuite>{cases}</testsuite>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(a_suite('<testcase name="a"/>'), {"a": "passed"}, id="suite"),
        pytest.param(
            "<testsuites>"
            + a_suite('<testcase classname="c" name="a"><failure/></testcase>')
            + a_suite('<testcase name="b"><error/></testcase>')
            + "</testsuites>",
            {"c.a": "failed", "b": "error"},
            id="suites",
        ),
        pytest.param(
            a_suite(a_suite('<testcase name="a"><skipped/></testcase>')),
            {"a": "skipped"},
            id="nested",
        ),
        pytest.param("<testsuites/>", {}, id="empty"),
        pytest.param(
            a_suite('<testcase name="a"><failure>\x1b[31mred\x00</failure></testcase>'),
            {"a": "failed"},
            id="terminal-colours-and-a-zero-byte",
        ),
        pytest.param(
            a_suite('<testcase name="a"><failure>&#27;[31m &#x0;</failure></testcase>'),
            {"a": "failed"},
            id="forbidden-characters-as-references",
        ),
    ],
)
def test_files_of_any_tool_are_read(text: str, expected: dict[str, str]) -> None:
    assert outcomes(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no JUnit XML"),
        ("<testsuite>", "is no JUnit XML"),
        ("not xml", "is no JUnit XML"),
        ("<html/>", "is no JUnit XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><testsuite/>', "DOCTYPE"),
    ],
)
def test_what_is_no_junit_xml_is_refused_by_the_name_of_the_file(text: str, words: str) -> None:
    with pytest.raises(MalformedError, match=words) as error:
        outcomes(text)
    assert str(error.value).startswith("r.xml: ")


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        pytest.param('<testcase name="a"/>' * 20_001, "more than 20000 cases: split", id="cases"),
        pytest.param("<a/>" * 400_001, "more than 400000 elements: leave out", id="elements"),
    ],
)
def test_what_would_take_too_much_memory_is_refused_before_it_is_parsed(
    inside: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parsed(*_: object) -> object:
        raise AssertionError("it was parsed")

    monkeypatch.setattr("junitparser.JUnitXml.fromstring", parsed)
    with pytest.raises(MalformedError, match=rf"r\.xml: has {words}"):
        outcomes(a_suite(inside))


def test_what_the_memory_is_not_enough_for_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object) -> object:
        raise MemoryError

    monkeypatch.setattr("junitparser.JUnitXml.fromstring", out_of_memory)
    with pytest.raises(MalformedError, match=r"r\.xml: the conductor's memory is not enough"):
        outcomes(a_suite(""))


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_a_malformed_error(text: str) -> None:
    try:
        read_junit("r.xml", f'<testsuite><testcase name="a"><failure>{text}', ended=GATE)
    except MalformedError:
        return


def test_a_message_is_one_line_and_the_text_its_details() -> None:
    text = a_suite('<testcase name="a" time="2.5"><failure>first\nsecond</failure></testcase>')
    [case] = read_junit("r.xml", text, ended=GATE)
    assert (case["message"], case["details"]) == ("first", "first\nsecond")
    assert case["startedAt"] == "2026-11-20T11:59:57.500Z"


def test_cases_of_the_same_name_are_told_apart() -> None:
    cases = [{"id": "a", "outcome": "passed"}, {"id": "a", "outcome": "failed"}]
    assert [case["id"] for case in numbered(cases)] == ["a", "a#2"]


def written(cases: list[dict[str, Any]], **more: Any) -> ET.Element:
    results = Cases()
    for number, case in enumerate(cases):
        results.add({"startedAt": AT, "finishedAt": AT, "id": str(number), **case})
    summary = a_summary(tests=[a_test_state("suite", outcome=results.outcome())], **more)
    return ET.fromstring(junit_xml(RUN, summary, {"suite": results}))


@given(st.text(max_size=60), st.text(max_size=60))
def test_what_is_written_is_always_xml(message: str, details: str) -> None:
    case = {"id": f"x{message}", "outcome": "failed", "message": message, "details": details}
    root = written([case])
    [suite] = [each for each in root if each.get("name") == "suite"]
    assert suite.get("failures") == "1"


def test_the_report_has_a_suite_for_everything() -> None:
    root = written([{"outcome": "passed"}, {"outcome": "skipped", "message": "later"}])
    assert [each.get("name") for each in root] == ["provisioning", "suite", "clean-up"]
    assert [root.get(name) for name in ("tests", "failures", "skipped")] == ["4", "0", "2"]


def test_another_reader_takes_what_is_written() -> None:
    results = Cases()
    results.add({"id": "a", "outcome": "failed", "startedAt": AT, "finishedAt": AT}, attempt=1)
    results.add({"id": "a", "outcome": "passed", "startedAt": AT, "finishedAt": AT}, attempt=2)
    text = junit_xml(RUN, a_summary(tests=[a_test_state("suite")]), {"suite": results})
    suites = list(junitparser.JUnitXml.fromstring(text))
    assert [(suite.name, suite.tests) for suite in suites][1] == ("suite", 1)
    assert b"rerunFailure" in text


def test_a_test_that_never_had_a_case_is_told_all_the_same() -> None:
    state = a_test_state("suite", outcome="Error")
    state["message"] = "its pod is gone"
    root = ET.fromstring(junit_xml(RUN, a_summary(tests=[state]), {}))
    [error] = root.iter("error")
    assert error.get("message") == "its pod is gone"


def suite_of(name: str, **summary: Any) -> ET.Element:
    root = ET.fromstring(junit_xml(RUN, a_summary(**summary), {}))
    return next(each for each in root if each.get("name") == name)


def properties_of(case: ET.Element) -> dict[str, str]:
    return {each.get("name", ""): each.get("value", "") for each in case.iter("property")}


def test_a_proven_fault_is_a_passed_case_with_its_proof_as_properties() -> None:
    [case] = suite_of("faults", faults=[a_fault_state()])
    assert (case.get("name"), case.find("error"), case.find("failure")) == (
        "lose-an-orders-pod", None, None,
    )  # fmt: skip
    told = properties_of(case)
    assert (told["kind"], told["hits"], told["revertedBy"]) == ("kill", "3", "controller")
    assert told["targets"] == "Pod/orders-1"
    assert told["recovered"] == "2026-11-20T12:00:14.000Z"


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ({"state": "NotRecovered", "message": "no pod"}, "failure", "did not recover: no pod"),
        ({"state": "NoEffect", "kind": "latency"}, "error", "had no effect"),
        ({"hits": 0}, "error", "met no traffic of a test"),
    ],
)
def test_a_fault_that_is_not_proven_says_what_is_missing(
    fault: dict[str, Any], kind: str, words: str
) -> None:
    [case] = suite_of("faults", faults=[a_fault_state(**fault)])
    problem = case.find(kind)
    assert problem is not None
    assert words in str(problem.get("message"))


def test_a_probe_is_a_case_that_fails_where_it_had_to_hold() -> None:
    suite = suite_of("probes", probes=[a_probe_state("up"), a_failed_probe_state("down")])
    up, down = suite
    assert up.find("failure") is None
    assert properties_of(up)["checks"] == "60"
    failure = down.find("failure")
    assert failure is not None
    assert "Probe down did not hold outside of any fault" in str(failure.get("message"))
    assert suite.get("failures") == "1"


def test_what_a_case_says_of_itself_is_among_its_properties() -> None:
    known = {"flaky": "true", "settled: paid": "0.412s", "ti\x00cket": "7"}
    root = written([{"outcome": "passed", "properties": known}])
    assert {each.get("name"): each.get("value") for each in root.iter("property")} == {
        "settled: paid": "0.412s",
        "ticket": "7",
    }
    assert (
        written([{"outcome": "passed", "properties": {"flaky": "true"}}]).find(".//properties")
        is None
    )
