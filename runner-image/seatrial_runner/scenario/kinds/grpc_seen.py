"""What came of a gRPC call: messages and a status, for expectations and for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.expressions import ExpressionError
from seatrial_runner.scenario.receiving import Condition
from seatrial_runner.scenario.redaction import MASK, is_secret_name

if TYPE_CHECKING:
    from seatrial_runner.scenario.kinds.grpc_schema import Method

MAX_MESSAGES = 10_000
MAX_TOTAL = 10 * 1024 * 1024
_MOST_SHOWN = 3000  # characters

Metadata = list[tuple[str, str | bytes]]


@dataclass
class Seen:
    """What came so far; ``code`` is empty until the call has ended."""

    messages: list[Any] = field(default_factory=list)
    size: int = 0
    code: str = ""
    details: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)

    def take(self, raw: bytes, method: Method, call: Call) -> None:
        """
        Read a message.

        Raises:
            StepFailure: It cannot be read, or there are more than a step may take.
        """
        self.size += len(raw)
        self.messages.append(method.decode(raw))
        call.tools.redactor.learn_json(self.messages[-1])
        if len(self.messages) > MAX_MESSAGES or self.size > MAX_TOTAL:
            raise StepFailure(
                f"more than {MAX_MESSAGES} messages or {MAX_TOTAL // 2**20} MiB came, the most a"
                " step reads: end it sooner with receive.count or receive.until",
                answered=True,
            )

    def fulfils(self, condition: Condition) -> bool:
        """Tell whether ``until`` holds; raises StepFailure where it never can."""
        try:
            return condition.holds(
                {"response.message": self.messages[-1], "response.messages": self.messages}
            )
        except ExpressionError as error:
            raise StepFailure(f"receive.until: {error}", permanent=True) from error

    def ended(self, running: Any, call: Call) -> None:
        """Take over the status of a call that has ended."""
        from seatrial_runner.scenario.kinds.grpc_channel import as_texts

        self.metadata = as_texts(running.initial_metadata() or ())
        self.trailers = as_texts(running.trailing_metadata() or ())
        self.code, self.details = running.code().name, running.details() or ""
        for headers in (self.metadata, self.trailers):
            call.tools.redactor.learn_headers(headers)

    def status(self) -> str:
        """Write it on a line."""
        return f"{self.code}: {self.details}" if self.details else self.code


def observed(seen: Seen, elapsed: timedelta, text: str) -> Observation:
    """Give what expectations see; ``text`` is for people."""
    values = {
        "response.code": seen.code,
        "response.details": seen.details,
        "response.message": seen.messages[-1] if seen.messages else None,
        "response.messages": seen.messages,
        "response.metadata": seen.metadata,
        "response.trailers": seen.trailers,
        "response.elapsed": elapsed,
    }
    notes = {} if seen.messages else {"response.message": seen.status() or "no message came"}
    return Observation(values, text, notes, seen.status())


def shown(
    what: str,
    metadata: Metadata,
    sent: list[Any],
    seen: Seen,
    open_end: str = "left before its end",
) -> str:
    """Write what was sent, and what came back."""
    lines = ["Call:", f"  {what}"]
    for name, value in metadata:
        text = value if isinstance(value, str) else f"{len(value)} bytes"
        lines.append(f"  {name}: {MASK if is_secret_name(name) else text}")
    lines += _indented(sent)
    lines += ["", "Answer:", f"  {seen.code or open_end} {seen.details}".rstrip()]
    lines += _entries(seen.metadata | seen.trailers)
    return "\n".join([*lines, *_indented(seen.messages)])


def _entries(metadata: Mapping[str, str]) -> Iterator[str]:
    return (f"  {name}: {value}" for name, value in metadata.items())


def _indented(messages: list[Any]) -> Iterator[str]:
    left = _MOST_SHOWN
    for index, message in enumerate(messages):
        text = json.dumps(message, indent=2, ensure_ascii=False)
        left -= len(text)
        if left < 0:
            yield f"  … {len(messages) - index} more messages"
            return
        yield from (f"  {line}" for line in text.splitlines())
