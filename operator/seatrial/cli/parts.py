"""What is said of a service, a test, a fault and a probe of a status. Pure; a status is JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seatrial.api import families
from seatrial.api.verdict import Verdict
from seatrial.cli.lines import (
    Line,
    Tone,
    block,
    clock_time,
    count,
    printable,
    seconds_between,
    short_seconds,
)

Json = dict[str, Any]

# Of what a service waits for, in its line; `seatrial show` has all of it.
_MESSAGE_WIDTH = 120
_SERVICE_TONES = {"Ready": Tone.GOOD, "Failed": Tone.BAD, "Starting": Tone.BUSY}
_TEST_TONES = {
    "Passed": Tone.GOOD,
    "Failed": Tone.BAD,
    "Error": Tone.BAD,
    "Skipped": Tone.WARNING,
    "Running": Tone.BUSY,
}
_FAULT_TONES = {
    "Recovered": Tone.GOOD,
    "Requested": Tone.BUSY,
    "Active": Tone.BUSY,
    "Reverted": Tone.BUSY,
    "NotInjected": Tone.BAD,
    "NotReverted": Tone.BAD,
    "NotRecovered": Tone.BAD,
    "NoEffect": Tone.BAD,
    "EndedEarly": Tone.BAD,
    "Skipped": Tone.WARNING,
}
_PROBE_TONES = {"Held": Tone.GOOD, "Failed": Tone.BAD}
_VERDICT_TONES = {
    Verdict.PASSED: Tone.GOOD,
    Verdict.FAILED: Tone.BAD,
    Verdict.ERROR: Tone.BAD,
    Verdict.INCONCLUSIVE: Tone.WARNING,
    Verdict.ABORTED: Tone.WARNING,
}
MARKS = {Tone.GOOD: "✓", Tone.BAD: "✗", Tone.WARNING: "!", Tone.BUSY: "~"}


def verdict_tone(verdict: str) -> Tone:
    """Say how a verdict is meant."""
    return next((tone for each, tone in _VERDICT_TONES.items() if each == verdict), Tone.PLAIN)


def marked(line: Line) -> Line:
    """Put a mark before a line, for those who do not see its colour."""
    return Line(f"{MARKS.get(line.tone, '·')} {line.text}", line.tone, line.depth)


def service_line(service: Json) -> Line:
    """Say how a service is: ``service orders Ready, 2/2 pods``."""
    state = service.get("state", "Pending")
    text = f"service {service['name']} {state}"
    if replicas := service.get("replicas"):
        text += f", {service.get('readyReplicas', 0)}/{replicas} pods"
    if restarts := service.get("restarts"):
        text += f", {count(restarts, 'restart')}"
    if message := service.get("message"):
        text += f": {_first_line(message)}"
    return Line(text, _SERVICE_TONES.get(state, Tone.QUIET))


def test_line(test: Json) -> Line:
    """Say how a test is: ``test python-suite Failed, 12 passed, 1 failed, in 3.1s``."""
    outcome = test.get("outcome", "Pending")
    text = f"test {test['name']} {outcome}"
    cases = [
        f"{test[key]} {key}" for key in ("passed", "failed", "skipped", "flaky") if test.get(key)
    ]
    # A test of one case says all with its outcome.
    if sum(test.get(key, 0) for key in ("passed", "failed", "skipped")) > 1 or test.get("flaky"):
        text += "".join(f", {each}" for each in cases)
    if (attempts := test.get("attempts", 0)) > 1:
        text += f", {count(attempts, 'attempt')}"
    if duration := test.get("duration"):
        text += f", in {duration}"
    return Line(text, _TEST_TONES.get(outcome, Tone.QUIET))


# What is counted where a fault is carried out; elsewhere it is the requests of tests.
_MET = {
    **dict.fromkeys(families.NETWORK, "connection"),
    "packets": "packet",
    "dns": "lookup",
}


def _met(fault: Json) -> str:
    return count(fault.get("hits", 0), _MET.get(fault.get("kind", ""), "request"))


def fault_line(fault: Json) -> Line:
    """Say how a fault is: ``fault f Recovered, met 14 requests, well again 2s after its end``."""
    state = fault.get("state", "Pending")
    text = f"fault {fault['name']} {state}"
    if targets := fault.get("targets"):
        shown = ", ".join(f"{each['kind']} {each['name']}" for each in targets[:3])
        text += f" ({shown}{', ...' if len(targets) > 3 else ''})"
    if state == "Reverted" and (by := fault.get("revertedBy")):
        text += f" by {by}"
    if (times := fault.get("times") or 0) > 1:
        text += f", {times} times"
    if fault.get("hits"):
        text += f", met {_met(fault)}"
    well = seconds_between(fault.get("reverted"), fault.get("recovered"))
    if well is not None:
        text += f", well again {short_seconds(well)} after its end"
    if state == "Recovered" and fault.get("message"):  # it says what the proof lacks
        return Line(text, Tone.WARNING)
    return Line(text, _FAULT_TONES.get(state, Tone.QUIET))


def fault_proof(fault: Json, depth: int) -> Iterator[Line]:
    """Give the evidence of a fault, a line for each piece; what is missing says so."""
    about = [f"kind {fault['kind']}"] if fault.get("kind") else []
    if (times := fault.get("times") or 0) > 1:
        about.append(f"{times} times, the last time told here")
    if fault.get("seed") is not None:
        about.append(f"seed {fault['seed']}")
    if about:
        yield Line(", ".join(about), Tone.QUIET, depth)
    for target in fault.get("targets") or []:
        text = f"hit {target['kind']} {target['name']}"
        if uid := target.get("uid"):
            text += f" (uid {uid})"
        if replaced := target.get("replacedBy"):
            text += f", replaced by uid {replaced}"
        yield Line(text, Tone.QUIET, depth)
    applied = fault.get("applied")
    for label, key in (
        ("requested", "requested"),
        ("applied", "applied"),
        ("effective", "effective"),
        ("first hit", "firstHit"),
        ("reverted", "reverted"),
        ("recovered", "recovered"),
    ):
        when = fault.get(key)
        text = f"{label:<10} {clock_time(when)}"
        since = seconds_between(applied, when)
        # Of all times, the first hit is that of the first, and the others are of the last.
        of_all_times = key == "firstHit" and times > 1
        if since is not None and key not in ("requested", "applied") and not of_all_times:
            text += f"  +{short_seconds(since)}"
        if key == "firstHit" and when:
            text += f", {_met(fault)} in all{f' {times} times' if of_all_times else ''}"
        if key == "reverted" and (by := fault.get("revertedBy")):
            text += f", by {by}"
        yield Line(text, Tone.QUIET if when else Tone.WARNING, depth)
    if message := fault.get("message"):
        yield from block(message, depth)


def probe_line(probe: Json) -> Line:
    """Say how a probe is: ``probe checkout Held, 60 checks, 4 failed during payments-slow``."""
    checks, failures = probe.get("checks", 0), probe.get("failures", 0)
    outside = probe.get("outsideFaults", 0)
    state = probe.get("state") or "Unchecked"
    text = f"probe {probe['name']} {state}, {count(checks, 'check')}"
    if failures:
        text += f", {failures} failed"
        if outside:
            text += f", {outside} outside of faults"
        if during := probe.get("duringFaults"):
            text += f"{', others' if outside else ''} during {', '.join(during)}"
        if longest := probe.get("longestOutage"):
            text += f", {longest} at the longest"
    return Line(text, _PROBE_TONES.get(state, Tone.QUIET))


def conclusion(run: Json) -> Iterator[Line]:
    """Give the verdict with its reasons: what failed, with the evidence, and where to look next."""
    metadata, status = run["metadata"], run.get("status") or {}
    name = metadata["name"]
    verdict = status.get("verdict") or "no verdict yet"
    tone = verdict_tone(verdict)
    yield marked(Line(f"{verdict}: {name}, {tally(status, status.get('duration'))}", tone))
    if verdict == Verdict.PASSED:
        yield from (Line(fault_line(f).text, Tone.QUIET, 1) for f in status.get("faults") or [])
        yield from (Line(probe_line(p).text, Tone.QUIET, 1) for p in status.get("probes") or [])
        return
    message = status.get("message") or ""
    yield from block(message, 1)
    for service in status.get("services") or []:
        if service.get("state") == "Failed":
            yield Line(service_line({**service, "message": ""}).text, Tone.BAD, 1)
            yield from block(service.get("message", ""), 2)
    for test in status.get("tests") or []:
        if test.get("outcome") in ("Failed", "Error"):
            yield Line(test_line(test).text, Tone.BAD, 1)
            # Of a single failure, the run's message has said it.
            if test.get("message", "") not in message:
                yield from block(test["message"], 2)
    for probe in status.get("probes") or []:
        if probe.get("failures") or not probe.get("checks"):
            yield Line(probe_line(probe).text, probe_line(probe).tone, 1)
            if probe.get("message", "") not in message:
                yield from block(probe["message"], 2)
    for fault in status.get("faults") or []:
        yield from unproven(fault, depth=1)
    there = f"{name} -n {metadata['namespace']}"
    yield Line(f"more: seatrial show {there}; seatrial logs {there}", Tone.QUIET, 1)


def unproven(fault: Json, depth: int) -> Iterator[Line]:
    """Give a fault's evidence if something is missing of it, else nothing."""
    if fault.get("state") == "Recovered" and fault.get("hits") and not fault.get("message"):
        return
    yield Line(fault_line(fault).text, fault_line(fault).tone, depth)
    yield from fault_proof(fault, depth + 1)


def tally(status: Json, took: str | None) -> str:
    """Count the test cases: ``41 test cases, 40 passed, 1 flaky, in 54.9s``, if it took that."""
    summary = status.get("summary") or {}
    text = count(summary.get("tests", 0), "test case")
    for key in ("passed", "failed", "flaky", "skipped"):
        if summary.get(key):
            text += f", {summary[key]} {key}"
    return f"{text}, in {took}" if took else text


def _first_line(text: str) -> str:
    line = printable(text).strip().split("\n")[0]
    return line if len(line) <= _MESSAGE_WIDTH else f"{line[:_MESSAGE_WIDTH].rstrip()} ..."
