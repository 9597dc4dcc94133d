"""Where lines go: a terminal, which is drawn again as the run goes on, or a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from seatrial.cli import clock
from seatrial.cli.board import board
from seatrial.cli.changes import changes
from seatrial.cli.lines import Line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Json = dict[str, Any]

REFRESHES_PER_S = 5


class Screen(Protocol):
    """Shows a run as it goes."""

    def __enter__(self) -> Screen: ...

    def __exit__(self, *args: object) -> None: ...

    def show(self, run: Json) -> None:
        """Take in the run as it is now."""

    def note(self, line: Line) -> None:
        """Say something that is not in the run's status."""


def open_screen(stream: TextIO) -> Screen:
    """Give a live display if the stream is a terminal that can, else lines with the time."""
    if not stream.isatty():
        return LogScreen(stream)
    console = _console(stream)
    return LogScreen(stream) if console.is_dumb_terminal else LiveScreen(console)


def print_lines(lines: Iterable[Line], stream: TextIO | None = None) -> None:
    """Print lines: with colours on a terminal, as plain text elsewhere."""
    stream = stream or sys.stdout
    if stream.isatty():
        console = _console(stream)
        for line in lines:
            console.print(_styled(line))
    else:
        for line in lines:
            print(line, file=stream)


class LogScreen:
    """A line with the time for each change; for logs of CI jobs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._status: Json = {}

    def __enter__(self) -> LogScreen:
        return self

    def __exit__(self, *args: object) -> None:
        self._stream.flush()

    def show(self, run: Json) -> None:
        """Print what has changed since the last look."""
        status = run.get("status") or {}
        for line in changes(self._status, status):
            self.note(line)
        self._status = status

    def note(self, line: Line) -> None:
        """Print a line with the time."""
        print(f"{clock.now():%H:%M:%S} {line}", file=self._stream, flush=True)


class LiveScreen:
    """A display that is drawn again a few times a second; notes stay above it."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._run: Json | None = None
        self._live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
        )

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._live.stop()

    def show(self, run: Json) -> None:
        """Take in the run; the display follows by itself."""
        self._run = run

    def note(self, line: Line) -> None:
        """Print a line above the display."""
        self._console.print(_styled(line))

    def _draw(self) -> RenderableType:
        from rich.console import Group

        if self._run is None:
            return Group()
        lines = board(self._run, clock.now(), room=self._console.height - 1)
        return Group(*(_styled(line, cut=True) for line in lines))


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _styled(line: Line, *, cut: bool = False) -> RenderableType:
    from rich.text import Text

    text = Text(str(line), style=line.tone.value, no_wrap=cut)
    text.overflow = "ellipsis" if cut else "fold"
    return text
