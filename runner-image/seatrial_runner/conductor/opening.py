"""How a conductor begins: it claims the journal, and takes over what an earlier one has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from seatrial.api.errors import ConflictError
from seatrial.api.journal import RunDoc
from seatrial.api.names import ENTRIES_KEY

from seatrial_runner.clock import rfc3339
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
        preload([*run["tests"], {"scenario": run.get("probes") or []}])
        try:
            await claim
        except ConflictError:
            continue
        return journal


def open_gate(journal: Journal, at: str) -> None:
    """Note that the gate is open; from now on the operator applies no service again."""
    journal.summary["gateOpenedAt"] = at
    journal.note("gate.opened")


def restore_cases(stage: Stage) -> None:
    """Take the results over that an earlier conductor has written down."""
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


_CASE_FIELDS = (
    "outcome", "startedAt", "finishedAt", "message", "details", "file", "line", "requests",
    "properties",
)  # fmt: skip
