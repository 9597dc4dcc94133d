"""What has met an ``http`` fault, or could not: read from Envoy's access log."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from seatrial.api import names

from seatrial_runner.control.carrier import Evidence

_CHUNK = 1024 * 1024
# Beyond this the log is put aside and a new one begun.
MAX_BYTES = 64 * 1024 * 1024


@dataclass
class _Tally:
    since_ms: int
    hits: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)  # connections that are no HTTP, by number

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


class RequestLog:
    """
    Counts requests by the fault that they have met.

    Envoy writes a line when a request is sent down a fault's route, and another when it is over;
    and some for each connection that is no HTTP, which every such fault lets pass. What the
    conductor's own checks have met is not counted.
    """

    def __init__(self, path: Path, *, most: int = MAX_BYTES) -> None:
        self._path = path
        self._old = path.with_suffix(".old")
        self._most = most
        self._file: FileIO | None = None
        self._aside = False  # the file that is open has been put aside
        self._rest = b""
        self._tallies: dict[str, _Tally] = {}
        self.mark = 0  # the last one that was read

    def begin(self, fault: str, since: datetime) -> None:
        """Count anew what a fault meets; what is still to be read of the time before is not."""
        self._tallies[fault] = _Tally(since_ms=int(since.timestamp() * 1000))

    def evidence(self, fault: str) -> Evidence:
        """Give what a fault has met since ``begin``, as far as it has been read."""
        tally = self._tallies.get(fault)
        if tally is None:
            return Evidence()
        return Evidence(
            hits=tally.hits,
            first_hit=_moment(tally.first_ms),
            last_hit=_moment(tally.last_ms),
            counts={"requests": tally.hits, **tally.counts, **_unread(len(tally.unread))},
        )

    def skip(self) -> None:
        """Leave out what an earlier gateway has seen."""
        if self._open() and self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def read(self, most: int = _CHUNK) -> bool:
        """
        Read what Envoy has written since the last time.

        Args:
            most: Bytes; a thousand lines take some five milliseconds.

        Returns:
            Whether there is more.
        """
        if not self._open():
            return False
        if self._read_on(most):
            return True
        if self._aside and self._path.exists():
            if self._read_on(most):  # Envoy has closed it before it opened the new one
                return True
            self.close()
            self._old.unlink()
            return self.read(most)
        return False

    def is_long(self) -> bool:
        """Tell whether it should be put aside."""
        return (
            self._file is not None
            and not self._aside
            and os.fstat(self._file.fileno()).st_size > self._most
        )

    def put_aside(self) -> None:
        """Begin a new log: Envoy must be told to open it again. What it still writes is read."""
        self._path.rename(self._old)
        self._aside = True

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._rest, self._aside = None, b"", False

    def _open(self) -> bool:
        if self._file is None:
            with contextlib.suppress(FileNotFoundError):  # nothing has met a fault yet
                self._file = self._path.open("rb", buffering=0)
        return self._file is not None

    def _read_on(self, most: int) -> bool:
        assert self._file is not None
        data = self._file.read(most)
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._take(line)
        return len(data) == most

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if entry["path"].startswith(names.ENVOY_MARK):
                self.mark = max(self.mark, int(entry["path"].removeprefix(names.ENVOY_MARK)))
            tally = self._tallies[entry["fault"]]
            at_ms = int(entry["at"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # torn by the end of an Envoy that was killed, or of a fault before our time
        if at_ms < tally.since_ms or _is_of_check(entry.get("from")):
            return
        if isinstance(passing := entry.get("passing"), int):
            tally.unread.add(passing)
        if entry.get("type") == "DownstreamStart":
            tally.hits += 1
            tally.first_ms = at_ms if tally.first_ms is None else min(tally.first_ms, at_ms)
            tally.last_ms = at_ms if tally.last_ms is None else max(tally.last_ms, at_ms)
        elif entry.get("type") == "DownstreamEnd":
            tally.count("answered" if entry.get("status") else "unanswered")


def _is_of_check(address: object) -> bool:
    """Tell by the address of Envoy's client, which is the gateway, whose request it has sent on."""
    port = address.rpartition(":")[2] if isinstance(address, str) else ""
    return port.isdigit() and int(port) in names.CHECK_PORTS


def _unread(connections: int) -> dict[str, int]:
    return {"unreadConnections": connections} if connections else {}


def _moment(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)
