"""The journal and its one writer: what was noted reaches the ConfigMap, in order, bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from seatrial.api.errors import ConflictError, SeatrialError
from seatrial.api.journal import SummaryDoc
from seatrial.api.names import ENTRIES_KEY, SUMMARY_KEY

from seatrial_runner.clock import rfc3339
from seatrial_runner.journal.entries import Entries, Entry
from seatrial_runner.journal.summary import bounded_json

# Between two writes that nobody waits for: the operator looks at each one.
THROTTLE_S = 1.0


class FencedError(SeatrialError):
    """A newer conductor has taken the journal over; this one must stop without a trace."""

    reason = "Fenced"


@dataclass(frozen=True)
class Stored:
    """The journal's ConfigMap as it is: its ``data`` and its resourceVersion."""

    data: dict[str, str]
    resource_version: str


class JournalEdge(Protocol):
    """The API server, as far as the journal needs it. Outages are waited out behind it."""

    async def read(self) -> Stored:
        """Give the ConfigMap as it is."""

    async def write(self, data: dict[str, str], resource_version: str) -> str:
        """
        Replace the keys of ``data`` and give the new resourceVersion.

        Raises:
            ConflictError: The ConfigMap is no longer at ``resource_version``.
        """


class Journal:
    """
    What this conductor knows of the run, kept in a ConfigMap.

    A conductor claims the journal by writing ``starts`` + 1 over the resourceVersion it read, so
    every value of ``starts`` has one owner. A write that meets a larger one raises FencedError:
    a conductor that comes back from a partition can't overwrite its successor.
    """

    def __init__(
        self,
        edge: JournalEdge,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        summary: SummaryDoc,
        entries: Entries,
        stored: Stored,
    ) -> None:
        self._edge = edge
        self._now = now
        self._monotonic = monotonic
        self._began = monotonic()
        self._opened = now()
        self._stored = stored
        self._changes = 0
        self._written = 0  # of those, how many are in the ConfigMap
        self._urgent = False
        self._wake = asyncio.Event()
        self._saved = asyncio.Condition()
        self._failure: BaseException | None = None
        self.summary = summary
        self.entries = entries
        self.summary["starts"] += 1

    @property
    def start(self) -> int:
        """Which start of the conductor this is, from 1."""
        return self.summary["starts"]

    def steady(self) -> datetime:
        """Give the time as it would be had nobody set the clock since: the operator goes by it."""
        return self._opened + timedelta(seconds=self._monotonic() - self._began)

    def note(self, kind: str, **fields: Any) -> Entry:
        """Add an entry; it is written within a second, or with the next ``save``."""
        entry = self.entries.add(
            kind,
            at=rfc3339(self._now()),
            mono=self._monotonic() - self._began,
            start=self.start,
            **fields,
        )
        self.changed()
        return entry

    def changed(self) -> None:
        """Have the summary written within a second."""
        self._changes += 1
        self._wake.set()

    def save_soon(self) -> None:
        """Have everything written at once, without waiting for it."""
        self._urgent = True
        self.changed()

    async def save(self) -> None:
        """
        Have everything written at once, and return when it is in the ConfigMap.

        Raises:
            FencedError: A newer conductor owns the journal.
        """
        self.save_soon()
        await self.written()

    async def written(self) -> None:
        """
        Return when everything noted until now is in the ConfigMap, without hurrying it.

        Raises:
            FencedError: A newer conductor owns the journal.
        """
        mine = self._changes
        async with self._saved:
            await self._saved.wait_for(lambda: self._written >= mine or self._failure is not None)
        if self._failure is not None:
            raise self._failure

    async def keep_written(self) -> None:
        """
        Write whenever there is something to write, until cancelled.

        Raises:
            FencedError: A newer conductor owns the journal.
        """
        try:
            while True:
                await self._wait_for_work()
                await self._write_once()
        except Exception as error:
            self._failure = error
            raise
        finally:
            async with self._saved:
                self._saved.notify_all()

    async def _wait_for_work(self) -> None:
        while self._changes == self._written:
            self._wake.clear()
            await self._wake.wait()
        deadline = self._monotonic() + THROTTLE_S
        while not self._urgent and (left := deadline - self._monotonic()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _write_once(self) -> None:
        changes, self._urgent = self._changes, False
        await self._put(self._render())
        self._written = changes
        async with self._saved:
            self._saved.notify_all()

    def _render(self) -> dict[str, str]:
        self.summary["sequence"] += 1
        self.summary["updatedAt"] = rfc3339(self.steady())
        return {SUMMARY_KEY: bounded_json(self.summary), ENTRIES_KEY: self.entries.to_text()}

    async def _put(self, data: dict[str, str]) -> None:
        while True:
            try:
                version = await self._edge.write(data, self._stored.resource_version)
            except ConflictError:
                # Somebody touched its metadata, our own answer got lost, or we have a successor.
                self._stored = await self._edge.read()
                if starts_of(self._stored) > self.start:
                    raise FencedError(
                        f"conductor start {self.start} ends: start {starts_of(self._stored)} has"
                        " taken over the journal"
                    ) from None
                continue
            self._stored = Stored(data, version)
            return

    async def claim(self) -> None:
        """
        Make this conductor the journal's owner. Call it once, before anything else.

        Raises:
            ConflictError: Somebody was faster: read the ConfigMap again and begin anew.
        """
        data = self._render()
        version = await self._edge.write(data, self._stored.resource_version)
        self._stored = Stored(data, version)


def starts_of(stored: Stored) -> int:
    """Give ``starts`` of a stored summary; 0 when there is none that can be read."""
    summary = read_summary(stored)
    return summary["starts"] if summary else 0


def read_summary(stored: Stored) -> SummaryDoc | None:
    """Give the stored summary, or None when the journal is empty or no summary of ours."""
    try:
        summary: SummaryDoc = json.loads(stored.data.get(SUMMARY_KEY) or "null")
        return summary if summary and isinstance(summary["starts"], int) else None
    except (ValueError, KeyError, TypeError):
        return None
