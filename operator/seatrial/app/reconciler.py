"""One look at a run: load what is needed, plan, carry out, until nothing is left to do now."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.api.run import Metadata, parse_spec
from seatrial.api.spec import RunSpec
from seatrial.api.status import RunStatus
from seatrial.api.verdict import Phase
from seatrial.app.metrics import Metrics
from seatrial.app.workqueue import WorkQueue
from seatrial.app.world import Entry, Stray, World
from seatrial.cluster.carrying import carry_out, persist
from seatrial.cluster.client import Client
from seatrial.cluster.kinds import NAMESPACE, RUN
from seatrial.cluster.reading import find_run, read_environment, read_references
from seatrial.cluster.record import Record
from seatrial.plan.admission import Ticket
from seatrial.plan.blueprint import draw, limits
from seatrial.plan.planner import plan
from seatrial.plan.result import Event, Plan
from seatrial.plan.seen import Seen, Subject
from seatrial.plan.settings import PlanSettings
from seatrial.plan.status import read_status
from seatrial.plan.validation import references, validate

logger = logging.getLogger(__name__)

# A watch may have missed something; a run that is at work is read anew this often.
_READ_EVERY = timedelta(seconds=60)
# A run comes to rest after a handful of steps; more would be a plan that never agrees with itself.
_MAX_STEPS = 12


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
        for _ in range(_MAX_STEPS):
            if not await self._step(uid, entry):
                return
        logger.warning("a run does not come to rest", extra=log_fields(entry.metadata))
        self.queue.add_after(uid, timedelta(seconds=1))

    async def _step(self, uid: str, entry: Entry) -> bool:
        """Plan once and carry it out; True if something was done, and may call for more."""
        subject = await self._subject(uid, entry)
        if subject is None:
            return False
        planned = plan(subject, self._seen(uid, entry), now=self.now(), settings=self.settings)
        metadata, record = subject.metadata, entry.record
        persisted = await persist(self.client, metadata, subject.status, planned, record)
        if persisted:
            self.world.settle(uid, record.run)
            self._report(subject, planned)
        done = await carry_out(self.client, metadata, planned, record)
        if planned.finalizer is False:
            self.world.settle(uid, record.run)
        if uid not in self.world.entries:
            if planned.wake_at is not None:
                self.queue.add_at(uid, planned.wake_at)
            return False
        self._wake(uid, entry, planned)
        return persisted or done

    async def _subject(self, uid: str, entry: Entry) -> Subject | None:
        """Read and check the run, and what it refers to if that is needed now; None if gone."""
        metadata = entry.metadata
        status = read_status(entry.record.run)
        if metadata.generation != entry.generation:
            entry.generation = metadata.generation
            entry.spec, entry.problem = _spec(entry, self.settings, check=not status.start_time)
        await self._refresh(metadata, status, entry)
        if entry.spec is None or entry.problem is not None or entry.blueprint is not None:
            return self._made(metadata, status, entry)
        ticket = self.world.ticket(uid)
        starts = ticket.admitted and not (entry.spec.abort or ticket.replaced_by)
        goes_on = status.start_time is not None and status.gate_time is None
        if status.verdict is None and metadata.deleted is None and (starts or goes_on):
            wanted = {
                *references(entry.spec),
                *(("Secret", name) for name in self.settings.image_pull_secrets),
            }
            found = await read_references(self.client, metadata.namespace, wanted)
            try:
                entry.blueprint = draw(metadata, entry.spec, found, self.settings)
            except InvalidSpecError as error:
                entry.problem = error
        return self._made(metadata, status, entry)

    def _made(self, metadata: Metadata, status: RunStatus, entry: Entry) -> Subject:
        return Subject(metadata, status, entry.spec, entry.blueprint, entry.problem)

    async def _refresh(self, metadata: Metadata, status: RunStatus, entry: Entry) -> None:
        """Read the environment live if it was not for a while; one that starts now has none."""
        now = self.now()
        if status.start_time is None or status.phase is Phase.FINISHED:
            entry.read_at = now
            return
        if entry.read_at is not None and now < entry.read_at + _READ_EVERY:
            return
        name = names.run_namespace(metadata.name, metadata.uid)
        summary = await read_environment(self.client, name, entry.record)
        if summary is not None:
            entry.summary = summary
        entry.read_at = now

    def _seen(self, uid: str, entry: Entry) -> Seen:
        record = entry.record
        return Seen(
            ticket=self.world.ticket(uid),
            namespace=record.namespace,
            conductor=record.conductor,
            summary=entry.summary,
            applied=record.applied,
            report_copied=record.report_copied,
            report_problem=record.report_problem,
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
        for event in planned.events:
            self.tell(metadata, event)

    def _wake(self, uid: str, entry: Entry, planned: Plan) -> None:
        """Look again when the plan says so, and when it is time to read live."""
        if planned.wake_at is not None:
            self.queue.add_at(uid, planned.wake_at)
        if planned.status.start_time is not None and entry.read_at is not None:
            self.queue.add_at(uid, entry.read_at + _READ_EVERY)

    async def _look_at_rest(self, uid: str) -> None:
        """Delete a finished run whose time has come, and an environment whose run is gone."""
        if uid in self.world.resting:
            namespace, name = self.world.resting[uid]
            body = await self.client.get(RUN, namespace, name)
            if body is not None and body["metadata"]["uid"] == uid:
                await self._expire(uid, Entry(Record(run=body)))
            else:
                self.world.lose_run(uid)
        elif uid in self.world.strays:
            await self._look_at_stray(uid, self.world.strays[uid])

    async def _expire(self, uid: str, entry: Entry) -> None:
        spec, _ = _spec(entry, self.settings, check=False)
        subject = Subject(entry.metadata, read_status(entry.record.run), spec)
        planned = plan(subject, Seen(ticket=Ticket()), now=self.now(), settings=self.settings)
        await persist(self.client, subject.metadata, subject.status, planned, entry.record)
        await carry_out(self.client, subject.metadata, planned, entry.record)
        if planned.wake_at is not None:
            self.queue.add_at(uid, planned.wake_at)

    async def _look_at_stray(self, uid: str, stray: Stray) -> None:
        # NB: a name that does not begin like ours was labelled by someone else, whatever it says.
        if not stray.name.startswith(names.run_namespace("", uid)[:4]):
            self.world.strays.pop(uid, None)
            return
        if await find_run(self.client, stray.run_namespace, uid) is None:
            logger.info("deleting the environment of a run that is gone", extra={"uid": uid})
            await self.client.delete(NAMESPACE, "", stray.name, stray.uid)
        self.world.strays.pop(uid, None)


def _spec(
    entry: Entry, settings: PlanSettings, *, check: bool
) -> tuple[RunSpec | None, InvalidSpecError | None]:
    """Read the spec; ``check`` also finds, without the cluster, what keeps it from working."""
    try:
        spec = parse_spec(entry.record.run)
    except InvalidSpecError as error:
        return None, error
    problems = validate(spec, None, limits(settings)) if check else []
    return spec, InvalidSpecError(problems) if problems else None


def log_fields(metadata: Metadata) -> dict[str, str]:
    """Say which run a log line is about."""
    return {"run": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid}
