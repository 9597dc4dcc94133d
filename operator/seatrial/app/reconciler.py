"""One look at a run: load what is needed, plan, carry out, until nothing is left to do now."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from seatrial.api import names
from seatrial.api.errors import ClusterError, ConflictError, InvalidSpecError, SpecError
from seatrial.api.run import Metadata, parse_spec, steered, steering
from seatrial.api.spec import RunSpec
from seatrial.api.status import RunStatus
from seatrial.api.verdict import Phase
from seatrial.app.metrics import Metrics
from seatrial.app.workqueue import WorkQueue
from seatrial.app.world import Entry, Stray, World, is_over, log_fields
from seatrial.cluster.carrying import carry_out, persist, undo_faults
from seatrial.cluster.client import Client, Object
from seatrial.cluster.kinds import NAMESPACE, RUN
from seatrial.cluster.reading import find_run, read_environment, read_references
from seatrial.cluster.record import Record
from seatrial.plan.admission import Ticket
from seatrial.plan.blueprint import Blueprint, draw, limits
from seatrial.plan.events import Event, events
from seatrial.plan.planner import plan
from seatrial.plan.result import Plan
from seatrial.plan.seen import Seen, Subject
from seatrial.plan.settings import PlanSettings
from seatrial.plan.spares import has_spares, spares
from seatrial.plan.status import is_transition, read_status
from seatrial.plan.validation import references, validate

logger = logging.getLogger(__name__)

# A watch may have missed something; a run that is at work is read anew this often.
_READ_EVERY = timedelta(seconds=60)
# What kubectl shows of a run that goes on may be this old; transitions are written at once.
_PROGRESS_EVERY = timedelta(seconds=1)
# A run comes to rest after a handful of steps; more would be a plan that never agrees with itself.
_MAX_STEPS = 12
_ASIDE = 2  # threads that work out what large runs ask for
# Characters of a spec as JSON; so much is read, checked or planned in some 20 ms, and a thread
# that computes makes the event loop wait longer than that for the interpreter, by its turns.
_SMALL = 4096
_Result = TypeVar("_Result")


@dataclass
class Reconciler:
    """Looks at runs."""

    client: Client
    world: World
    queue: WorkQueue
    settings: PlanSettings
    metrics: Metrics
    now: Callable[[], datetime]
    tell: Callable[[Metadata, Event], None]
    _threads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_ASIDE))

    async def look(self, uid: str) -> None:
        """
        Have a look at a run.

        Raises:
            ClusterError: Something could not be read or written; look again later.
        """
        entry = self.world.entries.get(uid)
        if entry is None:
            await self._look_at_rest(uid)
            return
        try:
            for _ in range(_MAX_STEPS):
                if not await self._step(uid, entry):
                    return
        except ConflictError:
            # What it was decided on is old. The watch may have missed even that the run is gone.
            await self._read_again(uid, entry)
            raise
        logger.warning("a run does not come to rest", extra=log_fields(entry.metadata))
        self.queue.add_after(uid, timedelta(seconds=1))

    async def _refresh(self, uid: str, entry: Entry, *, at_once: bool = False) -> None:
        """
        Read the run and its environment live, if that was not done for a while.

        A run that has just been seen for the first time need not be read, and one that has not
        started has no environment.
        """
        now = self.now()
        if entry.read_at is not None:
            if now < entry.read_at + _READ_EVERY and not at_once:
                return
            await self._read_again(uid, entry)
        status = entry.record.run.get("status") or {}
        if status.get("startTime") and status.get("phase") != Phase.FINISHED:
            metadata = entry.metadata
            name = names.run_namespace(metadata.name, metadata.uid)
            entry.summary = await read_environment(self.client, name, entry.record)
        entry.read_at = now

    async def _read_again(self, uid: str, entry: Entry) -> None:
        metadata = entry.metadata
        body = await self.client.get(RUN, metadata.namespace, metadata.name)
        if body is not None and body["metadata"]["uid"] == uid:
            self.world.see_run(body)
        else:
            self.world.lose_run(uid)

    async def _step(self, uid: str, entry: Entry) -> bool:
        """Plan once and carry it out; True if something was done, and may call for more."""
        await self._refresh(uid, entry)
        if uid not in self.world.entries:
            return False
        subject, planned = await self._plan(uid, entry)
        if uid not in self.world.entries:
            return False
        if _ends_unheard(subject, planned, entry):
            # A watch that lags behind must not cost a run its verdict.
            await self._refresh(uid, entry, at_once=True)
            if uid not in self.world.entries:
                return False
            subject, planned = await self._plan(uid, entry)
        planned = self._paced(subject, planned, entry)
        metadata, record = subject.metadata, entry.record
        failures = await undo_faults(self.client, planned, record)  # each has its second
        persisted = await persist(self.client, metadata, subject.status, planned, record)
        if persisted:
            entry.written_at = self.now()
            self.world.settle(uid, record.run)
            self._report(subject, planned)
        done = await carry_out(self.client, metadata, planned, record) or bool(planned.undo)
        if planned.finalizer is False:
            self.world.settle(uid, record.run)
        if failures:
            raise failures[0]
        if uid not in self.world.entries:
            if planned.wake_at is not None:
                self.queue.add_at(uid, planned.wake_at)
            return False
        self._wake(uid, entry, planned)
        return persisted or done

    async def _plan(self, uid: str, entry: Entry) -> tuple[Subject, Plan]:
        while True:
            subject = await self._subject(uid, entry)
            seen, now = self._seen(uid, entry), self.now()
            if subject.blueprint is None:
                return subject, plan(subject, seen, now=now, settings=self.settings)
            work = partial(plan, subject, seen, now=now, settings=self.settings)
            planned, bug = await self._aside(entry, partial(_or_problem, entry.record.run, work))
            if planned is None:
                entry.blueprint, entry.problem = None, bug
                continue
            # Others may have come before it in the queue meanwhile, or taken its place.
            if seen.ticket == self.world.ticket(uid) or uid not in self.world.entries:
                return subject, planned

    async def _aside(self, entry: Entry, work: Callable[[], _Result]) -> _Result:
        """
        Work something out, in a thread for a run that is not small.

        With a thousand steps that takes a second or more, and the event loop has health to answer
        for, and the deadlines of all other runs to keep. What is given to it must not change.
        """
        if entry.is_small:
            return work()
        async with self._threads:
            return await asyncio.to_thread(work)

    def _paced(self, subject: Subject, planned: Plan, entry: Entry) -> Plan:
        """Hold back a status in which only counts have moved, until the last one is a while old."""
        if entry.written_at is None or is_transition(subject.status, planned.status):
            return planned
        moment = entry.written_at + _PROGRESS_EVERY
        if planned.status == subject.status or self.now() >= moment:
            return planned
        return replace(planned, status=subject.status).waking(moment)

    async def _subject(self, uid: str, entry: Entry) -> Subject:
        """Read and check the run, and what it refers to if that is needed now."""
        metadata = entry.metadata
        status = read_status(entry.record.run)
        if metadata.generation != entry.generation:
            await self._read_spec(entry, check=not status.start_time)
            entry.generation = metadata.generation
        if self._needs_blueprint(uid, metadata, status, entry):
            entry.blueprint, entry.problem = await self._draw(metadata, entry)
        elif status.gate_time is not None or status.verdict is not None:
            await self._keep_spares(metadata, entry)
            entry.blueprint = None  # with copies of all that the run refers to
        return Subject(
            metadata,
            status,
            entry.spec,
            entry.blueprint,
            entry.problem,
            entry.spares or {},
            _partial(entry.spec, entry.record.run),
        )

    async def _read_spec(self, entry: Entry, *, check: bool) -> None:
        """Read the spec; one that has started goes on by what it began with."""
        if entry.spec is not None and not check:
            entry.spec = steered(entry.spec, entry.record.run)
            return
        entry.is_small = len(json.dumps(entry.record.run.get("spec"))) <= _SMALL
        read = partial(_spec, entry.record.run, self.settings, check=check)
        entry.spec, entry.problem = await self._aside(entry, read)
        entry.blueprint = None

    async def _keep_spares(self, metadata: Metadata, entry: Entry) -> None:
        """Keep what faults remove and nobody may read; an operator that is new works it out."""
        if entry.spares is not None or entry.spec is None:
            return
        entry.spares = {}
        if not has_spares(entry.spec):
            return
        try:
            blueprint = entry.blueprint or (await self._draw(metadata, entry))[0]
        except ClusterError:
            logger.exception("a run's Secrets are not known", extra=log_fields(metadata))
            return  # they are the conductor's to bring back
        if blueprint is not None:
            entry.spares = spares(blueprint)

    def _needs_blueprint(
        self, uid: str, metadata: Metadata, status: RunStatus, entry: Entry
    ) -> bool:
        """Tell whether the environment has to be made: from admission until the gate opens."""
        if entry.spec is None or entry.problem is not None or entry.blueprint is not None:
            return False
        if status.verdict is not None or metadata.deleted is not None:
            return False
        if status.start_time is not None:
            return status.gate_time is None
        ticket = self.world.ticket(uid)
        return ticket.admitted and not ticket.replaced_by and not entry.spec.abort

    async def _draw(
        self, metadata: Metadata, entry: Entry
    ) -> tuple[Blueprint | None, InvalidSpecError | None]:
        assert entry.spec is not None
        spec = entry.spec
        pull_secrets = {("Secret", name) for name in self.settings.image_pull_secrets}
        referred = references(entry.spec)
        entry.is_small &= not referred  # as long as what it refers to may be
        wanted = referred | pull_secrets
        if not self.settings.read_secrets:
            wanted = {(kind, name) for kind, name in wanted if kind != "Secret"}
        try:
            found = await read_references(self.client, metadata.namespace, wanted)
        except InvalidSpecError as error:
            return None, error
        drawn = partial(draw, metadata, spec, found, self.settings)
        return await self._aside(entry, partial(_or_problem, entry.record.run, drawn))

    def _seen(self, uid: str, entry: Entry) -> Seen:
        record = entry.record
        return Seen(
            ticket=self.world.ticket(uid),
            others_start=self.world.others_start(uid),
            seal=record.seal,
            namespace=record.namespace,
            conductor=record.conductor,
            summary=entry.summary,
            ahead=entry.hear(self.now()),
            undone=record.undone,
            applied=dict(record.applied),
            report_copied=record.report_copied,
            report_problem=record.report_problem,
            report_error=record.report_error,
            refusal=record.refusal,
        )

    def _report(self, subject: Subject, planned: Plan) -> None:
        """Tell what has been written: to the log, to the metrics, and as events."""
        metadata, status = subject.metadata, planned.status
        before = subject.status
        if (status.phase, status.start_time) != (before.phase, before.start_time):
            fields = {"phase": status.phase, "verdict": status.verdict, **log_fields(metadata)}
            logger.info("phase changed", extra=fields)
        if status.verdict is not None and before.verdict is None:
            self.metrics.ended(status)
        declared = {fault.name for fault in subject.spec.faults} if subject.spec else ()
        for event in events(before, status, declared):
            self.tell(metadata, event)

    def _wake(self, uid: str, entry: Entry, planned: Plan) -> None:
        """Look again when the plan says so, and when it is time to read live."""
        if planned.wake_at is not None:
            self.queue.add_at(uid, planned.wake_at)
        if planned.status.start_time is not None and entry.read_at is not None:
            self.queue.add_at(uid, entry.read_at + _READ_EVERY)

    async def _look_at_rest(self, uid: str) -> None:
        """Delete a finished run whose time has come, and an environment whose run is gone."""
        if uid in self.world.strays:
            await self._look_at_stray(uid, self.world.strays[uid])
        if uid in self.world.resting:
            namespace, name = self.world.resting[uid]
            body = await self.client.get(RUN, namespace, name)
            if body is not None and body["metadata"]["uid"] == uid:
                await self._expire(uid, Entry(Record(run=body)))
            else:
                self.world.lose_run(uid)

    async def _expire(self, uid: str, entry: Entry) -> None:
        read = partial(_spec, entry.record.run, self.settings, check=False)
        spec, _ = await self._aside(entry, read)
        status = read_status(entry.record.run)
        partly = _partial(spec, entry.record.run)
        subject = Subject(entry.metadata, status, spec, partial=partly)
        planned = plan(subject, Seen(ticket=Ticket()), now=self.now(), settings=self.settings)
        await persist(self.client, subject.metadata, subject.status, planned, entry.record)
        await carry_out(self.client, subject.metadata, planned, entry.record)
        if planned.wake_at is not None:
            self.queue.add_at(uid, planned.wake_at)

    async def _look_at_stray(self, uid: str, stray: Stray) -> None:
        run = await find_run(self.client, stray.run_namespace, uid)
        if run is None or is_over(run):
            fields = {"uid": uid, "environment": stray.name, "namespace": stray.run_namespace}
            logger.info("deleting an environment without a run", extra=fields)
            await self.client.delete(NAMESPACE, "", stray.name, stray.uid)
        self.world.strays.pop(uid, None)


def _spec(
    run: Object, settings: PlanSettings, *, check: bool
) -> tuple[RunSpec | None, InvalidSpecError | None]:
    """Read the spec; ``check`` also finds, without the cluster, what keeps it from working."""
    spec, problem = _or_problem(run, partial(parse_spec, run))
    if spec is None or not check:
        return spec, problem
    found, problem = _or_problem(run, partial(validate, spec, None, limits(settings)))
    return spec, InvalidSpecError(found) if found else problem


def _or_problem(
    run: Object, work: Callable[[], _Result]
) -> tuple[_Result | None, InvalidSpecError | None]:
    """
    Do some work on what a user has written; a bug of ours that it meets is a problem of it, too.

    NB: tried again and again, the run would keep its place in the queue, and a few such runs, which
    anybody may make, would keep out everyone. The plan by which a run ends is not guarded so.
    """
    try:
        return work(), None
    except InvalidSpecError as error:
        return None, error
    except Exception as error:
        metadata = run["metadata"]
        fields = {"run": metadata["name"], "namespace": metadata["namespace"]}
        logger.exception("a run cannot be read", extra=fields)
        # NB: without its words, which may quote a Secret: more people read a run than the log.
        problem = f"cannot be read: {type(error).__name__}."
        remedy = "This is a fault in Seatrial: report it with the log of the operator."
        if isinstance(error, MemoryError):
            problem = "needs more memory than the operator has."
            remedy = "Make it smaller, or raise the operator's: the Helm value resources."
        return None, InvalidSpecError([SpecError("spec", problem, remedy)])


def _partial(spec: RunSpec | None, run: Object) -> RunSpec | None:
    """Read what may change of a run that has started where the whole cannot be read."""
    return steering(run) if spec is None else None


def _ends_unheard(subject: Subject, planned: Plan, entry: Entry) -> bool:
    """Tell whether a run that started is to end although its conductor has not said so."""
    if planned.status.verdict is None or subject.status.verdict is not None:
        return False
    if subject.status.start_time is None or subject.metadata.deleted is not None:
        return False
    return entry.summary is None or entry.summary["finished"] is None
