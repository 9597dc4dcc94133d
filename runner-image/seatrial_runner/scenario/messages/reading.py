"""What expressions see of a message."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from seatrial_runner.clock import rfc3339
from seatrial_runner.scenario.expressions import UNKNOWN
from seatrial_runner.scenario.messages.tape import Record
from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.values import clean, show_duration

NOT_KEPT = "the message's body was not kept: too many came"


class Reading:
    """
    One message, read as far as is asked for.

    Attributes:
        record: The message.
        number: Among those of its subscription, from 1; for texts.
    """

    def __init__(self, record: Record, number: int, since: float) -> None:
        self.record = record
        self.number = number
        self._since = since

    @property
    def is_whole(self) -> bool:
        """Whether its body was kept."""
        return self.record.arrived.body is not None

    @cached_property
    def text(self) -> str | None:
        """The body as text; None if it is none."""
        body = self.record.arrived.body
        if body is None:
            return None
        try:
            return body.decode()
        except UnicodeDecodeError:
            return None

    @cached_property
    def json(self) -> tuple[Any, str]:
        """The body as JSON, and why there is none."""
        if not self.is_whole:
            return None, NOT_KEPT
        if self.text is None:
            return None, "the message is no text: see message.base64"
        if not self.text:
            return None, "the message is empty"
        try:
            return clean(json.loads(self.text)), ""
        except (ValueError, RecursionError) as error:
            return None, f"the message is no JSON: {error}"

    def teach(self, redactor: Redactor) -> None:
        """Let it know the secrets of the headers and of the JSON; before they are shown."""
        headers = self.record.arrived.headers
        redactor.learn_headers({k: v for k, v in headers.items() if isinstance(v, str)})
        redactor.learn_json(self.json[0])

    def notes(self) -> dict[str, str]:
        """Say why values are null or UNKNOWN, by name."""
        notes = {"message.json": self.json[1]}
        if self.text is None:
            notes["message.text"] = self.json[1]
        if not self.is_whole:
            notes["message.base64"] = NOT_KEPT
        if "deadLetter" not in self.record.arrived.more:
            notes["message.deadLetter"] = "no header says that it was dead-lettered"
        return {name: note for name, note in notes.items() if note}

    def values(self, wanted: Collection[str] | None = None) -> dict[str, Any]:
        """
        Give the message by dotted names; UNKNOWN is what needs a body that was not kept.

        Args:
            wanted: Only these; None for all.
        """
        names = _VALUES if wanted is None else [name for name in _VALUES if name in wanted]
        known = _VALUES if self.is_whole else _VALUES.keys() - BODY
        return {name: _VALUES[name](self) if name in known else UNKNOWN for name in names}

    def as_map(self) -> dict[str, Any]:
        """
        Give the message as an element of ``messages``.

        Durations and times are texts there; it has no keys for what is UNKNOWN.
        """
        found = {
            name.partition(".")[2]: value
            for name, value in self.values().items()
            if value is not UNKNOWN
        }
        found["timestamp"] = rfc3339(found["timestamp"])
        found["elapsed"] = show_duration(found["elapsed"])
        return found

    @property
    def elapsed(self) -> timedelta:
        """How long after the step began it came; nothing if it was there already."""
        return timedelta(seconds=max(0.0, self.record.came - self._since))

    @property
    def timestamp(self) -> datetime:
        """When it was published, by the broker; when it came, if that does not say."""
        return datetime.fromtimestamp(self.record.arrived.at, UTC)

    @property
    def key(self) -> str | None:
        """Its key as text."""
        key = self.record.arrived.key
        return None if key is None else key.decode("utf-8", "replace")


def _more(name: str, default: Any = None) -> Any:
    return lambda each: clean(each.record.arrived.more.get(name, default))


_VALUES: Mapping[str, Any] = {
    "message.json": lambda each: each.json[0],
    "message.text": lambda each: clean(each.text),
    "message.base64": lambda each: base64.b64encode(each.record.arrived.body or b"").decode(),
    "message.headers": lambda each: clean(each.record.arrived.headers),
    "message.key": lambda each: clean(each.key),
    "message.topic": lambda each: clean(each.record.arrived.topic),
    "message.exchange": _more("exchange"),
    "message.partition": _more("partition"),
    "message.offset": _more("offset"),
    "message.timestamp": lambda each: each.timestamp,
    "message.redelivered": _more("redelivered", False),
    "message.retained": _more("retained", False),
    "message.deadLetter": _more("deadLetter"),
    "message.properties": _more("properties"),
    "message.elapsed": lambda each: each.elapsed,
}
NAMES = tuple(_VALUES)
BODY = frozenset({"message.json", "message.text", "message.base64"})
