"""The entries of a journal: one JSON object a line, oldest first, bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

Entry = dict[str, Any]

MAX_BYTES = 512 * 1024
# An entry that is cut still says what happened; 20 KiB hold a message and its details.
MAX_TEXT = 8 * 1024
# Room made at once, so that a full journal is not searched again for every new entry.
_ROOM = MAX_BYTES // 16


class Entries:
    """
    What happened in a run.

    When the text would pass ``max_bytes``, the oldest results of passed cases and hits of faults go
    first, then the oldest of whatever is left but what a restart needs; the newest quarter, which
    may not have been written yet, goes last. ``dropped`` counts them and stands in the first line.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: list[tuple[Entry, str]] = []
        self._bytes = 0
        self._next = 1
        self.dropped = 0

    @classmethod
    def parse(cls, text: str, *, max_bytes: int = MAX_BYTES) -> Entries:
        """Read what ``to_text`` wrote; a line that is no entry counts as dropped."""
        entries = cls(max_bytes=max_bytes)
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict) or not entry.keys() >= {"n", "kind"}:
                entries.dropped += 1
            elif entry["kind"] == "dropped":
                entries.dropped += int(entry.get("dropped", 0))
            else:
                entries._append(entry)
        return entries

    def add(self, kind: str, *, at: str, mono: float, start: int, **fields: Any) -> Entry:
        """
        Append an entry and give it back.

        Args:
            kind: One of the kinds of the architecture page.
            at: Wall clock, RFC 3339.
            mono: Seconds since the start of this conductor.
            start: Which start of the conductor this is, from 1.
            fields: JSON values; texts are cut to 8 KiB.
        """
        entry: Entry = {
            "n": self._next,
            "at": at,
            "mono": round(mono, 3),
            "start": start,
            "kind": kind,
            **{name: _cut(value) for name, value in fields.items()},
        }
        self._append(entry)
        return entry

    def __iter__(self) -> Iterator[Entry]:
        return (entry for entry, _ in self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def to_text(self) -> str:
        """Give the lines; never more than ``max_bytes``."""
        head = [_line({"n": 0, "kind": "dropped", "dropped": self.dropped})] if self.dropped else []
        return "".join([*head, *(line for _, line in self._kept)])

    def _append(self, entry: Entry) -> None:
        line = _line(entry)
        self._kept.append((entry, line))
        self._bytes += _size(line)
        self._next = max(self._next, int(entry["n"]) + 1)
        if self._bytes > self._max_bytes - _HEAD:
            self._make_room()

    def _make_room(self) -> None:
        goal = self._max_bytes - _HEAD - min(_ROOM, self._max_bytes // 4)
        is_old, is_needed = self._older_than_a_quarter(), self._needed_by_a_restart()
        first_to_last: list[Callable[[Entry], bool]] = [
            lambda entry: is_old(entry) and _is_minor(entry),
            lambda entry: is_old(entry) and not is_needed(entry),
            lambda entry: not is_needed(entry),
            lambda entry: True,
        ]
        for may_go in first_to_last:
            kept = []
            for entry, line in self._kept:
                if self._bytes > goal and may_go(entry):
                    self._bytes -= _size(line)
                    self.dropped += 1
                else:
                    kept.append((entry, line))
            self._kept = kept

    def _older_than_a_quarter(self) -> Callable[[Entry], bool]:
        room = self._max_bytes // 4
        first = self._next
        for entry, line in reversed(self._kept):
            room -= _size(line)
            if room < 0:
                break
            first = entry["n"]
        return lambda entry: bool(entry["n"] < first)

    def _needed_by_a_restart(self) -> Callable[[Entry], bool]:
        first: dict[Any, int] = {}
        last: dict[Any, int] = {}
        for entry, _ in self._kept:
            if entry["kind"] in ("fault.requested", "fault.failed"):
                last[entry["kind"], entry.get("fault")] = entry["n"]
            if entry["kind"] == "fault.failed":
                # One that fails each of a thousand times must not push out the intents of others.
                first.setdefault((entry.get("fault"), entry.get("state")), entry["n"])
        needed = {*first.values(), *last.values()}
        return lambda entry: entry["kind"] in _FOR_A_RESTART or entry["n"] in needed


# Room for the line that says how many were dropped.
_HEAD = 64
# Beside the last intent of each fault, with what it takes to undo it, and what each has lacked.
_FOR_A_RESTART = frozenset({"gate.opened", "shard.finished"})


def _is_minor(entry: Entry) -> bool:
    kind = entry["kind"]
    if kind in ("fault.hit", "probe.failed", "probe.held"):
        return True
    return kind == "case.finished" and entry.get("outcome") == "passed"


def _line(entry: Entry) -> str:
    return json.dumps(entry, separators=(",", ":")) + "\n"


def _size(line: str) -> int:
    return len(line)  # json.dumps writes ASCII


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return value[: MAX_TEXT - 1] + "…"
    return value
