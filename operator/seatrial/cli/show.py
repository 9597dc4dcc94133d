"""``seatrial show``: what a run came to, or where it is, with the proof of its faults."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from seatrial.cli.attend import attend
from seatrial.cli.client import Cluster, connect
from seatrial.cli.exits import OF_VERDICT, CommandError, Exit
from seatrial.cli.lines import Line, Tone, block, clock_time, moment
from seatrial.cli.lookup import find_run
from seatrial.cli.parts import (
    fault_line,
    fault_proof,
    marked,
    probe_line,
    service_line,
    tally,
    test_line,
    verdict_tone,
)
from seatrial.cli.printing import FORMATS, print_object
from seatrial.cli.report import REPORT, condition, report_part
from seatrial.cli.screen import print_lines

Json = dict[str, Any]

HELP = "show a run: services, tests, faults with their proof, probes, conditions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("name", metavar="NAME", help="the run")
    parser.add_argument(
        "-w",
        "--watch",
        action="store_true",
        help="show it as it goes until its verdict, and end with the verdict's exit status",
    )
    parser.add_argument("-o", "--output", choices=FORMATS, help="print the object instead")


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    cluster = connect(options)
    found = find_run(cluster, options.name)
    if options.watch:
        stream = sys.stderr if options.output else sys.stdout
        found = attend(cluster, found, stream, None, abort_on_interrupt=False)
    if options.output:
        print_object(found, options.output)
    else:
        print_lines(tree(found, _failures(cluster, found)))
    return OF_VERDICT[found["status"]["verdict"]] if options.watch else Exit.PASSED


def tree(run: Json, failures: dict[str, list[Json]]) -> Iterator[Line]:
    """
    Give everything there is to say of a run, as an indented tree.

    Args:
        run: The run.
        failures: Failed cases by test, from the report; of a test that is not in it, the status
            has the first failure.
    """
    metadata, status = run["metadata"], run.get("status") or {}
    verdict = status.get("verdict")
    phase = status.get("phase") or "not taken up by an operator yet"
    title = f"{metadata['namespace']}/{metadata['name']}  {verdict or phase}"
    yield Line(title, verdict_tone(verdict) if verdict else Tone.BUSY)
    if message := status.get("message"):
        yield from block(message, 1)
    if begun := moment(status.get("startTime")):
        yield Line(f"started {begun:%Y-%m-%d %H:%M:%S} UTC, phase {phase}", Tone.QUIET, 1)
    if timings := _timings(status):
        yield Line(f"time    {timings}", Tone.QUIET, 1)
    if namespace := status.get("namespace"):
        gone = condition(run, "CleanedUp").get("status") == "True"
        yield Line(f"in      {namespace}{', gone' if gone else ''}", Tone.QUIET, 1)
    yield from _section("services", (marked(service_line(s)) for s in status.get("services") or []))
    took = (status.get("timings") or {}).get("tests")
    yield from _section(f"tests: {tally(status, took)}", _tests(status, failures))
    yield from _section("faults", _faults(status))
    yield from _section("probes", _probes(status))
    yield from _section("conditions", _conditions(status))


def _section(title: str, lines: Iterator[Line]) -> Iterator[Line]:
    for number, line in enumerate(lines):
        if number == 0:
            yield Line(title, Tone.TITLE, 1)
        yield Line(line.text, line.tone, line.depth + 2)


def _tests(status: Json, failures: dict[str, list[Json]]) -> Iterator[Line]:
    for test in status.get("tests") or []:
        yield marked(test_line(test))
        cases = failures.get(test["name"], [])
        if not cases:
            yield from block(test.get("message") or "", 1)
        for case in cases:
            during = ", ".join(case.get("duringFaults") or [])
            begun = clock_time(case.get("startedAt"))
            text = f"{case['name']} {case['outcome']} at {begun}"
            yield Line(text + (f", during fault {during}" if during else ""), Tone.BAD, 1)
            yield from block(case.get("message") or "", 2)


def _faults(status: Json) -> Iterator[Line]:
    for fault in status.get("faults") or []:
        yield marked(fault_line(fault))
        if fault.get("requested"):
            yield from fault_proof(fault, 1)
        else:
            yield from block(fault.get("message") or "", 1)


def _probes(status: Json) -> Iterator[Line]:
    for probe in status.get("probes") or []:
        yield marked(probe_line(probe))
        yield from block(probe.get("message") or "", 1)


def _conditions(status: Json) -> Iterator[Line]:
    for each in status.get("conditions") or []:
        tone = Tone.QUIET
        if each["type"] in ("CleanedUp", "ReportAvailable") and each["status"] == "False":
            tone = Tone.WARNING
        text = f"{each['type']}={each['status']} {each['reason']}"
        yield Line(text, tone)
        # What the verdict is about stands above already.
        if each["message"] and each["message"] != status.get("message"):
            yield from block(each["message"], 1, Tone.QUIET)


def _timings(status: Json) -> str:
    timings = status.get("timings") or {}
    parts = [
        f"{key} {timings[key]}"
        for key in ("queued", "provisioning", "tests", "total")
        if timings.get(key)
    ]
    return ", ".join(parts)


def _failures(cluster: Cluster, run: Json) -> dict[str, list[Json]]:
    """Read the failed cases of the report, by test; empty if there is no report."""
    if condition(run, "ReportAvailable").get("status") != "True":
        return {}
    try:
        report = json.loads(report_part(cluster, run, REPORT))
    except (CommandError, ValueError):
        return {}
    return {test["name"]: test["failures"] for test in report["summary"]["tests"]}
