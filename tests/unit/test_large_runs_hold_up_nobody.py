"""What a large run takes to read, check and plan is no time of the operator's event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from seatrial.app import reconciler
from seatrial.plan.seen import Subject

from tests.support.builders import a_test
from tests.support.simulation import Simulation


def with_tests(count: int) -> dict[str, Any]:
    scenario = [{"expect": ["true"]}] * 50
    tests = [a_test(name=f"test-{number}", scenario=scenario) for number in range(count)]
    return {"services": [], "tests": tests}


SMALL, LARGE = with_tests(1), with_tests(5)
WORK = ["parse_spec", "validate", "draw", "plan"]


class Held:
    """Work of which the first is not done before it is let go, or given up after a while."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.gave_up = False

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        # What is planned without an environment is little, however large the run.
        little = isinstance(arguments[0], Subject) and arguments[0].blueprint is None
        if not little and not self.begun.is_set():
            self.begun.set()
            self.gave_up = not self.go_on.wait(30)
        return self._work(*arguments, **more)


@pytest.mark.parametrize("work", WORK)
def test_another_run_is_looked_at_while_a_large_one_is_worked_out(
    work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation()
    held = Held(getattr(reconciler, work))
    monkeypatch.setattr(reconciler, work, held)
    simulation.apply("large", **LARGE)
    simulation.apply("small", **SMALL)
    simulation.deliver()
    uids = {name: uid for uid, name in uids_of(simulation)}

    async def look() -> None:
        large = asyncio.create_task(simulation.reconciler.look(uids["large"]))
        await asyncio.to_thread(held.begun.wait, 30)
        await simulation.reconciler.look(uids["small"])
        held.go_on.set()
        await large

    asyncio.run(look())
    assert held.begun.is_set()
    assert not held.gave_up, f"{work} was done on the event loop"
    assert simulation.status("small")["phase"] == "Provisioning"
    assert simulation.status("large")["phase"] == "Provisioning"


def test_a_small_run_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = Simulation()
    simulation.apply("small", **SMALL)
    simulation.deliver()
    ((uid, _),) = uids_of(simulation)
    monkeypatch.setattr(asyncio, "to_thread", pytest.fail)
    asyncio.run(simulation.reconciler.look(uid))
    assert simulation.status("small")["phase"] == "Provisioning"


def uids_of(simulation: Simulation) -> list[tuple[str, str]]:
    return [(uid, entry.metadata.name) for uid, entry in simulation.world.entries.items()]
