"""The clean-up in JUnit XML: a report is made before it, the status of the run tells of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from seatrial.api.conditions import ConditionType
from seatrial.api.reasons import Reason
from seatrial.cli.report import condition

Json = dict[str, Any]

SUITE = "clean-up"  # the last one; its only case bears the name of the environment
_NOT_YET = "clean-up has not begun; write the report again when the run is Finished"
_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def clean_up_settled(run: Json) -> bool:
    """Say whether it is known what came of the clean-up: done, stuck, or put off."""
    found = condition(run, ConditionType.CLEANED_UP)
    return found.get("status") == "True" or found.get("reason") in (
        Reason.NAMESPACE_STUCK,
        Reason.KEPT,
    )


def with_clean_up(junit: bytes, run: Json) -> bytes:
    """
    Replace the case of the clean-up by what the condition CleanedUp says.

    Args:
        junit: As it stands in the report.
        run: The run as it is now.

    Returns:
        The same where there is no such case, or it cannot be read.
    """
    if b"<!DOCTYPE" in junit:
        return junit  # not ours
    try:
        root = ET.fromstring(junit)  # noqa: S314  # without a DOCTYPE there are no entities
    except ET.ParseError:
        return junit
    environment = (run.get("status") or {}).get("namespace")
    suite, case = root.find("testsuite[last()]"), root.find("testsuite[last()]/testcase")
    if suite is None or suite.get("name") != SUITE:
        return junit
    if case is None or case.get("name") != environment:
        return junit
    for child in list(case):
        case.remove(child)
    _tell(case, run)
    for element in (suite, root):
        _count(element)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _tell(case: ET.Element, run: Json) -> None:
    found = condition(run, ConditionType.CLEANED_UP)
    message = found.get("message") or ""
    if found.get("status") == "True":
        case.set("time", f"{_seconds(run, found):.3f}")
    elif found.get("reason") == Reason.NAMESPACE_STUCK:
        ET.SubElement(case, "error", message=message)
    else:
        deleting = "the environment is being deleted; write the report again when it is gone"
        otherwise = deleting if found.get("reason") == Reason.DELETING else _NOT_YET
        ET.SubElement(case, "skipped", message=message or otherwise)


def _seconds(run: Json, found: Json) -> float:
    """Give how long the clean-up took."""
    try:
        began = datetime.fromisoformat(run["status"]["cleanupTime"])
        ended = datetime.fromisoformat(found["lastTransitionTime"])
    except (KeyError, ValueError):
        return 0.0
    return max((ended - began).total_seconds(), 0.0)


def _count(element: ET.Element) -> None:
    cases = list(element.iter("testcase"))
    for name, child in _COUNTED.items():
        element.set(name, str(sum(case.find(child) is not None for case in cases)))
    element.set("time", f"{sum(float(case.get('time') or 0) for case in cases):.3f}")
