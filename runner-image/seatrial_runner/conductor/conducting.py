"""A run from the conductor's side: claim the journal, gate, tests and faults, the end, collecting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from seatrial.api.errors import ConflictError
from seatrial.api.journal import ControlDoc, RunDoc, TestState
from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.configmaps import JournalConfigMap, read_run
from seatrial_runner.conductor.scenario_tests import run_scenario
from seatrial_runner.conductor.scheduler import run_tests
from seatrial_runner.conductor.seen import Seen
from seatrial_runner.conductor.stage import Control, Stage
from seatrial_runner.journal import Entries, Journal, new_summary
from seatrial_runner.journal.store import read_summary
from seatrial.api.names import ENTRIES_KEY


async def conduct(
    api: ApiServer,
    namespace: str,
    *,
    port: int,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
) -> None:
    run, control = await read_run(api, namespace)
    journal = await claim_journal(api, run, now=now, monotonic=monotonic)
    stage = Stage(
        run=run,
        api=api,
        seen=Seen(),
        journal=journal,
        control=Control(control),
        now=now,
        monotonic=monotonic,
    )
    writer = asyncio.create_task(journal.keep_written())

    async def run_test(test: dict[str, Any], state: TestState) -> None:
        state["outcome"] = "Running"
        state["startedAt"] = stage.at()
        await run_scenario(stage, None, test, state)
        cases = stage.cases_of(test["name"])
        stage.finish_test(state, cases.outcome(), cases.first_message(), lost=False)

    journal.summary["gateOpenedAt"] = stage.at()
    journal.note("gate.opened")
    journal.save_soon()
    await run_tests(stage, run_test)
    journal.summary["finished"] = {"at": stage.at(), "reason": "Completed", "message": ""}
    journal.note("finished", reason="Completed")
    await journal.save()
    writer.cancel()


async def claim_journal(
    api: ApiServer, run: RunDoc, *, now: Callable[[], datetime], monotonic: Callable[[], float]
) -> Journal:
    edge = JournalConfigMap(api, run["environment"])
    while True:
        stored = await edge.read()
        summary = read_summary(stored) or new_summary(run, at=rfc3339(now()))
        journal = Journal(
            edge,
            now=now,
            monotonic=monotonic,
            summary=summary,
            entries=Entries.parse(stored.data.get(ENTRIES_KEY, "")),
            stored=stored,
        )
        journal.note("conductor.started")
        try:
            await journal.claim()
        except ConflictError:
            continue
        return journal
