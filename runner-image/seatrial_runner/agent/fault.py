"""What a fault in a pod must be able to do, and which kinds there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from seatrial.api.control import FaultOrder

from seatrial_runner.agent.processes import Container
from seatrial_runner.agent.tally import Tally


class Fault(Protocol):
    """
    Carried out in a process of its own, and undone by the kernel when that ends.

    ``begin`` raises NotInjectedError or OSError when it cannot be done here.
    """

    tally: Tally

    def begin(self, deadline: float) -> None:
        """Put it into effect, until the deadline on ``time.monotonic``."""

    def renew(self, deadline: float) -> None:
        """Move its end."""

    def watched(self) -> Sequence[Any]:
        """Give what it waits for, as ``select`` takes it."""

    def turn(self) -> float | None:
        """Do what is due; give when something is due again, None if only what comes counts."""

    def end(self) -> None:
        """Undo it."""


@dataclass(frozen=True)
class Surroundings:
    """What an agent knows of the place it is in."""

    container: Container
    nodes: tuple[bytes, ...] = ()  # addresses of the node


def fault_of(order: FaultOrder, around: Surroundings) -> Fault:
    """
    Make the fault that is ordered; it is not in effect yet.

    Raises:
        ValueError: Its parameters make no sense; the message names the field.
        NotInjectedError: It cannot be done here.
    """
    params, container = order["params"], around.container
    if "containerId" in order:  # it may have been restarted since
        container = replace(container, id=order["containerId"])
    match order["kind"]:
        case "packets":
            from seatrial_runner.agent.packets import Packets

            return Packets(params, order["seed"], list(around.nodes))
        case "dns":
            from seatrial_runner.agent.dns import Dns

            return Dns(params, container)
        case "freeze":
            from seatrial_runner.agent.freeze import Freeze

            return Freeze(container)
        case "cpu":
            from seatrial_runner.agent.cpu import Cpu

            return Cpu(params, container)
        case "memory":
            from seatrial_runner.agent.memory import Memory

            return Memory(params, container)
        case "disk":
            from seatrial_runner.agent.disk import Disk

            return Disk(params, container)
        case kind:
            raise ValueError(f"kind: an agent carries out no {kind}")
