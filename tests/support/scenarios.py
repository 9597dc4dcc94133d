"""Builders for tests of the scenario engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from seatrial_runner.scenario import InstanceResult, World, expand, run_instance

ORDERS = "http://orders:8080"


class FakeTime:
    """A clock that moves when someone sleeps, and by ``tick`` with every look."""

    def __init__(self, tick: float = 0.0) -> None:
        self.seconds = 0.0
        self.tick = tick
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        self.seconds += self.tick
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.seconds += seconds


class FaultsByName:
    """Faults that do what they are told, except those in ``broken``."""

    def __init__(self, broken: str = "", **states: Any) -> None:
        self.broken = broken
        self.orders: list[str] = []
        # By fault (``_`` for ``-``), its states in order; the last one stays.
        self.states = {name.replace("_", "-"): list(words) for name, words in states.items()}

    def start(self, name: str) -> None:
        self._order("start", name)

    def stop(self, name: str) -> None:
        self._order("stop", name)

    def status(self, name: str) -> dict[str, Any]:
        words = self.states.get(name)
        if words is None:
            raise RuntimeError(f"there is no fault {name!r}")
        return {"state": words.pop(0) if len(words) > 1 else words[0], "message": ""}

    def _order(self, verb: str, name: str) -> None:
        self.orders.append(f"{verb} {name}")
        if name == self.broken:
            raise RuntimeError("no pod matched")


def a_world(url: str = "http://127.0.0.1:1", time: FakeTime | None = None, **more: Any) -> World:
    clock = {"now": time.now, "monotonic": time.monotonic, "sleep": time.sleep} if time else {}
    return World(base_urls={"orders": url}, **{**clock, **more})


def run_steps(
    steps: list[dict[str, Any]], world: World | None = None, **test: Any
) -> InstanceResult:
    """Run a scenario without a matrix."""
    [instance] = expand({"name": "pays", "scenario": steps, **test})
    return run_instance(instance, world or a_world())


def get(path: str = "/orders/1", **more: Any) -> dict[str, Any]:
    return {"get": ORDERS + path, **more}
