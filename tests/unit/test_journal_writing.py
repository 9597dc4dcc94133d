"""One writer: at once when something decides, else once a second; never over a successor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from seatrial.api.errors import ConflictError
from seatrial_runner.journal import Entries, FencedError, Journal, Stored

from tests.support.builders import a_summary
from tests.support.virtual_time import in_virtual_time, loop


class Edge:
    """The ConfigMap in memory."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}
        self.version = 1
        self.at: list[float] = []
        self.takes_s = 0.0

    async def read(self) -> Stored:
        return Stored(dict(self.data), str(self.version))

    async def write(self, data: dict[str, str], resource_version: str) -> str:
        await asyncio.sleep(self.takes_s)
        if resource_version != str(self.version):
            raise ConflictError("it has changed", status=409)
        self.data = {**self.data, **data}
        self.version += 1
        self.at.append(round(loop().time(), 1))
        return str(self.version)

    def starts(self) -> int:
        starts: int = json.loads(self.data["summary.json"])["starts"]
        return starts


async def a_journal(edge: Edge, *, starts: int = 0) -> Journal:
    summary = a_summary()
    summary["starts"] = starts
    return Journal(
        edge,
        now=loop().now,
        monotonic=lambda: loop().time(),
        summary=summary,
        entries=Entries(),
        stored=await edge.read(),
    )


def written(course: Callable[[Edge, Journal], Coroutine[Any, Any, None]]) -> Edge:
    """Run a course with a journal that is claimed and kept written; the claim is at 0."""

    async def whole() -> Edge:
        edge = Edge()
        journal = await a_journal(edge)
        await journal.claim()
        writer = asyncio.create_task(journal.keep_written())
        try:
            await course(edge, journal)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return edge

    return in_virtual_time(whole())


def test_what_does_not_decide_is_written_once_a_second() -> None:
    async def course(edge: Edge, journal: Journal) -> None:
        for _ in range(30):
            journal.note("case.finished", outcome="passed")
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)

    at = written(course).at
    assert len(at) > 3
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(at))


def test_what_decides_is_written_at_once() -> None:
    async def course(edge: Edge, journal: Journal) -> None:
        await asyncio.sleep(5.0)
        journal.note("fault.requested")
        await journal.save()
        assert "fault.requested" in edge.data["entries.jsonl"]
        assert loop().time() < 5.1

    assert written(course).at == [0.0, 5.0]


def test_a_save_waits_for_a_write_that_began_after_it() -> None:
    async def course(edge: Edge, journal: Journal) -> None:
        edge.takes_s = 1.0
        journal.save_soon()
        await asyncio.sleep(0.5)  # that write is on its way without the entry
        journal.note("fault.requested")
        await journal.save()
        assert "fault.requested" in edge.data["entries.jsonl"]
        assert loop().time() == pytest.approx(2.0, abs=0.1)

    written(course)


def test_waiting_for_a_write_does_not_hurry_it() -> None:
    async def course(edge: Edge, journal: Journal) -> None:
        journal.note("shard.finished")
        await journal.written()

    assert written(course).at == [0.0, 1.0]


def test_nothing_is_written_when_nothing_changes() -> None:
    async def course(edge: Edge, journal: Journal) -> None:
        await asyncio.sleep(60.0)

    assert written(course).at == [0.0]


def test_a_change_of_the_metadata_by_somebody_else_is_no_obstacle() -> None:
    async def course(edge: Edge, journal: Journal) -> None:
        edge.version += 1  # the operator applied its labels again
        await journal.save()

    assert written(course).starts() == 1


def test_an_older_conductor_cannot_write_over_a_newer_one() -> None:
    async def course(edge: Edge, journal: Journal) -> None:
        newer = await a_journal(edge, starts=1)
        await newer.claim()
        before = dict(edge.data)
        with pytest.raises(FencedError, match="start 2 has taken over"):
            await journal.save()
        assert edge.data == before

    written(course)


def test_of_two_that_claim_at_once_one_must_begin_anew() -> None:
    async def course() -> None:
        edge = Edge()
        one, other = await a_journal(edge), await a_journal(edge)
        await one.claim()
        with pytest.raises(ConflictError):
            await other.claim()
        assert edge.starts() == 1

    in_virtual_time(course())


def test_a_write_whose_answer_got_lost_is_made_again_without_harm() -> None:
    async def course(edge: Edge, journal: Journal) -> None:
        real, lost = edge.write, [True]

        async def losing(data: dict[str, str], resource_version: str) -> str:
            answer = await real(data, resource_version)
            if lost:
                lost.clear()
                return await real(data, resource_version)  # what a repetition meets: a conflict
            return answer

        edge.write = losing  # type: ignore[method-assign]
        journal.note("gate.opened")
        await journal.save()
        assert edge.data["entries.jsonl"].count("gate.opened") == 1

    written(course)
