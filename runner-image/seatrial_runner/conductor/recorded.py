"""The messages of a run's scenarios, kept until the report is written: bounded, and masked."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from seatrial.api.report import MessagesDoc, RecordDoc, messages_text

from seatrial_runner.conductor.logs import without_credentials
from seatrial_runner.conductor.passwords import masked
from seatrial_runner.scenario.redaction import MASK, is_secret_name

MAX_BYTES = 16 * 1024 * 1024  # of all that is kept, as JSON; in memory it is compressed
MAX_MESSAGES = 200  # of one record


@dataclass(frozen=True)
class _Kept:
    test: str
    case: str
    attempt: int
    packed: bytes


class Recorded:
    """
    What came, by test and case.

    NB: not in the journal, which the operator reads at every change: what an earlier conductor had
    kept has gone with it.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._kept: list[_Kept] = []
        self._room = max_bytes

    def keep(self, test: str, case: str, attempt: int, record: RecordDoc) -> None:
        """Keep the record of a case; of one that there is no room for, the numbers."""
        written = _written(record)
        if len(written) > self._room:
            written = _written(shortened(record, 0))
        self._room -= len(written)
        self._kept.append(_Kept(test, case, attempt, zlib.compress(written)))

    def documents(self) -> Iterator[MessagesDoc]:
        """Give what is kept, in order of the cases' ends."""
        for each in self._kept:
            record: RecordDoc = json.loads(zlib.decompress(each.packed))
            yield {"test": each.test, "case": each.case, "attempt": each.attempt, **record}

    def texts(self) -> dict[tuple[str, str], str]:
        """Give the last record of each test and case, written for people."""
        return {(each["test"], each["case"]): messages_text(each) for each in self.documents()}

    def part(self, room: int) -> bytes:
        """Compress all for the report; where that is too much, show fewer of each; b"" for none."""
        documents = list(self.documents())
        most = MAX_MESSAGES
        size = sum(len(each.packed) for each in self._kept)
        while size > 2 * room and most:  # a first guess, so that little is compressed in vain
            most, size = most // 2, size // 2
        while documents:
            shown = [{**each, **shortened(each, most)} for each in documents]
            packed = gzip.compress(json.dumps(shown).encode(), mtime=0)
            if len(packed) <= room:
                return packed
            if most == 0:
                break
            most //= 2
        return b""


def shortened(record: RecordDoc, most: int) -> RecordDoc:
    """Give a record that shows no more than so many messages: the first and the last."""
    shown = record["messages"]
    if len(shown) > most:
        first = (most + 1) // 2
        shown = shown[:first] + shown[len(shown) - (most - first) :]
    return {
        "total": record["total"],
        "leftOut": record["total"] - len(shown),
        "withoutBody": record["withoutBody"],
        "dropped": record["dropped"],
        "subscriptions": record["subscriptions"],
        "messages": shown,
    }


def _written(record: RecordDoc) -> bytes:
    # The worker has masked what it knew of secrets, in every text of its own.
    return masked(json.dumps(_masked(record), ensure_ascii=False)).encode("utf-8", "replace")


def _masked(value: Any) -> Any:
    match value:
        case str():
            return without_credentials(value)
        case dict():
            return {
                key: MASK if isinstance(item, str) and is_secret_name(key) else _masked(item)
                for key, item in value.items()
            }
        case list():
            return [_masked(item) for item in value]
        case _:
            return value
