"""Many short faults in a row on live traffic, and how near to the request each begins and ends."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

from tests.support.gateway_process import Gateway, receive

# A delay that no exchange without the fault takes, even on a busy machine.
DELAY_S = 0.25


@dataclass
class Storm:
    """What was seen."""

    faults: int = 0
    lost: list[str] = field(default_factory=list)  # names the gateway does not know as ended
    begun_late_s: list[float] = field(default_factory=list)  # request until it is in effect
    ended_late_s: list[float] = field(default_factory=list)  # the deadline until it is over
    exchanges: int = 0
    hits: int = 0

    def line(self, what: str, values: list[float]) -> str:
        """The distribution, in milliseconds."""
        ordered = sorted(values)
        shares = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "most"))
        parts = (f"{name} {1000 * at(ordered, share):.2f}" for share, name in shares)
        return f"{what:28} {'  '.join(parts)} ms"

    def table(self) -> str:
        """All of it, for people."""
        return "\n".join(
            (
                f"{self.faults} faults, {self.exchanges} exchanges meanwhile, {self.hits} hits,"
                f" {len(self.lost)} lost",
                self.line("in effect after the request", self.begun_late_s),
                self.line("over after the deadline", self.ended_late_s),
            )
        )


def at(ordered: list[float], share: float) -> float:
    """Give a quantile of sorted values."""
    return ordered[round(share * (len(ordered) - 1))] if ordered else 0.0


def storm(gateway: Gateway, count: int, *, seed: int = 1) -> Storm:
    """
    Order faults of 5 to 50 ms, one after another, while a client goes on asking.

    The beginning is measured from the request to its answer, which comes when the fault is in
    effect. The end is seen by traffic: bytes that were held leave when the fault ends, so the
    moment at which they arrive is that of the end.
    """
    seen, chance = Storm(), random.Random(seed)
    stop = threading.Event()
    traffic = threading.Thread(target=_ask, args=(gateway, seen, stop))
    traffic.start()
    try:
        with gateway.connect() as sock:
            for number in range(count):
                _one(gateway, sock, f"f-{number}", chance.uniform(0.005, 0.05), seen)
    finally:
        stop.set()
        traffic.join()
    return seen


def _one(gateway: Gateway, sock, name: str, for_s: float, seen: Storm) -> None:  # type: ignore[no-untyped-def]
    began = time.monotonic()
    gateway.put(name, "latency", for_s, params={"delay": "250ms", "direction": "request"})
    seen.begun_late_s.append(time.monotonic() - began)
    sock.sendall(b"x")
    receive(sock, 1)
    # From the request: the gateway's own clock starts when it has read it.
    seen.ended_late_s.append(max(0.0, time.monotonic() - began - for_s))
    seen.faults += 1
    report = gateway.report(name)
    while report["state"] == "active" and report["remainingS"] == 0.0:
        report = gateway.report(name)
    if report["state"] != "ended" or report["endedBy"] != "deadline":
        seen.lost.append(name)
    seen.hits += report["hits"]


def _ask(gateway: Gateway, seen: Storm, stop: threading.Event) -> None:
    with gateway.connect() as sock:
        while not stop.is_set():
            sock.sendall(b"ping")
            receive(sock, 4)
            seen.exchanges += 1
            time.sleep(0.001)
