"""How a conductor begins: it claims the journal, and takes over what an earlier one has left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from seatrial.api.errors import ConflictError
from seatrial.api.journal import RunDoc
from seatrial.api.names import ENTRIES_KEY

from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.scenario_tests import connections_given
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.journal import Entries, Journal, JournalEdge, new_summary
from seatrial_runner.journal.store import read_summary
from seatrial_runner.scenario.preloading import preload


async def claim_journal(
    edge: JournalEdge,
    run: RunDoc,
    *,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
) -> Journal:
    """
    Make this conductor the owner of the journal, new or resumed.

    A run without services has nothing to wait for: its gate opens with the same write. While that
    is on its way, what the scenarios will need is imported.
    """
    while True:
        stored = await edge.read()
        summary = read_summary(stored)
        journal = Journal(
            edge,
            now=now,
            monotonic=monotonic,
            summary=summary or new_summary(run, at=rfc3339(now())),
            entries=Entries.parse(stored.data.get(ENTRIES_KEY) or ""),
            stored=stored,
        )
        # By this node's clock, which may not be that of the conductor before.
        journal.summary["startedAt"] = run["startedAt"]
        journal.note("conductor.started")
        if summary is None and not run["services"]:
            open_gate(journal, rfc3339(now()))
        claim = asyncio.create_task(journal.claim())
        await asyncio.sleep(0)  # NB: lets the request leave before the imports take the processor
        checks = _checks(run)
        preload([*run["tests"], {"scenario": checks}], run.get("scenarios") or [])
        if any(each.get("sql") for each in checks):
            _import_drivers(checks)
        try:
            await claim
        except ConflictError:
            continue
        return journal


def _checks(run: RunDoc) -> list[dict[str, Any]]:
    """Give what is asked outside of scenarios: by probes, and until a system is well again."""
    untils = [(fault.get("recovery") or {}).get("until") for fault in run["faults"]]
    return [*(run.get("probes") or []), *filter(None, untils)]


def _import_drivers(checks: list[dict[str, Any]]) -> None:
    """Import drivers here: on a busy machine that takes longer than a check, or a recovery, may."""
    from seatrial_runner.scenario.databases.drivers import import_driver

    connections = connections_given()
    for sql in filter(None, (each.get("sql") for each in checks)):
        import_driver(sql.get("url") or connections.get(sql.get("service"), ""))


def open_gate(journal: Journal, at: str) -> None:
    """Note that the gate is open; from now on the operator applies no service again."""
    journal.summary["gateOpenedAt"] = at
    journal.note("gate.opened")


def restore_cases(stage: Stage) -> None:
    """Take the results over that an earlier conductor has written down; say what it had beside."""
    recorded: Counter[str] = Counter()
    for entry in stage.journal.entries:
        if entry["kind"] != "case.finished":
            continue
        case = {
            "message": "",
            "details": "",
            "requests": 0,
            "properties": {},
            **{key: entry[key] for key in _CASE_FIELDS if key in entry},
            "id": entry["case"],
            "attempt": entry["caseAttempt"],
        }
        stage.cases_of(entry["test"]).add(case, shard=entry["shard"], attempt=entry["attempt"])
        recorded[entry["test"]] += entry.get("recorded", 0)
    for test, messages in recorded.items():
        if messages:
            stage.lost(
                f"The conductor was restarted: {messages} messages that test {test} had recorded"
                " are not in the report."
            )


_CASE_FIELDS = (
    "outcome", "startedAt", "finishedAt", "message", "details", "file", "line", "requests",
    "properties",
)  # fmt: skip
