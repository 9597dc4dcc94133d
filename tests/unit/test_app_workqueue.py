"""The work queue."""

import asyncio
from datetime import timedelta

from seatrial.app import clock
from seatrial.app.workqueue import WorkQueue


async def test_a_key_waits_once_however_often_it_is_added():
    queue = WorkQueue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [await queue.take(), await queue.take()] == ["a", "b"]


async def test_a_key_at_work_is_not_handed_out_twice_but_comes_again():
    queue = WorkQueue()
    queue.add("a")
    assert await queue.take() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.take() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_of_several_times_the_earliest_holds():
    queue = WorkQueue()
    queue.add_after("a", timedelta(hours=1))
    queue.add_at("a", clock.now())
    queue.add_after("a", timedelta(hours=2))
    async with asyncio.timeout(5):
        assert await queue.take() == "a"


async def test_times_of_a_key_can_be_forgotten():
    queue = WorkQueue()
    queue.add_at("a", clock.now())
    queue.forget("a")
    await asyncio.sleep(0)
    assert len(queue) == 0


async def test_who_waits_is_told_that_the_queue_is_closed():
    queue = WorkQueue()
    waiting = [asyncio.create_task(queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add_after("later", timedelta(hours=1))
    queue.close()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiting) == [None, None, None]
