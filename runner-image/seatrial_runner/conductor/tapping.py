"""Taps: messages are recorded from the first test to the last, whoever waits for them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seatrial.api import memory

from seatrial_runner.conductor.local_ports import makes_checks
from seatrial_runner.conductor.scenario_tests import connections_given, services_document
from seatrial_runner.conductor.workers import Channel, WorkerError, run_in_worker
from seatrial_runner.scenario.given import given_variables

if TYPE_CHECKING:
    from seatrial.api.report import RecordDoc

    from seatrial_runner.conductor.stage import Stage

logger = logging.getLogger("seatrial.conductor")

Json = dict[str, Any]

OPEN_S = 20.0  # for all taps together; the tests wait for it
_CLOSE_S = 30.0
_QUIET_S = 0.25  # without a message; what was published last is still on its way
_LATE_S = 2.0  # of each, for one that is never quiet
_MAX_BYTES = 64 * memory.MIB  # of bodies, compressed, of all taps


class Tapping:
    """
    Records in a worker process of its own, and keeps the records for the report.

    They are no evidence of a verdict: a tap that cannot be opened is told, and fails nothing. Nor
    are its connections evidence that a fault met traffic: they are known as those of checks are.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._taps: list[Json] = stage.run.get("taps") or []
        self._opened = asyncio.Event()
        self._close = asyncio.Event()
        self._work: asyncio.Task[Json] | None = None

    async def open(self) -> None:
        """Return once every tap listens, or has said why it does not."""
        if self._stage.journal.start > 1:
            self._stage.lost(
                "The conductor was restarted: of messages that no broker keeps, the taps have those"
                " that came afterwards."
            )
        services = services_document(self._stage.run["services"])
        self._work = asyncio.create_task(
            run_in_worker(
                lambda channel: _record(self._taps, services, channel),
                self._serve,
                timeout_s=None,
                most=memory.BESIDE,
            )
        )
        opened = asyncio.create_task(self._opened.wait())
        await asyncio.wait(
            (self._work, opened), timeout=2 * OPEN_S, return_when=asyncio.FIRST_COMPLETED
        )
        opened.cancel()

    async def _serve(self, message: Json) -> Json:
        match message:
            case {"problem": problem, "tap": name}:
                self._stage.lost(f"Tap {name} has no messages: {problem}.")
            case {"asks": host, "number": number}:
                self._stage.checked.begins(f"tap's {number}", str(host), libpq=False)
            case {"asked": number}:
                self._stage.checked.ends(f"tap's {number}", held=True)
            case {"ask": True}:
                self._opened.set()
                await self._close.wait()
        return {}

    async def close(self) -> None:
        """Take what was recorded; more than once is no harm."""
        work, self._work = self._work, None
        if work is None:
            return
        self._close.set()
        try:
            async with asyncio.timeout(_CLOSE_S):
                records = (await work)["records"]
        except (WorkerError, TimeoutError) as error:
            self._stage.lost(
                f"The taps have no messages: {str(error) or 'they did not end in time'}."
            )
            return
        for name, record in records.items():
            self._stage.recorded.keep("", name, 1, record)

    async def let_go(self) -> None:
        """End it, because the process must end."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)


def _record(taps: list[Json], services: Json, channel: Channel) -> Json:
    """Be the worker: open all, say so, and give what has come when that is answered."""
    from seatrial_runner.scenario.action import Call, StepFailure, Tools
    from seatrial_runner.scenario.exchange import Client
    from seatrial_runner.scenario.kinds import message
    from seatrial_runner.scenario.redaction import Redactor
    from seatrial_runner.scenario.resources import Resources
    from seatrial_runner.scenario.scope import first_scope
    from seatrial_runner.scenario.world import World

    numbers = itertools.count(1)

    @contextmanager
    def asking(host: str) -> Iterator[None]:
        number = next(numbers)
        channel.tell({"asks": host, "number": number})
        try:
            yield
        finally:
            channel.tell({"asked": number})

    makes_checks(asking)
    world = World(services=services, connections=connections_given(), **given_variables())
    redactor = Redactor(world.secrets)
    for url in world.connections.values():
        redactor.learn_url(url)
    client = Client(world, redactor)
    scope = first_scope({}, world.services, world.environ, {}, world.now)
    deadline = time.monotonic() + OPEN_S
    open_taps: dict[str, Resources] = {}
    for each in taps:
        resources = Resources()
        call = Call(
            scope, Tools(world, client, redactor, resources), lambda: deadline - time.monotonic()
        )
        try:
            message.tap(each, call, _MAX_BYTES // len(taps))
        except StepFailure as failure:
            resources.close()
            channel.tell({"tap": each["name"], "problem": redactor.mask(failure.message)})
        else:
            open_taps[each["name"]] = resources
    channel.ask({"opened": list(open_taps)})
    for resources in open_taps.values():
        message.until_quiet(resources, _QUIET_S, at_most_s=_LATE_S)
    records: dict[str, RecordDoc] = {
        name: redactor.mask_json(resources.records()["messages"])
        for name, resources in open_taps.items()
    }
    for resources in open_taps.values():
        resources.close()
    return {"records": records}
