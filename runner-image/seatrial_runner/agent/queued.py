"""What faults have in common that meet packets in a queue of the kernel."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from seatrial_runner.agent.network import RawSender, families, free_queue, to_queue
from seatrial_runner.agent.queues import Packet
from seatrial_runner.agent.tables import ACCEPT, Chain, Family, OwnedTables, Verdict
from seatrial_runner.agent.tally import Tally

_AT_ONCE = 256


class Queued:
    """A fault whose chains hand packets to a queue; a subclass says which, and what they meet."""

    def __init__(self) -> None:
        self.tally = Tally()

    def prepare(self) -> None:
        """
        Make what it needs, without effect.

        Raises:
            OSError: This kernel or this container cannot.
        """
        self._sender = RawSender()
        self._queue = free_queue()
        self._tables = queue_tables(self._queue.number, self._chains)

    def begin(self, deadline: float) -> None:
        """
        Put it into effect.

        Raises:
            OSError: This kernel or this container cannot.
        """
        self.prepare()
        self._tables.renew(deadline - monotonic(), first=True)
        self._send_probe()

    def renew(self, deadline: float) -> None:
        """Move its end."""
        self._tables.renew(deadline - monotonic())

    def watched(self) -> Sequence[Any]:
        """Give what it waits for."""
        return (self._queue,)

    def turn(self) -> float | None:
        """Do what is due; give when something is due again."""
        for _ in range(_AT_ONCE):
            arrived = False
            for packet in self._queue.packets():
                arrived = True
                self._meet(packet)
            if not arrived:
                break
        return None

    def end(self) -> None:
        """Take it away; what is in the queue goes on its way."""
        self._tables.close()
        while left := list(self._queue.packets()):
            for packet in left:
                self._queue.decide(packet, self._verdict_at_the_end(packet))
        self._queue.close()
        self._sender.close()

    def _chains(self, family: Family, to: bytes) -> list[Chain]:
        raise NotImplementedError

    def _send_probe(self) -> None:
        """Send a packet whose fate shows the fault's effect."""
        raise NotImplementedError

    def _meet(self, packet: Packet) -> None:
        raise NotImplementedError

    def _verdict_at_the_end(self, packet: Packet) -> Verdict:
        return ACCEPT


def queue_tables(number: int, chains: Callable[[Family, bytes], list[Chain]]) -> OwnedTables:
    """
    Make tables that hand packets to a queue, in whichever way this kernel has.

    Args:
        number: Of the queue.
        chains: Gives the chains for a family of addresses and the expression for the queue.

    Raises:
        OSError: The kernel has none.
    """
    name = f"seatrial-{os.getpid()}-{number}"
    native, compatible = to_queue(number)
    try:
        return OwnedTables(name, {family: chains(family, native) for family in families()})
    except OSError:
        return OwnedTables(name, {family: chains(family, compatible) for family in families()})
