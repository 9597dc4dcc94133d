"""What the controller says is done by every worker, or by the heir of one that died over it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from seatrial.api.control import FaultOrder
from seatrial.api.errors import NotRevertedError
from seatrial_runner.gateway import controller as controlling
from seatrial_runner.gateway import links as module
from seatrial_runner.gateway import messages
from seatrial_runner.gateway.board import Board, Cell
from seatrial_runner.gateway.controller import Controller
from seatrial_runner.gateway.http_faults import NoHttpFaults
from seatrial_runner.gateway.links import Links, NoAnswerError
from seatrial_runner.gateway.messages import Word


class APlayedWorker:
    """The other end of a channel, of no process: nothing is killed."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    async def hears(self) -> Any:
        while True:
            try:
                return messages.receive(self._channel)
            except BlockingIOError:
                await asyncio.sleep(0)

    def says(self, number: int, **more: Any) -> None:
        messages.send(self._channel, {"number": number, **more})  # type: ignore[typeddict-item]


@pytest.fixture
async def linked() -> AsyncIterator[tuple[Links, APlayedWorker]]:
    ours, theirs = messages.pair()
    links = Links([ours], lambda number: Word(number=number, do="state", faults=[]), [0])
    links.open()
    yield links, APlayedWorker(theirs)
    links.close()
    ours.close()
    theirs.close()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_worker_is_told_the_state_first(linked) -> None:
    links, worker = linked
    word = await worker.hears()
    assert word["do"] == "state"
    assert not links.synced
    worker.says(word["number"])
    await settled()
    assert links.synced


async def test_something_is_done_when_the_worker_says_so(linked) -> None:
    links, worker = linked
    worker.says((await worker.hears())["number"])
    told = asyncio.create_task(links.tell("put", []))
    word = await worker.hears()
    await settled()
    assert not told.done()
    worker.says(word["number"])
    await asyncio.wait_for(told, 5)


async def test_the_heir_of_a_worker_that_died_over_it_has_it_with_the_state(linked) -> None:
    links, worker = linked
    await worker.hears()
    told = asyncio.create_task(links.tell("put", []))
    await worker.hears()
    worker.says(messages.HELLO)
    state = await worker.hears()
    assert state["do"] == "state"
    worker.says(state["number"])
    await asyncio.wait_for(told, 5)


async def test_what_a_worker_could_not_do_is_an_error(linked) -> None:
    links, worker = linked
    await worker.hears()
    told = asyncio.create_task(links.tell("put", []))
    worker.says((await worker.hears())["number"], error="no memory")
    with pytest.raises(RuntimeError, match="no memory"):
        await told


async def test_the_answer_to_a_controller_before_us_means_nothing(linked) -> None:
    links, worker = linked
    await worker.hears()
    told = asyncio.create_task(links.tell("put", []))
    number = (await worker.hears())["number"]
    worker.says(17)
    await settled()
    assert not told.done()
    worker.says(number)
    await asyncio.wait_for(told, 5)


async def test_nobody_who_answers_is_no_success(linked, monkeypatch) -> None:
    links, _ = linked
    monkeypatch.setattr(module, "_ANSWER_S", 0.0)
    monkeypatch.setattr(module, "_HEIR_S", 0.0)
    with pytest.raises(NoAnswerError, match="1 of 1"):
        await links.tell("put", [])


async def test_a_machine_that_stood_still_has_no_worker_that_is_stuck(linked, monkeypatch) -> None:
    links, worker = linked
    killed: list[object] = []
    monkeypatch.setattr(module, "_ANSWER_S", 60.0)
    monkeypatch.setattr(module.Link, "kill", lambda *link: killed.append(link))
    worker.says((await worker.hears())["number"])
    told = asyncio.create_task(links.tell("put", []))
    word = await worker.hears()
    loop = asyncio.get_running_loop()
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + 61.0)
    await settled()  # the controller is the first to go on
    worker.says(word["number"])
    await asyncio.wait_for(told, 5)
    assert killed == []


async def test_an_heir_that_never_spoke_is_killed_but_not_its_own_heir(monkeypatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_S", 0.0)
    monkeypatch.setattr(module, "_HEIR_S", 0.0)
    ours, theirs = messages.pair()
    killed: list[int] = []
    monkeypatch.setattr(module.os, "kill", lambda pid, _: killed.append(pid))
    processes = [17]
    links = Links([ours], lambda number: Word(number=number, do="state", faults=[]), processes)
    told = asyncio.create_task(links.tell("put", []))
    await asyncio.sleep(0)
    processes[0] = 18
    with pytest.raises(NoAnswerError):
        await told
    assert killed == []
    with pytest.raises(NoAnswerError):
        await links.tell("put", [])
    assert killed == [18]
    ours.close()
    theirs.close()


async def test_a_fault_nobody_ended_is_not_forgotten(monkeypatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_S", 0.0)
    monkeypatch.setattr(module, "_HEIR_S", 0.0)
    ours, theirs = messages.pair()
    doc: Any = {"listeners": [], "httpFaults": []}
    controller = Controller(doc, [ours], Board(1), NoHttpFaults())
    order = FaultOrder(kind="blackhole", params={}, forS=1, seed=1)

    with pytest.raises(NoAnswerError):
        await controller.put("hole", order, 1.0)
    for _ in range(2):
        with pytest.raises(NotRevertedError, match="fault hole may still be there"):
            await controller.delete("hole")

    ours.close()
    theirs.close()


async def test_a_fault_that_is_just_ending_has_still_met_what_it_has_met() -> None:
    ours, theirs = messages.pair()
    worker, board = APlayedWorker(theirs), Board(1)
    doc: Any = {"listeners": [], "httpFaults": []}
    controller = Controller(doc, [ours], board, NoHttpFaults())
    await controller.start()
    worker.says((await worker.hears())["number"])
    order = FaultOrder(kind="partition", params={}, forS=1, seed=1)

    putting = asyncio.create_task(controller.put("cut", order, 1.0))
    word = await worker.hears()
    worker.says(word["number"])
    await putting
    board.cells(word["faults"][0]["slot"], 0)[Cell.HITS] += 3
    ending = asyncio.create_task(controller.delete("cut"))
    word = await worker.hears()
    told = (await controller.evidence("cut")).hits
    worker.says(word["number"])
    await ending
    await controller.stop()
    ours.close()
    theirs.close()

    assert told == 3


class BoardOfTheBusy(Board):
    """A board on which a worker counts while it is read, between one look and the next."""

    def moments(self, slot: int) -> tuple[int, int]:
        seen = super().moments(slot)
        cells = self.cells(slot, 0)
        cells[Cell.FIRST] = cells[Cell.FIRST] or 500
        cells[Cell.LAST] = 500
        cells[Cell.HITS] += 1
        return seen


async def test_no_hit_is_told_without_its_moment() -> None:
    ours, theirs = messages.pair()
    worker = APlayedWorker(theirs)
    doc: Any = {"listeners": [], "httpFaults": []}
    controller = Controller(doc, [ours], BoardOfTheBusy(1), NoHttpFaults())
    await controller.start()
    worker.says((await worker.hears())["number"])
    order = FaultOrder(kind="partition", params={}, forS=1, seed=1)
    putting = asyncio.create_task(controller.put("cut", order, 1.0))
    worker.says((await worker.hears())["number"])
    await putting

    told = [await controller.evidence("cut") for _ in range(2)]
    await controller.stop()
    ours.close()
    theirs.close()

    assert [(each.hits, each.first_hit is not None) for each in told] == [(0, False), (1, True)]


@pytest.mark.parametrize("error", [NoAnswerError("silent"), RuntimeError("no memory")])
async def test_a_worker_that_does_not_do_it_keeps_no_service_unknown(monkeypatch, error) -> None:
    looks: dict[str, int] = {"early": 0, "late": 0}

    async def address(host: str) -> str:
        looks[host] += 1
        return "" if host == "late" and looks[host] == 1 else "10.0.0.1"

    async def tell(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module.Links, "tell", tell)
    monkeypatch.setattr(controlling, "_address", address)
    monkeypatch.setattr(controlling, "_RESOLVE_AGAIN_S", 0.0)
    ours, theirs = messages.pair()
    doc: Any = {"listeners": [{"upstreamHost": host} for host in looks], "httpFaults": []}
    controller = Controller(doc, [ours], Board(1), NoHttpFaults())

    await controller.start()
    for _ in range(1000):
        await asyncio.sleep(0)
        if "address" not in controller.ready():
            break
    else:
        pytest.fail("the address of the second was never looked for again")

    await controller.stop()
    ours.close()
    theirs.close()
