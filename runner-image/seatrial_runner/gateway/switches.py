"""Which http faults are on: told to the Envoy beside us in a file that it reads at each request."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from seatrial.api import names


@dataclass(frozen=True)
class _On:
    share: float
    seed: int
    deadline: float


class Switches:
    """
    The switches of http faults; with the return of each method the next request goes by it.

    Envoy ends a fault by itself at the deadline that stands in the file.

    Args:
        directory: What we share with Envoy.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / names.ENVOY_SWITCHES
        self._on: dict[str, _On] = {}

    def put(self, fault: str, share: float, seed: int, deadline: float) -> None:
        """
        Switch a fault on.

        Args:
            fault: Its declared name.
            share: Of the requests that it fits; 1 is all.
            seed: Of the draw, which is the same for the same fault and seed.
            deadline: Of ``time.monotonic``.

        Raises:
            OSError: It cannot be written down; all is as before.
        """
        self._write(self._on | {fault: _On(share, seed, deadline)})

    def remove(self, fault: str) -> None:
        """
        Switch a fault off, if it is on.

        Raises:
            OSError: It cannot be written down; all is as before.
        """
        if fault in self._on:
            self._write({name: on for name, on in self._on.items() if name != fault})

    def refresh(self) -> None:
        """
        Write the deadlines anew, because the clock of the wall may have been set.

        Raises:
            OSError: They cannot be written down.
        """
        if self._on:
            self._write(self._on)

    def clear(self) -> None:
        """Switch off all faults, also those of a gateway before us."""
        self._write({})

    def _write(self, on: dict[str, _On]) -> None:
        if on:
            new = self._file.with_suffix(".new")
            new.write_text("".join(_line(fault, one) for fault, one in on.items()))
            new.replace(self._file)  # nobody reads half of it
        else:
            self._file.unlink(missing_ok=True)
        self._on = on


def _line(fault: str, on: _On) -> str:
    # Lua has no other clock than that of the wall.
    ends_us = time.time_ns() // 1000 + int((on.deadline - time.monotonic()) * 1e6)
    start = random.Random(f"{on.seed} {fault}").randrange(1, names.ENVOY_DRAWS)
    return f"{fault} {on.share:.9f} {start} {ends_us}\n"
