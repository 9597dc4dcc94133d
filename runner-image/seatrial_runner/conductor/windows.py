"""The windows in which faults were in effect, and what fell into them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from seatrial_runner.clock import parse


@dataclass
class Window:
    """
    From a fault's taking effect to the later of its end and the system's recovery.

    ``own`` counts the requests to the target's own hosts, ``total`` all of them.
    What fails from ``since`` on, while the fault is being carried out, fails because of it; traffic
    has met it from ``begin`` on only.
    """

    fault: str
    hosts: frozenset[str]
    begin: datetime
    end: datetime | None = None  # None: still open
    since: datetime | None = None  # None: from ``begin``
    undone: datetime | None = None  # from then on, only recovery is awaited
    is_met_itself: bool = False  # by requests to its own hosts, before it was undone
    own: int = 0
    total: int = 0
    first_own: datetime | None = None
    first: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Tell whether a moment lies in the window."""
        return self.begin <= moment and (self.end is None or moment <= self.end)

    def overlaps(self, begin: datetime, end: datetime) -> bool:
        """Tell whether a span of time touches the window."""
        return (self.since or self.begin) <= end and (self.end is None or begin <= self.end)

    def meet(self, at: datetime, host: str) -> None:
        """Count a request that lies in the window."""
        self.total += 1
        self.first = min(at, self.first or at)
        if host in self.hosts:
            # One that follows when the fault is undone does not outweigh all that met it by others.
            self.is_met_itself |= self.undone is None or at <= self.undone
            self.own += 1
            self.first_own = min(at, self.first_own or at)

    @property
    def hits(self) -> int:
        """Requests to the target's own hosts; if there were none before its end, all requests."""
        return self.own if self.is_met_itself else self.total

    @property
    def first_hit(self) -> datetime | None:
        """The first of those that ``hits`` counts."""
        return self.first_own if self.is_met_itself else self.first


@dataclass
class Windows:
    """All windows of a run, in order of their opening; a fault may have several."""

    _windows: list[Window] = field(default_factory=list)

    def open(
        self, fault: str, hosts: frozenset[str], begin: datetime, *, since: datetime | None = None
    ) -> Window:
        """Open a window; ``since`` says when the fault began to be carried out."""
        window = Window(fault, hosts, begin, since=since)
        self._windows.append(window)
        return window

    def restore(
        self, fault: str, begin: datetime, end: datetime | None, *, since: datetime | None = None
    ) -> None:
        """Add a window of an earlier conductor; its requests are counted already."""
        self._windows.append(Window(fault, frozenset(), begin, end, since=since))

    def close(self, fault: str, end: datetime) -> None:
        """Close whatever windows of a fault are open."""
        for window in self._windows:
            if window.fault == fault and window.end is None:
                window.end = end

    def meet(
        self, at: datetime, host: str, ran: tuple[datetime, datetime] | None = None
    ) -> list[Window]:
        """Count a request in every window it lies in, of those that overlap ``ran``; give these."""
        met = [
            window
            for window in self._windows
            if window.holds(at) and (ran is None or window.overlaps(*ran))
        ]
        for window in met:
            window.meet(at, host)
        return met

    def during(self, started_at: str, finished_at: str) -> list[str]:
        """Give the faults whose windows overlap a case, each once."""
        return self.between(parse(started_at), parse(finished_at))

    def between(self, begin: datetime, end: datetime) -> list[str]:
        """Give the faults whose windows overlap a span of time, each once."""
        return list(
            dict.fromkeys(each.fault for each in self._windows if each.overlaps(begin, end))
        )
