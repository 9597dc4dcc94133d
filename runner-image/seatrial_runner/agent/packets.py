"""Packets lost, sent twice, overtaken, changed and delayed, in and out."""

from __future__ import annotations

import heapq
import itertools
from time import monotonic
from typing import Any

from seatrial_runner.agent.mangling import Chance, Fate, is_of_a_check
from seatrial_runner.agent.network import new_nonce, send_probe, spared
from seatrial_runner.agent.queued import Queued
from seatrial_runner.agent.queues import Packet
from seatrial_runner.agent.tables import ACCEPT, DROP, Chain, Family, Hook, Verdict, live

# A packet that is to be overtaken waits for the next one, but no longer than this.
_LAG_S = 0.05


class Packets(Queued):
    """
    Disturbs the pod's packets in a queue of the kernel.

    NB: not netem, although most kernels have it: a qdisc stays when its maker dies.
    """

    def __init__(self, params: dict[str, Any], seed: int, nodes: list[bytes]) -> None:
        super().__init__()
        self._chance = Chance(params, seed)
        self._nodes = nodes
        self._nonce = new_nonce()
        # Those that wait: when, in which order, which, and its fate.
        self._held: list[tuple[float, int, Packet, Fate]] = []
        self._number = itertools.count()
        self._lagging: dict[bool, tuple[float, Packet, Fate]] = {}  # by direction

    def turn(self) -> float | None:
        """Do what is due; give when something is due again."""
        super().turn()
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
        for _, _, packet, _ in sorted(self._held):
            self._queue.decide(packet, ACCEPT)
        for _, packet, _ in self._lagging.values():
            self._queue.decide(packet, ACCEPT)
        super().end()

    def _send_probe(self) -> None:
        send_probe(self._nonce)

    def _verdict_at_the_end(self, packet: Packet) -> Verdict:
        return DROP if self._nonce in packet.data else ACCEPT

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
        if fate.disturbed and not is_of_a_check(packet.data, incoming=packet.incoming):
            self.tally.hit(*_names(fate))
        if fate.lost:
            self._queue.decide(packet, DROP)
            return
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


def _names(fate: Fate) -> list[str]:
    done = {
        "lost": fate.lost,
        "duplicated": fate.twice,
        "reordered": fate.overtaken,
        "corrupted": fate.corrupted,
        "delayed": bool(fate.delay_s),
    }
    return [name for name, is_so in done.items() if is_so]
