"""The book of orders: idempotent, bounded, and nothing outlives its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from seatrial.api.control import FaultOrder
from seatrial.api.errors import FaultError, NotInjectedError, NotRevertedError
from seatrial_runner.clock import parse
from seatrial_runner.control import Evidence
from seatrial_runner.control import ledger as ledgers
from seatrial_runner.control.ledger import Ledger

from tests.support.virtual_time import in_virtual_time, loop


class Played:
    """A carrier that remembers what it was told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []
        self.on: dict[str, float] = {}
        self.fails_to_end = 0
        self.refuses: Exception | None = None
        self.takes_s = 0.0
        self.counts_for_s = 0.0

    def _tell(self, what: str, name: str) -> None:
        self.told.append((what, name, round(loop().time(), 3)))

    async def put(self, name: str, order: FaultOrder, deadline: float) -> None:
        await asyncio.sleep(self.takes_s)
        if self.refuses:
            raise self.refuses
        assert name not in self.on, "put is for what is not in effect"
        self._tell("put", name)
        self.on[name] = deadline

    async def renew(self, name: str, order: FaultOrder, deadline: float) -> None:
        assert name in self.on
        self._tell("renew", name)
        self.on[name] = deadline

    async def delete(self, name: str) -> None:
        if self.fails_to_end:
            self.fails_to_end -= 1
            raise NotRevertedError("it clings")
        self._tell("delete", name)
        self.on.pop(name, None)

    async def evidence(self, name: str) -> Evidence:
        await asyncio.sleep(self.counts_for_s)
        return Evidence(hits=3, counts={"bytes": 7})

    async def abilities(self) -> dict[str, str]:
        return {}


def an_order(for_s: float = 10.0, **more: Any) -> FaultOrder:
    order = FaultOrder(kind="latency", params={"delay": "1s"}, forS=for_s, seed=1)
    order.update(more)  # type: ignore[typeddict-item]
    return order


def play(course: Callable[[Ledger, Played], Coroutine[Any, Any, None]]) -> Played:
    carrier = Played()

    async def run() -> None:
        ledger = Ledger(carrier, boot="b", now=loop().now, monotonic=loop().time)
        await course(ledger, carrier)
        await ledger.close()

    in_virtual_time(run())
    return carrier


def test_an_order_ends_by_itself_at_its_deadline() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        put = await ledger.put("slow", an_order(10))
        assert (put["state"], put["remainingS"], put["applied"]) == (
            "active", 10.0, "2026-11-20T12:00:00.000Z",
        )  # fmt: skip
        await asyncio.sleep(10.5)
        report = await ledger.report("slow")
        assert (report["state"], report["endedBy"]) == ("ended", "deadline")
        assert report["ended"] == "2026-11-20T12:00:10.000Z"
        assert (report["hits"], report["counts"]) == (3, {"bytes": 7})

    assert play(course).told == [("put", "slow", 0.0), ("delete", "slow", 10.0)]


def test_a_fault_has_ended_when_it_is_off_and_not_when_all_is_counted() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        began = loop().now()
        await ledger.put("f", an_order(3.0))
        carrier.counts_for_s = 2.0
        await asyncio.sleep(6.0)
        report = await ledger.report("f")
        assert report["ended"] is not None
        assert (parse(report["ended"]) - began).total_seconds() == pytest.approx(3.0, abs=0.01)

    play(course)


def test_the_same_order_again_moves_the_deadline_both_ways() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        await ledger.put("slow", an_order(10))
        await asyncio.sleep(5)
        assert (await ledger.put("slow", an_order(20)))["remainingS"] == 20.0
        await asyncio.sleep(15)
        assert (await ledger.report("slow"))["state"] == "active"
        await ledger.put("slow", an_order(1))
        await asyncio.sleep(2)
        assert (await ledger.report("slow"))["ended"] == "2026-11-20T12:00:21.000Z"

    told = play(course).told
    assert [what for what, *_ in told] == ["put", "renew", "renew", "delete"]


def test_another_order_replaces_the_one_before() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        await ledger.put("slow", an_order(10))
        await ledger.put("slow", an_order(10, seed=2))

    assert [what for what, *_ in play(course).told] == ["put", "delete", "put"]


def test_an_end_that_is_asked_for_twice_is_one_end() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        await ledger.put("slow", an_order(10))
        await asyncio.sleep(1)
        first = await ledger.delete("slow")
        await asyncio.sleep(20)
        assert await ledger.delete("slow") == first
        assert (first["state"], first["endedBy"]) == ("ended", "request")

    assert [what for what, *_ in play(course).told] == ["put", "delete"]


def test_a_fault_that_is_lost_has_ended_early_and_by_nobody() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        await ledger.put("slow", an_order(10))
        await asyncio.sleep(4)
        await ledger.lost("slow")
        await ledger.lost("never")
        await asyncio.sleep(10)
        report = await ledger.report("slow")
        assert (report["state"], report["endedBy"]) == ("ended", None)
        assert report["ended"] == "2026-11-20T12:00:04.000Z"
        assert report["hits"] == 3

    play(course)


def test_nothing_is_known_of_what_was_never_ordered() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        with pytest.raises(KeyError):
            await ledger.delete("never")
        with pytest.raises(KeyError):
            await ledger.report("never")

    play(course)


def test_an_end_that_fails_is_tried_until_it_succeeds() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        carrier.fails_to_end = 3
        await ledger.put("slow", an_order(10))
        await asyncio.sleep(10.1)
        assert (await ledger.report("slow"))["state"] == "active"
        await asyncio.sleep(5)
        assert (await ledger.report("slow"))["state"] == "ended"

    assert play(course).on == {}


def test_what_failed_half_way_is_undone() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        carrier.refuses = OSError("a worker is gone")
        carrier.fails_to_end = 1
        with pytest.raises(OSError, match="gone"):
            await ledger.put("slow", an_order(10))
        await asyncio.sleep(1)
        with pytest.raises(KeyError):
            await ledger.report("slow")

    assert [what for what, *_ in play(course).told] == ["delete"]


def test_the_same_order_after_one_that_failed_half_way_stays() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        carrier.takes_s = 1.0
        carrier.refuses = OSError("a worker is gone")
        first = asyncio.create_task(ledger.put("slow", an_order(10)))
        await asyncio.sleep(0.5)
        again = asyncio.create_task(ledger.put("slow", an_order(10)))
        with pytest.raises(OSError, match="gone"):
            await first
        carrier.refuses = None
        assert (await again)["state"] == "active"
        await asyncio.sleep(1)
        assert set(carrier.on) == {"slow"}

    assert [what for what, *_ in play(course).told] == ["delete", "put"]


@pytest.mark.parametrize("error", [ValueError("delay: is missing"), NotInjectedError("no kernel")])
def test_what_cannot_be_done_is_said_and_leaves_nothing(error: Exception) -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        carrier.refuses = error
        with pytest.raises(type(error)):
            await ledger.put("slow", an_order(10))
        assert await ledger.reports() == []

    assert play(course).told == []


def test_orders_for_one_name_come_one_after_another() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        carrier.takes_s = 1.0
        await asyncio.gather(*(ledger.put("slow", an_order(10, seed=n)) for n in range(3)))

    assert [what for what, *_ in play(course).told] == ["put", "delete", "put", "delete", "put"]


def test_a_put_that_takes_its_time_does_not_last_longer() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        carrier.takes_s = 2.0
        await ledger.put("slow", an_order(5))
        await asyncio.sleep(10)

    assert play(course).told[-1] == ("delete", "slow", 5.0)


def test_all_end_at_once_though_one_fails() -> None:
    async def course(ledger: Ledger, carrier: Played) -> None:
        for number in range(5):
            await ledger.put(f"f{number}", an_order(10))
        carrier.fails_to_end = 1
        with pytest.raises(ExceptionGroup, match="1 of 5") as failed:
            await ledger.delete_all()
        assert failed.group_contains(FaultError)
        await asyncio.sleep(11)
        assert {report["state"] for report in await ledger.reports()} == {"ended"}

    assert play(course).on == {}


def test_the_book_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "KEPT", 3)
    monkeypatch.setattr(ledgers, "MAX_ACTIVE", 2)

    async def course(ledger: Ledger, carrier: Played) -> None:
        for number in range(6):
            await ledger.put(f"f{number}", an_order(10))
            await ledger.delete(f"f{number}")
        assert [report["name"] for report in await ledger.reports()] == ["f3", "f4", "f5"]
        await ledger.put("a", an_order(10))
        await ledger.put("b", an_order(10))
        with pytest.raises(NotInjectedError, match="2 faults"):
            await ledger.put("c", an_order(10))

    play(course)
