"""Reads a body as it comes: server-sent events, or lines, until there is enough of them."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_EVENTS = 10_000
MAX_LINE = 1024 * 1024
_LINE_END = re.compile(r"\r\n|\n|\r")

Event = dict[str, Any]


class StreamProblemError(Exception):
    """A stream that is not what it should be; the message says how."""


@dataclass
class Collected:
    """
    What has come of a stream.

    Attributes:
        events: Each ``{"event", "data", "id", "json"}``; ``json`` is null where data is no JSON.
        enough: Whether as much came as was asked for; else the stream ended before.
    """

    events: list[Event] = field(default_factory=list)
    enough: bool = False


def collect(
    chunks: Iterable[bytes],
    into: Collected,
    *,
    sse: bool,
    count: int | None,
    until: Callable[[Collected], bool],
) -> None:
    """
    Take events until there are enough, or the stream ends.

    Args:
        chunks: The body; what it raises is raised here, with ``into`` as far as it came.
        into: Filled.
        sse: Whether these are server-sent events; else each line is one.
        count: Enough events.
        until: Called after each; tells that it is enough.

    Raises:
        StreamProblemError: A line or the number of events has no end.
    """
    for event in _events(chunks) if sse else map(_of_line, _lines(chunks)):
        into.events.append(event)
        if count is not None and len(into.events) >= count:
            into.enough = True
        if until(into):
            into.enough = True
        if into.enough:
            return
        if len(into.events) >= MAX_EVENTS:
            raise StreamProblemError(
                f"more than {MAX_EVENTS} events came, the most a scenario reads:"
                " end it sooner with stream.count or stream.until"
            )


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    for chunk in chunks:
        rest += decoder.decode(chunk)
        # A \r at the end may be the first half of \r\n.
        open_end = "\r" if rest.endswith("\r") else ""
        *whole, rest = _LINE_END.split(rest.removesuffix("\r"))
        rest += open_end
        yield from whole
        if len(rest) > MAX_LINE:
            raise StreamProblemError(
                f"a line is longer than {MAX_LINE // 2**20} MiB, the most a scenario reads"
            )
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest.rstrip("\r")


def _of_line(line: str) -> Event:
    return {"event": "", "data": line, "id": "", "json": _json(line)}


def _events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """
    Give server-sent events.

    Source: WHATWG HTML, 9.2.6 "Interpreting an event stream".
    """
    data: list[str] = []
    kind, last_id, size = "", "", 0
    for number, line in enumerate(_lines(chunks)):
        line = line.removeprefix("\ufeff") if number == 0 else line
        if not line:
            if data:
                text = "\n".join(data)
                yield {"event": kind or "message", "data": text, "id": last_id, "json": _json(text)}
            data, kind, size = [], "", 0
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                data.append(value)
                size += len(value)
                if size > MAX_LINE:
                    raise StreamProblemError(
                        f"an event is longer than {MAX_LINE // 2**20} MiB, the most a scenario"
                        " reads"
                    )
            case "event":
                kind = value
            case "id" if "\0" not in value:
                last_id = value
            case _:
                pass  # a comment, retry, or a field that nobody knows


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


class Limit:
    """Counts the bytes of a body, and refuses more than ``most``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.parts: list[bytes] = []
        self.size = 0

    def count(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass chunks on."""
        for chunk in chunks:
            self.size += len(chunk)
            if self.size > self._most:
                raise StreamProblemError(
                    f"the stream is larger than {self._most // 2**20} MiB, the most a scenario"
                    " reads: end it sooner with stream.count or stream.until"
                )
            self.parts.append(chunk)
            yield chunk
