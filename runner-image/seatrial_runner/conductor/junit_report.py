"""JUnit XML of a whole run: provisioning, each test, faults, probes, clean-up."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from seatrial.api.journal import FaultState, ProbeState, RunDoc, SummaryDoc, TestState
from seatrial.api.proof import probe_failure, prove

from seatrial_runner.clock import parse
from seatrial_runner.conductor.cases import Case, Cases
from seatrial_runner.conductor.junit_files import xml_text

_KEPT_CASES = 5000


def junit_xml(
    run: RunDoc,
    summary: SummaryDoc,
    cases: Mapping[str, Cases],
    outputs: Mapping[tuple[str, str], str] | None = None,
) -> bytes:
    """
    Write the results as JUnit XML that every reader takes.

    A flaky case passes and has its earlier failures as ``rerunFailure`` (Maven Surefire's word),
    and properties say so. Of what the summary alone knows (an earlier conductor's cases), counts
    and failures are told. ``outputs`` go by test and case: what a case has for its system-out.
    """
    root = ET.Element("testsuites", name=f"{run['namespace']}/{run['name']}")
    _provisioning(root, run, summary)
    for test in summary["tests"]:
        _test(root, test, cases.get(test["name"]) or Cases(), outputs or {})
    if summary["faults"]:
        _faults(root, summary)
    if probes := summary.get("probes"):
        _probes(root, probes)
    _clean_up(root, run)
    _totals(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _suite(root: ET.Element, name: str, began: str | None = None) -> ET.Element:
    suite = ET.SubElement(root, "testsuite", name=_text(name))
    if began:
        suite.set("timestamp", began)
    return suite


def _element(suite: ET.Element, name: str, seconds: float = 0.0) -> ET.Element:
    return ET.SubElement(
        suite,
        "testcase",
        classname=suite.get("name") or "",
        name=_text(name),
        time=f"{max(seconds, 0.0):.3f}",
    )


def _bad(element: ET.Element, kind: str, message: str, details: str = "") -> None:
    child = ET.SubElement(element, kind, message=_text(message))
    if details:
        child.text = _text(details)


def _provisioning(root: ET.Element, run: RunDoc, summary: SummaryDoc) -> None:
    suite = _suite(root, "provisioning", run["startedAt"])
    ready = summary["gateOpenedAt"]
    seconds = _between(run["startedAt"], ready)
    failure = summary["environmentFailure"]
    for service in summary["services"]:
        element = _element(suite, service["name"], seconds)
        if failure is not None and failure["service"] == service["name"]:
            _bad(element, "error", failure["message"], failure.get("logs", ""))
        elif service["state"] != "Ready" and ready is None:
            ET.SubElement(element, "skipped", message=_text(service["message"] or "not ready"))
    element = _element(suite, "gate", seconds)
    if failure is not None and all(s["name"] != failure["service"] for s in summary["services"]):
        _bad(element, "error", failure["message"], failure.get("logs", ""))
    elif ready is None:
        ET.SubElement(element, "skipped", message="the gate was not opened")
    if summary["environmentLostAt"] is not None:
        lost = summary["finished"]
        _bad(_element(suite, "environment"), "error", lost["message"] if lost else "it broke")


def _test(
    root: ET.Element,
    test: TestState,
    cases: Cases,
    outputs: Mapping[tuple[str, str], str],
) -> None:
    suite = _suite(root, test["name"], test["startedAt"])
    last = cases.last()
    for case in last[:_KEPT_CASES]:
        _case(suite, case, cases, outputs.get((test["name"], case["id"]), ""))
    if len(last) > _KEPT_CASES:
        element = _element(suite, f"{len(last) - _KEPT_CASES} more cases")
        ET.SubElement(element, "skipped", message="left out of this report")
    told = {case["id"] for case in last}
    for failure in test["failures"]:
        if failure["name"] not in told:
            seconds = _between(failure["startedAt"], failure["finishedAt"])
            _bad(_element(suite, failure["name"], seconds), "failure", failure["message"])
    bad = any(each["outcome"] in ("failed", "error") for each in last) or test["failures"]
    seconds = _between(test["startedAt"], test["finishedAt"])
    if test["outcome"] in ("Failed", "Error") and not bad:
        _bad(_element(suite, test["name"], seconds), "error", test["message"])
    elif not last and not test["failures"]:
        element = _element(suite, test["name"], seconds)
        if test["outcome"] != "Passed":
            ET.SubElement(element, "skipped", message=_text(test["message"] or "not run"))


def _case(suite: ET.Element, case: Case, cases: Cases, output: str) -> None:
    element = _element(suite, case["id"], _between(case["startedAt"], case["finishedAt"]))
    if case.get("file"):
        element.set("file", _text(case["file"]))
    # A flaky case has its attempts.
    known = {name: text for name, text in case.get("properties", {}).items() if name != "flaky"}
    if known:
        _properties(element, known)
    message, details = case.get("message", ""), case.get("details", "")
    match case["outcome"]:
        case "failed":
            _bad(element, "failure", message, details)
        case "error":
            _bad(element, "error", message, details)
        case "skipped":
            ET.SubElement(element, "skipped", message=_text(message))
        case _:
            for before in cases.attempts(case["id"])[:-1]:
                _bad(element, "rerunFailure", before.get("message", ""), before.get("details", ""))
    if output:
        ET.SubElement(element, "system-out").text = _text(output)


def _faults(root: ET.Element, summary: SummaryDoc) -> None:
    suite = _suite(root, "faults")
    proofs = {proof.name: proof for proof in prove(summary, ())}
    for fault in summary["faults"]:
        element = _element(suite, fault["name"], _between(fault["applied"], fault["recovered"]))
        evidence = _evidence(fault)
        _properties(element, evidence)
        told = ", ".join(f"{name} {value}" for name, value in evidence.items())
        proof = proofs[fault["name"]]
        if fault["state"] == "NotRecovered":
            _bad(element, "failure", proof.message, told)
        elif not proof.proven:
            _bad(element, "error", proof.message, told)
        ET.SubElement(element, "system-out").text = told


def _evidence(fault: FaultState) -> dict[str, str]:
    """Give the proof of a fault by name; what there is none of is left out."""
    targets = ", ".join(f"{each['kind']}/{each['name']}" for each in fault["targets"])
    evidence = {
        "kind": fault["kind"],
        "state": fault["state"],
        "times": str(fault["times"] or ""),
        "seed": "" if fault["seed"] is None else str(fault["seed"]),
        "targets": targets,
        "requested": fault["requested"],
        "applied": fault["applied"],
        "effective": fault["effective"],
        "firstHit": fault["firstHit"],
        "hits": str(fault["hits"]),
        "reverted": fault["reverted"],
        "revertedBy": fault["revertedBy"],
        "recovered": fault["recovered"],
    }
    return {name: value for name, value in evidence.items() if value}


def _probes(root: ET.Element, probes: list[ProbeState]) -> None:
    suite = _suite(root, "probes")
    for probe in probes:
        element = _element(suite, probe["name"])
        evidence = {
            "checks": str(probe["checks"]),
            "failures": str(probe["failures"]),
            "outsideFaults": str(probe["outsideFaults"]),
            "duringFaults": ", ".join(probe["duringFaults"]),
            "longestOutage": f"{probe['longestOutageS']:.3f} s",
        }
        _properties(element, {name: value for name, value in evidence.items() if value})
        if message := probe_failure(probe):
            _bad(element, "failure", message)
        elif not probe["checks"]:
            ET.SubElement(element, "skipped", message="it made no check")


def _properties(element: ET.Element, values: Mapping[str, str]) -> None:
    properties = ET.SubElement(element, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=_text(name), value=_text(value))


def _clean_up(root: ET.Element, run: RunDoc) -> None:
    suite = _suite(root, "clean-up")
    element = _element(suite, run["environment"])
    note = "this report was made before clean-up; condition CleanedUp of the run tells of it"
    ET.SubElement(element, "skipped", message=note)


def _totals(root: ET.Element) -> None:
    for suite in root:
        _count(suite, suite)
    _count(root, root)


def _count(element: ET.Element, of: ET.Element) -> None:
    cases = list(of.iter("testcase"))
    for name, child in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(name, str(sum(case.find(child) is not None for case in cases)))
    element.set("tests", str(len(cases)))
    element.set("time", f"{sum(float(case.get('time') or 0) for case in cases):.3f}")


def _between(begin: str | None, end: str | None) -> float:
    if begin is None or end is None:
        return 0.0
    return (parse(end) - parse(begin)).total_seconds()


def _text(text: str) -> str:
    return xml_text(text)
