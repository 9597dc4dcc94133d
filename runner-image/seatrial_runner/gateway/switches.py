"""Which http faults are on: told to the Envoy beside us in a file that it reads at each request."""

from __future__ import annotations

import time
from pathlib import Path

from seatrial.api import names


class Switches:
    """
    The switches of http faults; with the return of each method the next request goes by it.

    Envoy ends a fault by itself at the deadline that stands in the file.

    Args:
        directory: What we share with Envoy.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / names.ENVOY_SWITCHES
        self._lines: dict[str, str] = {}

    def put(self, fault: str, share: float, deadline: float) -> None:
        """
        Switch a fault on.

        Args:
            fault: Its declared name.
            share: Of the requests that it fits; 1 is all.
            deadline: Of ``time.monotonic``.
        """
        # Lua has no other clock than that of the wall.
        ends_us = time.time_ns() // 1000 + int((deadline - time.monotonic()) * 1e6)
        self._lines[fault] = f"{fault} {share:.9f} {ends_us}\n"
        self._write()

    def remove(self, fault: str) -> None:
        """Switch a fault off, if it is on."""
        if self._lines.pop(fault, None) is not None:
            self._write()

    def clear(self) -> None:
        """Switch off all faults, also those of a gateway before us."""
        self._lines.clear()
        self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        if not self._lines:
            self._file.unlink(missing_ok=True)
            return
        new = self._file.with_suffix(".new")
        new.write_text("".join(self._lines.values()))
        new.replace(self._file)  # nobody reads half of it
