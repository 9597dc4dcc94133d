"""The report: gathered after the tests, written to ConfigMap ``seatrial-report``, bounded."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
from collections.abc import Mapping
from typing import Any

from seatrial.api.errors import ClusterError
from seatrial.api.names import MAX_REPORT_BYTES, REPORT_CONFIGMAP, REPORT_KEYS
from seatrial.api.report import LogDoc

from seatrial_runner.conductor.configmaps import configmap_path
from seatrial_runner.conductor.junit_report import junit_xml
from seatrial_runner.conductor.keepsakes import Keepsakes
from seatrial_runner.conductor.logs import redacted
from seatrial_runner.conductor.stage import Stage

logger = logging.getLogger("seatrial.conductor")

Json = dict[str, Any]

_MAX_EVENTS = 1000
# Of all logs, before compression: some 5 to 1 is usual for logs, and a report has other parts.
_MAX_LOG_CHARACTERS = 4 * 1024 * 1024
_LEAST_LOG = 2048
# What messages may take of the report, and what they may make of the JUnit file.
_SHARE = MAX_REPORT_BYTES // 3
_CUT = "[... the beginning is left out: the report is bounded ...]\n"


async def collect(stage: Stage, keepsakes: Keepsakes) -> None:
    """
    Gather logs, events and results, and write the report.

    Takes at most ``timeouts.collecting``: what is not there by then is left out. Nothing that goes
    wrong here touches the verdict.
    """
    try:
        async with asyncio.timeout(max(stage.run["collectingTimeout"] * 0.6, 1.0)):
            events, found = await asyncio.gather(_events(stage), _pods(stage))
            await keepsakes.fetch_all(found)
    except TimeoutError:
        logger.warning("collecting: out of time; the report holds what was there")
        events = []
    parts = bounded_parts(stage, events, keepsakes.logs)
    await _write(stage, parts)


async def _events(stage: Stage) -> list[Json]:
    try:
        listed = await stage.api.get(
            f"/api/v1/namespaces/{stage.namespace}/events", {"limit": str(_MAX_EVENTS)}
        )
    except ClusterError as error:
        logger.warning("collecting: no events: %s", error)
        return []
    events = [_event(item) for item in listed["items"]]
    return sorted(events, key=lambda each: str(each["at"]))


async def _pods(stage: Stage) -> list[Json]:
    try:
        path = f"/api/v1/namespaces/{stage.namespace}/pods"
        items: list[Json] = (await stage.api.get(path, {"limit": "500"}))["items"]
    except ClusterError as error:
        logger.warning("collecting: no logs: %s", error)
        return []
    return items


def _event(item: Json) -> Json:
    about = item.get("involvedObject") or {}
    at = item.get("lastTimestamp") or item.get("eventTime") or item["metadata"]["creationTimestamp"]
    return {
        "at": at,
        "type": item.get("type"),
        "reason": item.get("reason"),
        "object": f"{about.get('kind')}/{about.get('name')}",
        "count": item.get("count") or 1,
        "message": redacted(str(item.get("message") or ""))[:1024],
    }


def bounded_parts(stage: Stage, events: list[Json], logs: Mapping[str, LogDoc]) -> dict[str, bytes]:
    """Give the compressed parts of the report, at most 900 KiB of base64 in total."""
    texts = {key: log["text"] for key, log in logs.items()}
    report_key, junit_key, logs_key, messages_key = REPORT_KEYS
    summary = stage.journal.summary
    junit = _gzip(junit_xml(stage.run, summary, stage.cases, stage.recorded.texts()))
    if _encoded({junit_key: junit}) > _SHARE:
        junit = _gzip(junit_xml(stage.run, summary, stage.cases))
    parts = {report_key: _gzip(json.dumps(report(stage, events)).encode()), junit_key: junit}
    room = MAX_REPORT_BYTES - _encoded(parts)
    if room < 0:  # thousands of long failures: the counts and the journal's end still fit
        parts[junit_key] = _gzip(junit_xml(stage.run, summary, {}))
        room = MAX_REPORT_BYTES - _encoded(parts)
    # As base64 it takes a third more.
    if messages := stage.recorded.part(min(room, _SHARE) * 3 // 4 - 4):
        parts[messages_key] = messages
        room = MAX_REPORT_BYTES - _encoded(parts)
    budget = _MAX_LOG_CHARACTERS
    while True:
        cut = shared_out(texts, budget)
        listed = [{**logs[key], "text": text} for key, text in cut.items()]
        parts[logs_key] = _gzip(json.dumps(listed).encode())
        if _encoded({logs_key: parts[logs_key]}) <= room or budget == 0:
            return parts
        budget = budget // 2 if budget > _LEAST_LOG else 0


def shared_out(logs: dict[str, str], budget: int) -> dict[str, str]:
    """Cut logs to ``budget`` characters in total; short ones stay whole, a cut one its end."""
    result = {}
    left, remaining = budget, len(logs)
    for name, text in sorted(logs.items(), key=lambda each: len(each[1])):
        share = left // remaining
        kept = text if len(text) <= share else _CUT + text[len(text) - share :]
        result[name] = kept
        left -= min(len(text), share)
        remaining -= 1
    return dict(sorted(result.items()))


def report(stage: Stage, events: list[Json]) -> Json:
    """Give the report: what the run was, what it came to, and what happened in it."""
    from seatrial.api.verdict import judge

    summary, run = stage.journal.summary, stage.run
    judgement = judge(
        summary,
        tests=[test["name"] for test in run["tests"]],
        faults=[fault["name"] for fault in run["faults"]],
        probes=[probe["name"] for probe in run.get("probes") or []],
    )
    return {
        "version": 1,
        "run": {key: run[key] for key in ("name", "namespace", "uid", "environment", "startedAt")},
        "verdict": str(judgement.verdict),
        "reason": str(judgement.reason),
        "message": judgement.message,
        "summary": summary,
        "journal": list(stage.journal.entries),
        "dropped": stage.journal.entries.dropped,
        "events": events,
    }


async def _write(stage: Stage, parts: dict[str, bytes]) -> None:
    data = {name: base64.b64encode(part).decode() for name, part in parts.items()}
    path = configmap_path(stage.namespace, REPORT_CONFIGMAP)
    await stage.api.patch(path, {"binaryData": data})


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _encoded(parts: dict[str, bytes]) -> int:
    return sum(4 * (len(part) // 3 + 1) for part in parts.values())
