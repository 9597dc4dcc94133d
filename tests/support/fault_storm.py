"""Many short faults in a row on live traffic, and how near to the request each begins and ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.gateway_process import Gateway, quickest

# Whose connections a partition holds; the traffic of the storm comes from here, too.
OTHER_ADDRESS, OTHER_SOURCE = "127.0.0.9", "web"
_LASTS_MS = (5, 16, 28, 39, 50)
PAUSE_S = 0.001
PATIENCE_S = 30.0
# So long a fault is met by somebody, also on a machine that has other things to do.
_MET_S = 2.0


@dataclass
class Timings:
    """How late faults began and ended."""

    begun_late_s: list[float] = field(default_factory=list)  # request until it is in effect
    ended_late_s: list[float] = field(default_factory=list)  # the deadline until it is over

    def lines(self) -> list[str]:
        """Both distributions, in milliseconds, for people."""
        return [
            _line("in effect after the request", self.begun_late_s),
            _line("over after the deadline", self.ended_late_s),
        ]

    @property
    def p99_s(self) -> float:
        """The 99th percentile of the later of both."""
        return max(at(each, 0.99) for each in (self.begun_late_s, self.ended_late_s))


SHARES = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "most"))


def _line(what: str, values: list[float]) -> str:
    parts = (f"{name} {1000 * at(values, share):.2f}" for share, name in SHARES)
    return f"{what:28} {'  '.join(parts)} ms"


def at(values: list[float], share: float) -> float:
    """Give a quantile."""
    return sorted(values)[round(share * (len(values) - 1))] if values else 0.0


@dataclass
class Storm:
    """What was seen of a storm by whoever orders at the gateway itself."""

    timings: Timings = field(default_factory=Timings)
    by_kind: dict[str, Timings] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)  # names the gateway does not know as ended
    exchanges: int = 0
    hits: dict[str, int] = field(default_factory=dict)  # by kind

    @property
    def faults(self) -> int:
        return len(self.timings.begun_late_s)

    def table(self) -> str:
        """All of it, for people."""
        head = (
            f"{self.faults} faults of {len(self.by_kind)} kinds, {self.exchanges} exchanges"
            f" meanwhile, {sum(self.hits.values())} hits, {len(self.lost)} lost"
        )
        return "\n".join((head, *self.timings.lines()))


# Waits for the end; says when it was, by time.monotonic, if that is not now.
Over = Callable[[], "float | None"]
Watch = Callable[[Gateway], "contextlib.AbstractContextManager[Over]"]


@dataclass(frozen=True)
class Shape:
    """A kind of the storm: its parameters, which outlast each fault, and how its end is seen."""

    params: dict[str, Any]
    watch: Watch
    sources: list[str] | None = None


@dataclass(frozen=True)
class Weather:
    """What a storm is made of: faults of these shapes, while clients go on asking."""

    service: str
    shapes: dict[str, Shape]
    ask: Callable[[Gateway, str], None]  # from an address; raises, if it has met a fault
    layer: str = ""  # the kind of all its orders, where it is not the shape's name

    def kind(self, shape: str) -> str:
        """Give the kind of an order."""
        return self.layer or shape

    def declared(self) -> dict[str, tuple[str, int]]:
        """Name faults as a run declares them: each shape, for each of several milliseconds."""
        return {
            f"{shape.lower()}-{lasts_ms}": (shape, lasts_ms)
            for lasts_ms in _LASTS_MS
            for shape in self.shapes
        }


# The storm ---------------------------------------------------------------------------------------


def storm(gateway: Gateway, count: int, weather: Weather, *, seed: int = 1) -> Storm:
    """
    Order faults of 5 to 50 ms, one after another, kind by kind, while clients go on asking.

    The beginning is measured from the request to its answer, which comes when the fault is in
    effect. The end is seen by traffic: what was held arrives, what was refused is accepted.
    """
    gateway.set_sources(**{OTHER_SOURCE: [OTHER_ADDRESS]})
    seen, chance = Storm(), random.Random(seed)
    with traffic(gateway, weather) as asked, _ordering(gateway) as order:
        for number in range(count):
            shape = list(weather.shapes)[number % len(weather.shapes)]
            _one(gateway, order, weather, shape, f".{number}", chance.uniform(0.005, 0.05), seen)
        for shape in [shape for shape, hits in seen.hits.items() if not hits]:
            _one(gateway, order, weather, shape, ".met", _MET_S, seen)
    seen.exchanges = asked.exchanges
    return seen


Order = Callable[[str, dict[str, Any]], None]


@contextlib.contextmanager
def _ordering(gateway: Gateway) -> Iterator[Order]:
    """Order on one connection, without a client that takes longer than the gateway itself."""
    to = gateway.client.base_url
    headers = {"authorization": gateway.client.headers["authorization"]}
    with contextlib.closing(http.client.HTTPConnection(to.host, to.port or 80)) as client:

        def order(name: str, what: dict[str, Any]) -> None:
            client.request("PUT", f"/v1/faults/{name}", json.dumps(what), headers)
            answer = client.getresponse()
            text = answer.read()
            assert answer.status == 200, text

        yield order


def _one(
    gateway: Gateway,
    order: Order,
    weather: Weather,
    kind: str,
    suffix: str,
    for_s: float,
    seen: Storm,
) -> None:
    shape, name = weather.shapes[kind], kind.lower() + suffix
    path = {"service": weather.service, "port": None, "sources": shape.sources}
    what = {"params": shape.params, "forS": for_s, "seed": 1, "paths": [path]}
    with shape.watch(gateway) as over:
        began = time.monotonic()
        order(name, {"kind": weather.kind(kind), **what})
        in_effect = time.monotonic()
        ended = over() or time.monotonic()
        # From the request: the gateway's own clock starts when it has read it.
        late = max(0.0, ended - began - for_s)
    for timings in (seen.timings, seen.by_kind.setdefault(kind, Timings())):
        timings.begun_late_s.append(in_effect - began)
        timings.ended_late_s.append(late)
    report = gateway.report(name)
    while report["state"] == "active" and time.monotonic() < began + for_s + PATIENCE_S:
        time.sleep(PAUSE_S)
        report = gateway.report(name)
    if report["state"] != "ended" or report["endedBy"] != "deadline":
        seen.lost.append(name)
    seen.hits[kind] = seen.hits.get(kind, 0) + report["hits"]


@dataclass
class Asked:
    """What the clients have seen."""

    exchanges: int = 0  # that went well; the others have met a fault


@contextlib.contextmanager
def traffic(gateway: Gateway, weather: Weather) -> Iterator[Asked]:
    """Have clients ask, one after another, each on a connection of its own."""
    asked, stop = Asked(), threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(gateway, weather, address, asked, stop))
        for address in ("127.0.0.1", OTHER_ADDRESS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _ask(
    gateway: Gateway, weather: Weather, address: str, asked: Asked, stop: threading.Event
) -> None:
    while not stop.is_set():
        with contextlib.suppress(OSError, AssertionError):
            weather.ask(gateway, address)
            asked.exchanges += 1
        time.sleep(PAUSE_S)


def left_on(gateway: Gateway, weather: Weather) -> list[str]:
    """Name the faults that have not ended, by the gateway's book and by each kind of traffic."""
    book = gateway.client.get("/v1/faults").json()["faults"]
    left = [report["name"] for report in book if report["state"] != "ended"]
    for kind, shape in weather.shapes.items():
        # Of what only delays; of all others it fails, having waited in vain.
        if quickest(lambda shape=shape: _took(gateway, shape), 5) > 0.2:  # type: ignore[misc]
            left.append(kind)
    return left


def _took(gateway: Gateway, shape: Shape) -> float:
    with shape.watch(gateway) as over:
        began = time.monotonic()
        over()
        return time.monotonic() - began
