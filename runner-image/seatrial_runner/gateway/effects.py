"""What an order does to connections and their bytes, read from its ``params``. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seatrial.api.amounts import parse_quantity, parse_share
from seatrial.api.duration import parse_duration
from seatrial.api.families import NETWORK

Direction = Literal["request", "response"]
DIRECTIONS: tuple[Direction, Direction] = ("request", "response")

_PARETO_SHAPE = 2.5


@dataclass(frozen=True)
class Latency:
    """Delays bytes."""

    delay_s: float
    jitter_s: float
    distribution: str
    ways: tuple[Direction, ...]

    @property
    def needs_chance(self) -> bool:
        """Tell whether a delay is drawn."""
        return self.jitter_s > 0

    def draw(self, chance: random.Random) -> float:
        """Give the delay of one piece of data, in seconds, never below 0."""
        if not self.jitter_s:
            return self.delay_s
        match self.distribution:
            case "normal":
                spread = chance.gauss(0.0, self.jitter_s)
            case "pareto":
                # A long tail on one side, with the jitter as its mean.
                spread = (chance.paretovariate(_PARETO_SHAPE) - 1) * (_PARETO_SHAPE - 1)
                spread *= self.jitter_s
            case _:
                spread = chance.uniform(-self.jitter_s, self.jitter_s)
        return max(0.0, self.delay_s + spread)


@dataclass(frozen=True)
class Blackhole:
    """Lets bytes vanish."""

    ways: tuple[Direction, ...]


@dataclass(frozen=True)
class Refuse:
    """Refuses new connections."""


@dataclass(frozen=True)
class Reset:
    """Resets connections, at this age."""

    after_s: float


@dataclass(frozen=True)
class Bandwidth:
    """Limits the rate of a connection."""

    rate: float  # bytes per second
    ways: tuple[Direction, ...]


@dataclass(frozen=True)
class SlowClose:
    """Delays the end of a connection, each way."""

    delay_s: float


@dataclass(frozen=True)
class ConnectionLimit:
    """Admits so many connections."""

    connections: int


@dataclass(frozen=True)
class Corrupt:
    """Changes bytes."""

    share: float
    ways: tuple[Direction, ...]


@dataclass(frozen=True)
class Partition:
    """Holds everything."""


Effect = (
    Latency
    | Blackhole
    | Refuse
    | Reset
    | Bandwidth
    | SlowClose
    | ConnectionLimit
    | Corrupt
    | Partition
)


def read_effect(kind: str, params: Mapping[str, Any]) -> Effect:
    """
    Read the parameters of a kind, written as in the spec.

    Raises:
        ValueError: The message names the field, and what it must be.
    """
    assert kind in NETWORK
    return _READERS[kind](_Params(params))


class _Params:
    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def seconds(self, name: str, default: float | None = None) -> float:
        return self._read(name, default, lambda text: parse_duration(text).total_seconds())

    def amount(self, name: str) -> float:
        amount = self._read(name, None, lambda text: float(parse_quantity(text)))
        if amount <= 0:
            raise ValueError(f"params.{name}: must be more than 0")
        return amount

    def share(self, name: str, default: float) -> float:
        return self._read(name, default, parse_share)

    def number(self, name: str) -> int:
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"params.{name}: must be a whole number from 0 on")
        return value

    def choice(self, name: str, *choices: str) -> str:
        value = self._values.get(name) or choices[0]
        if value not in choices:
            raise ValueError(f"params.{name}: must be one of {', '.join(choices)}")
        return str(value)

    def ways(self, default: str) -> tuple[Direction, ...]:
        value = self._values.get("direction") or default
        ways = {"both": DIRECTIONS, "request": DIRECTIONS[:1], "response": DIRECTIONS[1:]}
        if value not in ways:
            raise ValueError(f"params.direction: must be one of {', '.join(ways)}")
        return ways[value]

    def _read(self, name: str, default: float | None, read: Callable[[str], float]) -> float:
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise ValueError(f"params.{name}: is missing")
            return default
        try:
            return read(str(value))
        except ValueError as error:
            raise ValueError(f"params.{name}: {error}") from None


def _latency(params: _Params) -> Latency:
    return Latency(
        delay_s=params.seconds("delay"),
        jitter_s=params.seconds("jitter", 0.0),
        distribution=params.choice("distribution", "uniform", "normal", "pareto"),
        ways=params.ways("both"),
    )


_READERS: dict[str, Callable[[_Params], Effect]] = {
    "latency": _latency,
    "blackhole": lambda params: Blackhole(params.ways("both")),
    "refuse": lambda _: Refuse(),
    "reset": lambda params: Reset(params.seconds("after", 0.0)),
    "bandwidth": lambda params: Bandwidth(params.amount("rate"), params.ways("both")),
    "slowClose": lambda params: SlowClose(params.seconds("delay")),
    "connectionLimit": lambda params: ConnectionLimit(params.number("connections")),
    "corrupt": lambda params: Corrupt(params.share("share", 0.01), params.ways("response")),
    "partition": lambda _: Partition(),
}
