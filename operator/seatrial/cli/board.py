"""A run in the middle, as a terminal shows it: drawn again and again. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from seatrial.cli.lines import Line, Tone, moment, short_seconds
from seatrial.cli.parts import fault_line, marked, probe_line, service_line, test_line

Json = dict[str, Any]


def board(run: Json, now: datetime, room: int) -> Iterator[Line]:
    """
    Give the lines of a live display.

    Args:
        run: The run as last seen.
        now: For the time it has taken so far.
        room: Lines there are; what is done or has not begun gives way to what goes on.
    """
    status = run.get("status") or {}
    phase = status.get("phase") or "waiting for the operator"
    title = f"{run['metadata']['name']}  {phase}"
    if begun := moment(status.get("startTime")):
        title += f"  {short_seconds((now - begun).total_seconds())}"
    if namespace := status.get("namespace"):
        title += f"  {namespace}"
    yield Line(title, Tone.TITLE)
    if phase == "Queued" and (message := status.get("message")):
        yield Line(message, Tone.QUIET, 1)
    parts = [
        *(service_line(each) for each in status.get("services") or []),
        *(test_line(each) for each in status.get("tests") or []),
        *(fault_line(each) for each in status.get("faults") or []),
        *(probe_line(each) for each in status.get("probes") or []),
    ]
    shown = _most_important(parts, room - 2)
    for line in shown:
        yield Line(marked(line).text, line.tone, 1)
    if hidden := len(parts) - len(shown):
        yield Line(f"and {hidden} more", Tone.QUIET, 1)


_IMPORTANCE = (Tone.BAD, Tone.BUSY, Tone.WARNING, Tone.QUIET, Tone.GOOD)


def _most_important(lines: list[Line], room: int) -> list[Line]:
    if len(lines) <= room:
        return lines
    by_importance = sorted(range(len(lines)), key=lambda n: (_IMPORTANCE.index(lines[n].tone), n))
    kept = set(by_importance[: max(room, 1)])
    return [line for number, line in enumerate(lines) if number in kept]
