"""What has met an ``http`` fault, or could not: read from what Envoy writes down."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import FileIO
from math import inf
from pathlib import Path
from typing import Any

from seatrial.api import names

from seatrial_runner.control.carrier import Evidence

_CHUNK = 1024 * 1024
# Beyond this the log is put aside and a new one begun.
MAX_BYTES = 16 * 1024 * 1024


@dataclass
class _Tally:
    since_ms: int
    until_ms: float = inf  # of what passes; a request that has met the fault did so in its time
    hits: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)  # connections that are no HTTP, by number

    def take(self, entry: dict[str, Any], at_ms: int) -> None:
        if isinstance(passing := entry.get("passing"), int):
            if at_ms <= self.until_ms:
                self.unread.add(passing)
        elif entry.get("came"):
            self.hits += 1
            self.first_ms = at_ms if self.first_ms is None else min(self.first_ms, at_ms)
            self.last_ms = at_ms if self.last_ms is None else max(self.last_ms, at_ms)
        else:
            what = "answered" if entry.get("status") else "unanswered"
            self.counts[what] = self.counts.get(what, 0) + 1


class RequestLog:
    """
    Counts requests by the fault that they have met.

    Envoy writes a line into one file when a request is sent down a fault's route, and into another
    when it is over; and there some for each connection that is no HTTP, which every such fault lets
    pass. What the conductor's own checks have met is not counted.

    Args:
        directory: What we share with Envoy.
        most: Bytes of a file, beyond which it should be put aside.
    """

    def __init__(self, directory: Path, *, most: int = MAX_BYTES) -> None:
        files = (names.ENVOY_MET, names.ENVOY_LOG)
        self._files = [_File(directory / name, most) for name in files]
        self._tallies: dict[str, _Tally] = {}
        self.mark = 0  # the last one that was read

    def begin(self, fault: str, since: datetime) -> None:
        """Count anew what a fault meets; what is still to be read of the time before is not."""
        self._tallies[fault] = _Tally(since_ms=_milliseconds(since))

    def end(self, fault: str, until: datetime) -> None:
        """Count what passes until then; a request that has met the fault is counted anyway."""
        self._tallies[fault].until_ms = _milliseconds(until)

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

    def forget(self) -> None:
        """Leave out what an earlier gateway has seen; Envoy must be told to open its log again."""
        for file in self._files:
            file.forget()

    def skip(self) -> None:
        """Leave out what was until now."""
        for file in self._files:
            file.skip()

    def read(self, most: int = _CHUNK) -> bool:
        """
        Read what Envoy has written since the last time.

        Args:
            most: Bytes; a thousand lines take some five milliseconds.

        Returns:
            Whether there is more.
        """
        for file in self._files:
            lines, more = file.read(most)
            for line in lines:
                self._take(line)
            if more:
                return True
        return False

    def shorten(self) -> bool:
        """Begin anew what is long; tell whether Envoy must be told to open its log again."""
        waiting = [file.shorten() for file in self._files]
        return any(waiting)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if "mark" in entry:
                self.mark = max(self.mark, int(entry["mark"].removeprefix(names.ENVOY_MARK)))
                return
            at_ms = int(entry["at"])
            if _is_of_check(entry.get("from")):
                return
            for fault in entry["faults"].split() if "passing" in entry else [entry["fault"]]:
                if (tally := self._tallies.get(fault)) is not None and tally.since_ms <= at_ms:
                    tally.take(entry, at_ms)
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # torn by the end of an Envoy that was killed


class _File:
    """A file that Envoy appends lines to, and opens again when it has been put aside."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._old = path.with_suffix(".old")
        self._most = most
        self._file: FileIO | None = None
        self._aside = False  # the file that is open has been put aside
        self._rest = b""

    def forget(self) -> None:
        self._old.unlink(missing_ok=True)
        self.skip()

    def skip(self) -> None:
        if self._open() and self._file is not None:
            self._file.seek(0, os.SEEK_END)
            self._rest = b""

    def read(self, most: int) -> tuple[list[bytes], bool]:
        """Read whole lines, and tell whether there is more."""
        if not self._open():
            return [], False
        # Whoever writes into the new file has closed the old one.
        is_done = self._aside and self._path.exists()
        lines, more = self._read_on(most)
        if is_done and not more:
            self.close()
            self._old.unlink()
            return lines, True
        return lines, more

    def shorten(self) -> bool:
        """Begin a new file if this one is long; tell whether its writer still has the old one."""
        if self._file is None:
            return False
        if not self._aside and os.fstat(self._file.fileno()).st_size > self._most:
            self._path.rename(self._old)
            self._aside = True
        return self._aside and not self._path.exists()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._rest, self._aside = None, b"", False

    def _open(self) -> bool:
        if self._file is None:
            with contextlib.suppress(FileNotFoundError):  # nothing has met a fault yet
                self._file = self._path.open("rb", buffering=0)
        return self._file is not None

    def _read_on(self, most: int) -> tuple[list[bytes], bool]:
        assert self._file is not None
        data = self._file.read(most)
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        return lines, len(data) == most


def _is_of_check(address: object) -> bool:
    """Tell by the address of Envoy's client, which is the gateway, whose request it has sent on."""
    port = address.rpartition(":")[2] if isinstance(address, str) else ""
    return port.isdigit() and int(port) in names.CHECK_PORTS


def _unread(connections: int) -> dict[str, int]:
    return {"unreadConnections": connections} if connections else {}


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)
