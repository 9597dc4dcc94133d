"""What is happening, for how long, and how long it took last time."""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from localcluster.processes import write_whole


@dataclass
class Stage:
    """One line of the display; `note` may be set while it runs."""

    name: str
    note: str = ""
    done_s: float | None = None


def duration(seconds: float) -> str:
    """A duration for people: ``0.4 s``, ``12 s``, ``6 min 40 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def running_line(stage: Stage, elapsed_s: float, last_s: float | None) -> str:
    """The line of a stage that is under way."""
    last = f"  (last time {duration(last_s)})" if last_s is not None else ""
    return f"  … {stage.name}  {duration(elapsed_s)}{last}"


def done_line(stage: Stage) -> str:
    """The line of a stage that has ended."""
    note = f"  {stage.note}" if stage.note else ""
    return f"  ✓ {stage.name:<38} {duration(stage.done_s or 0):>12}{note}"


def table(stages: list[Stage], total_s: float) -> str:
    """The stages that took noticeable time, longest first, and the total."""
    long = sorted((s for s in stages if (s.done_s or 0) >= 0.5), key=lambda s: -(s.done_s or 0))
    rows = [f"  {s.name:<40} {duration(s.done_s or 0):>12}" for s in long]
    return "\n".join([*rows, f"  {'total':<40} {duration(total_s):>12}"])


@dataclass
class Progress:
    """
    Shows stages on a terminal as a line that moves, elsewhere as one line each.

    Args:
        times: File that remembers how long each stage took last.
    """

    times: Path
    out: TextIO = field(default_factory=lambda: sys.stderr)
    stages: list[Stage] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def stage(self, name: str, *, remember: str | None = None) -> Iterator[Stage]:
        """
        Show a stage from here to the end of the block.

        Args:
            name: What is being done.
            remember: The key its time is kept under; a build and a cache hit should not share one.
        """
        stage = Stage(name)
        key = remember or name
        last_s = self._last().get(key)
        start = time.monotonic()
        ended = threading.Event()
        if self.out.isatty():
            ticker = threading.Thread(target=self._tick, args=(stage, start, last_s, ended))
            ticker.start()
        else:
            ticker = None
            if last_s is not None and last_s > 5:
                self._print(f"  … {name} (last time {duration(last_s)})")
        try:
            yield stage
        except BaseException:
            ended.set()
            if ticker:
                ticker.join()
            self._print(f"  ✗ {name}", over=ticker is not None)
            raise
        ended.set()
        if ticker:
            ticker.join()
        stage.done_s = time.monotonic() - start
        self.stages.append(stage)
        self._print(done_line(stage), over=ticker is not None)
        self._remember(key, stage.done_s)

    def summary(self) -> None:
        """Print the table of stages."""
        self._print(table(self.stages, time.monotonic() - self.begun))

    def say(self, text: str) -> None:
        """Print a line between stages."""
        self._print(text)

    def _tick(
        self, stage: Stage, start: float, last_s: float | None, ended: threading.Event
    ) -> None:
        while not ended.wait(0.1):
            line = running_line(stage, time.monotonic() - start, last_s)
            self.out.write(f"\r\033[K{line}")
            self.out.flush()

    def _print(self, line: str, *, over: bool = False) -> None:
        self.out.write(f"\r\033[K{line}\n" if over else f"{line}\n")
        self.out.flush()

    def _last(self) -> dict[str, float]:
        try:
            return dict(json.loads(self.times.read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def _remember(self, key: str, seconds: float) -> None:
        self.times.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.times, json.dumps({**self._last(), key: round(seconds, 2)}, indent=1))
