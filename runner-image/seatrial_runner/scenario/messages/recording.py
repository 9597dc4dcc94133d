"""What a report keeps of a scenario's messages: all counted, the first and the last shown. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from seatrial.api.report import MessageDoc, RecordDoc

from seatrial_runner.scenario.messages.feed import Feed
from seatrial_runner.scenario.messages.reading import Reading
from seatrial_runner.scenario.messages.tape import Tape
from seatrial_runner.scenario.redaction import MASK, Redactor, cut, is_secret_name

MAX_SHOWN = 200  # messages: half of them the first, half the last
MAX_BYTES = 64 * 1024  # of all that is shown
MAX_TEXT = 1000  # characters of one


def recorded(tape: Tape, feeds: Sequence[Feed], redactor: Redactor) -> RecordDoc:
    """
    Give the record of a scenario's messages, bounded, as JSON.

    Its ``messages`` are in the order in which they came; the redactor, which is to mask it, knows
    their secrets then.
    """
    total = len(tape)
    names = {feed.number: feed.name for feed in feeds}

    def entries(numbers: range) -> list[MessageDoc]:
        return [_entry(tape, number, names, redactor) for number in numbers]

    first = entries(range(min(total, MAX_SHOWN // 2)))
    last = entries(range(max(len(first), total - MAX_SHOWN // 2), total))
    shown = _within(first, MAX_BYTES // 2)
    shown += reversed(_within(list(reversed(last)), MAX_BYTES // 2))
    return {
        "total": total,
        "leftOut": total - len(shown),
        "withoutBody": tape.without_body,
        "dropped": tape.dropped,
        "subscriptions": [
            {"name": feed.name, "messages": len(feed), "missed": feed.doubts()} for feed in feeds
        ],
        "messages": shown,
    }


def _entry(tape: Tape, number: int, names: dict[int, str], redactor: Redactor) -> MessageDoc:
    record = tape.read(number)
    reading = Reading(record, number + 1, record.came)
    reading.teach(redactor)
    values = reading.as_map()
    text = values.get("text")
    entry: dict[str, Any] = {
        "number": number + 1,
        "from": names.get(record.feed, ""),
        "at": values["timestamp"],
        "headers": {
            name: MASK if is_secret_name(name) else value
            for name, value in values["headers"].items()
        },
        "text": cut(text, MAX_TEXT) if text is not None else None,
        "bytes": len(record.arrived.body or b""),
    }
    for name in ("topic", "key", "partition", "offset", "exchange", "deadLetter"):
        if values[name] not in (None, ""):
            entry[name] = values[name]
    for name in ("redelivered", "retained"):
        if values[name]:
            entry[name] = True
    return cast("MessageDoc", entry)


def _within(entries: list[MessageDoc], limit: int) -> list[MessageDoc]:
    kept: list[MessageDoc] = []
    size = 0
    for entry in entries:
        size += len(json.dumps(entry, ensure_ascii=False, default=str).encode("utf-8", "replace"))
        if size > limit:
            break
        kept.append(entry)
    return kept
