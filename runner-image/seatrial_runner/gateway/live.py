"""A fault as a worker carries it out: whom it concerns, until when, and what it has met."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from seatrial.api.control import FaultOrder, PathDoc

from seatrial_runner import clock
from seatrial_runner.gateway import effects
from seatrial_runner.gateway.board import Board, Cell
from seatrial_runner.gateway.reactor import Timer


class Met(Protocol):
    """What a fault must know of a connection."""

    probe: bool
    check: bool
    names: frozenset[str]  # services, tests, conductor: who its client is
    met: set[LiveFault]
    tickets: dict[LiveFault, int]


@dataclass(eq=False)
class LiveFault:
    """One fault. ``on`` turns False when it ends; what it has delayed is then delayed no more."""

    name: str
    effect: effects.Effect
    paths: list[PathDoc] | None  # None: everything that the gateway carries
    share: float  # of connections
    seed: int
    slot: int
    deadline: float
    board: Board
    worker: int
    on: bool = True
    timer: Timer | None = None
    cells: memoryview = field(init=False)

    def __post_init__(self) -> None:
        self.cells = self.board.cells(self.slot, self.worker)

    @classmethod
    def read(
        cls, name: str, order: FaultOrder, slot: int, deadline: float, board: Board, worker: int
    ) -> LiveFault:
        """
        Make it from an order.

        Raises:
            ValueError: The order's ``params`` make no sense.
        """
        return cls(
            name=name,
            effect=effects.read_effect(order["kind"], order["params"]),
            paths=order.get("paths"),
            share=order.get("connections", 1.0),
            seed=order["seed"],
            slot=slot,
            deadline=deadline,
            board=board,
            worker=worker,
        )

    def sources_on(self, service: str, port_name: str) -> Sources | None:
        """Give whose connections to this port it concerns; None: nobody's."""
        if self.paths is None:
            return Sources(everyone=True, names=frozenset())
        fitting = [
            path["sources"]
            for path in self.paths
            if path["service"] == service and path["port"] in (None, port_name)
        ]
        if not fitting:
            return None
        return Sources(
            everyone=any(sources is None for sources in fitting),
            names=frozenset(name for sources in fitting for name in sources or ()),
        )

    def chooses(self, connection: Met) -> bool:
        """
        Tell whether a connection that it concerns is among those that are hit.

        A probe always is: it asks whether the fault is on, not how many it hits.
        """
        if self.share >= 1.0 or connection.probe:
            return True
        number = self._ticket(connection)
        return random.Random(f"{self.seed}/{number}/choice").random() < self.share

    def chance(self, connection: Met, way: effects.Direction) -> random.Random:
        """Give the source of what is left to chance on one way of a connection."""
        return random.Random(f"{self.seed}/{self._ticket(connection)}/{way}")

    def _ticket(self, connection: Met) -> int:
        if connection.probe:
            return -1  # takes no number, so that the others are numbered as without it
        number = connection.tickets.get(self)
        if number is None:
            number = connection.tickets[self] = self.board.ticket(self.slot)
        return number

    def meets(self, connection: Met, cell: Cell, amount: int = 1) -> None:
        """Count what it has done to a connection."""
        if connection.probe or connection.check:
            return
        now, cells = clock.milliseconds(), self.cells
        if self not in connection.met:
            connection.met.add(self)
            if not cells[Cell.FIRST]:
                cells[Cell.FIRST] = now
            cells[Cell.HITS] += 1  # after its moment: others read meanwhile
        cells[Cell.LAST] = now
        cells[cell] += amount

    def meets_once(self, connection: Met, cell: Cell) -> None:
        """Count a connection, unless it has been."""
        if self not in connection.met:
            self.meets(connection, cell)


@dataclass(frozen=True)
class Sources:
    """Whose connections are concerned."""

    everyone: bool
    names: frozenset[str]

    def has(self, names: frozenset[str]) -> bool:
        """Tell whether a client with these names is among them."""
        return self.everyone or not self.names.isdisjoint(names)


def names_by_address(sources: dict[str, list[str]]) -> dict[str, frozenset[str]]:
    """Turn who has which addresses into who is behind an address."""
    found: dict[str, set[str]] = {}
    for name, addresses in sources.items():
        for address in addresses:
            found.setdefault(address, set()).add(name)
    return {address: frozenset(names) for address, names in found.items()}


@dataclass(frozen=True)
class Plan:
    """What the faults of a connection do to one of its ways; the same for all with these faults."""

    holds: tuple[LiveFault, ...]
    drops: tuple[LiveFault, ...]
    corrupts: tuple[LiveFault, ...]
    delays: tuple[LiveFault, ...]
    paces: tuple[LiveFault, ...]
    closes: tuple[LiveFault, ...]
    rate: float | None  # bytes per second
    delay_s: float  # about how long bytes are under way

    @classmethod
    def of(cls, faults: Iterable[LiveFault], way: effects.Direction) -> Plan | None:
        """Make it; None if they do nothing on this way."""
        by_kind: dict[type[Any], list[LiveFault]] = {}
        for fault in faults:
            effect = fault.effect
            if way in getattr(effect, "ways", effects.DIRECTIONS):
                by_kind.setdefault(type(effect), []).append(fault)
        kinds = (
            effects.Partition, effects.Blackhole, effects.Corrupt,
            effects.Latency, effects.Bandwidth, effects.SlowClose,
        )  # fmt: skip
        holds, drops, corrupts, delays, paces, closes = (
            tuple(by_kind.get(kind, ())) for kind in kinds
        )
        if not (holds or drops or corrupts or delays or paces or closes):
            return None
        return cls(
            holds=holds,
            drops=drops,
            corrupts=corrupts,
            delays=delays,
            paces=paces,
            closes=closes,
            rate=min((_rate(fault) for fault in paces), default=None),
            delay_s=sum(_delay_s(fault) for fault in delays),
        )


def _rate(fault: LiveFault) -> float:
    assert isinstance(fault.effect, effects.Bandwidth)
    return fault.effect.rate


def _delay_s(fault: LiveFault) -> float:
    assert isinstance(fault.effect, effects.Latency)
    return fault.effect.delay_s + fault.effect.jitter_s
