"""Packets lost, sent twice, overtaken, changed and delayed, in and out."""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Sequence
from time import monotonic
from typing import Any

from seatrial_runner.agent.mangling import Chance, Fate
from seatrial_runner.agent.network import (
    RawSender,
    families,
    free_queue,
    new_nonce,
    send_probe,
    spared,
    to_queue,
)
from seatrial_runner.agent.queues import Packet
from seatrial_runner.agent.tables import (
    ACCEPT,
    DROP,
    Chain,
    Family,
    Hook,
    OwnedTables,
    live,
)
from seatrial_runner.agent.tally import Tally

# A packet that is to be overtaken waits for the next one, but no longer than this.
_LAG_S = 0.05
_AT_ONCE = 256


class Packets:
    """
    Disturbs the pod's packets in a queue of the kernel.

    NB: not netem, although most kernels have it: a qdisc stays when its maker dies.
    """

    def __init__(self, params: dict[str, Any], seed: int, nodes: list[bytes]) -> None:
        self.tally = Tally()
        self._chance = Chance(params, seed)
        self._nodes = nodes
        self._nonce = new_nonce()
        # Those that wait: when, in which order, which, and its fate.
        self._held: list[tuple[float, int, Packet, Fate]] = []
        self._number = itertools.count()
        self._lagging: dict[bool, tuple[float, Packet, Fate]] = {}  # by direction

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
        send_probe(self._nonce)

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
        now = monotonic()
        while self._held and self._held[0][0] <= now:
            _, _, packet, fate = heapq.heappop(self._held)
            self._let_go(packet, fate)
        for incoming, (until, packet, fate) in list(self._lagging.items()):
            if until <= now:
                del self._lagging[incoming]
                self._let_go(packet, fate)
        moments = [until for until, _, _ in self._lagging.values()]
        if self._held:
            moments.append(self._held[0][0])
        return min(moments, default=None)

    def end(self) -> None:
        """Take it away; what is held goes on its way."""
        self._tables.close()
        for _, _, packet, _ in sorted(self._held):
            self._queue.decide(packet, ACCEPT)
        for _, packet, _ in self._lagging.values():
            self._queue.decide(packet, ACCEPT)
        while left := list(self._queue.packets()):
            for packet in left:
                self._queue.decide(packet, DROP if self._nonce in packet.data else ACCEPT)
        self._queue.close()
        self._sender.close()

    def _chains(self, family: Family, to: bytes) -> list[Chain]:
        return [
            Chain(
                name,
                "filter",
                hook,
                10,
                (*spared(family, hook, self._nodes), live() + to),
            )
            for name, hook in (("in", Hook.INPUT), ("out", Hook.POSTROUTING))
        ]

    def _meet(self, packet: Packet) -> None:
        if self._nonce in packet.data:
            self.tally.seen()
            self._queue.decide(packet, DROP)
            return
        fate = self._chance.fate()
        if fate.lost:
            self.tally.hit("lost")
            self._queue.decide(packet, DROP)
            return
        if fate.disturbed:
            self.tally.hit(*_names(fate))
        if fate.delay_s:
            due = monotonic() + fate.delay_s + (_LAG_S if fate.overtaken else 0.0)
            heapq.heappush(self._held, (due, next(self._number), packet, fate))
        elif fate.overtaken and packet.incoming not in self._lagging:
            self._lagging[packet.incoming] = (monotonic() + _LAG_S, packet, fate)
        else:
            self._let_go(packet, fate)
            if late := self._lagging.pop(packet.incoming, None):
                self._let_go(late[1], late[2])

    def _let_go(self, packet: Packet, fate: Fate) -> None:
        data = self._chance.corrupted(packet.data) if fate.corrupted else None
        self._queue.decide(packet, ACCEPT, data)
        if fate.twice:
            self._sender.send(packet.data)


def queue_tables(number: int, chains: Any) -> OwnedTables:
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


def _names(fate: Fate) -> list[str]:
    done = {
        "duplicated": fate.twice,
        "reordered": fate.overtaken,
        "corrupted": fate.corrupted,
        "delayed": bool(fate.delay_s),
    }
    return [name for name, is_so in done.items() if is_so]
