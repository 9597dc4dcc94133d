"""What a scenario may touch: the outside world, as the caller hands it in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from seatrial_runner import clock


class Faults(Protocol):
    """Starts and stops the manual faults of the run, and tells how each fault is."""

    def start(self, name: str) -> None:
        """Return once the fault is in effect; raise with a sentence if it cannot be."""

    def stop(self, name: str) -> None:
        """Return once the fault is undone; raise with a sentence if it cannot be."""

    def status(self, name: str) -> Mapping[str, Any]:
        """Give a fault's entry of ``status.faults``; raise with a sentence if there is none."""


class FaultsUnavailableError(Exception):
    """There is no conductor: the step that asked is skipped, and the scenario goes on."""


class NoFaults:
    """Stands in where no conductor is, as on a laptop."""

    def start(self, name: str) -> None:
        """Refuse."""
        raise FaultsUnavailableError(f"fault {name!r} is not started: there is no conductor here")

    def stop(self, name: str) -> None:
        """Refuse."""
        raise FaultsUnavailableError(f"fault {name!r} is not stopped: there is no conductor here")

    def status(self, name: str) -> Mapping[str, Any]:
        """Refuse."""
        raise FaultsUnavailableError(
            f"fault {name!r} is not in effect: there is no conductor here, so nothing can be"
            " expected to fail"
        )


def _nobody_listens(at: datetime, host: str) -> None:
    pass


@dataclass(frozen=True)
class World:
    """
    Everything a scenario needs that is not in its text.

    Attributes:
        faults: Starts and stops manual faults.
        services: The CEL and template variable ``services``: by name, ``{"host", "port", "url",
            "ports": {name: number}}``, the same document as the variable SEATRIAL_SERVICES.
        base_urls: Where to send requests instead, by origin: ``{"http://orders:8080":
            "http://localhost:18080"}``; a host name alone (``orders``) stands for all its ports.
        environ: The variable ``env``. Whatever is in it can be printed by a scenario.
        on_request: Called for each request just before it is sent, with the host named in the
            scenario. Called from several threads when a scenario has parallel branches.
        deadline: On the clock of ``monotonic``, in seconds; None: only the test's own timeout.
        now: Wall clock, UTC.
        monotonic: Clock of timeouts and durations, in seconds.
        sleep: Waits that many seconds.
    """

    faults: Faults = field(default_factory=NoFaults)
    services: Mapping[str, Any] = field(default_factory=dict)
    base_urls: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    on_request: Callable[[datetime, str], None] = _nobody_listens
    deadline: float | None = None
    now: Callable[[], datetime] = clock.now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
