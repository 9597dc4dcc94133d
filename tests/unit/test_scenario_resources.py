"""What the steps of a scenario open is opened once, and closed with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from seatrial_runner.scenario.resources import Resources


def test_a_resource_is_made_once_and_closed_in_reverse_order() -> None:
    closed: list[str] = []
    resources = Resources()
    for name in ("a", "b", "a"):
        assert resources.get(name, lambda name=name: name, closed.append) == name  # type: ignore[misc]
    resources.close()
    assert closed == ["b", "a"]


def test_one_that_cannot_be_made_is_tried_again_by_the_next() -> None:
    resources = Resources()
    with pytest.raises(ZeroDivisionError):
        resources.get("a", lambda: 1 // 0, print)
    assert resources.get("a", lambda: 1, lambda _: None) == 1
    resources.close()


def together(*gets: Callable[[], Any]) -> list[Any]:
    """Call each in a thread; give their results, and raise what one raises."""
    with ThreadPoolExecutor(len(gets)) as pool:
        return [each.result(60) for each in [pool.submit(get) for get in gets]]


def test_while_one_is_opened_another_can_be() -> None:
    resources = Resources()
    both = threading.Barrier(2, timeout=30)

    def get(key: str) -> int:
        return resources.get(key, both.wait, print)

    assert sorted(together(lambda: get("a"), lambda: get("b"))) == [0, 1]
    resources.close()


def test_who_asks_for_what_is_being_opened_waits_for_it() -> None:
    resources = Resources()
    asked, made = threading.Barrier(3, timeout=30), list[int]()

    def make() -> int:
        made.append(1)
        return len(made)

    def get() -> int:
        asked.wait()
        return resources.get("a", make, print)

    assert together(get, get, get) == [1, 1, 1]
    resources.close()


def test_what_is_opened_with_something_else_is_closed_before_it() -> None:
    closed: list[str] = []
    resources = Resources()

    def feed() -> str:
        return resources.get("broker", lambda: "broker", closed.append) + "'s feed"

    assert resources.get("feed", feed, closed.append) == "broker's feed"
    resources.close()
    assert closed == ["broker's feed", "broker"]


def test_what_is_still_being_opened_at_the_end_is_closed_too() -> None:
    closed: list[int] = []
    resources = Resources()
    begun, go_on = threading.Event(), threading.Event()

    def make() -> int:
        begun.set()
        assert go_on.wait(30)
        return 1

    with ThreadPoolExecutor(2) as pool:
        got = pool.submit(resources.get, "a", make, closed.append)
        assert begun.wait(30)
        ended = pool.submit(resources.close)
        go_on.set()
        assert (got.result(60), ended.result(60)) == (1, None)
    assert closed == [1]


def test_one_that_does_not_close_keeps_none_of_the_others_open() -> None:
    closed: list[int] = []
    resources = Resources()
    resources.get("a", lambda: 1, closed.append)
    resources.get("b", lambda: 0, lambda zero: 1 // zero)
    resources.close()
    assert closed == [1]


def test_coroutines_run_on_one_loop_that_ends_with_the_scenario() -> None:
    resources = Resources()

    async def place() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        return asyncio.get_running_loop(), threading.current_thread()

    loop, thread = resources.run(place(), 30)
    assert resources.run(place(), 30) == (loop, thread)
    resources.close()
    assert loop.is_closed()
    assert not thread.is_alive()


def test_what_takes_too_long_is_cancelled() -> None:
    resources = Resources()
    cancelled = threading.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError):
        resources.run(never(), 0.01)
    assert cancelled.wait(30)
    resources.close()


def test_a_task_that_is_left_over_does_not_keep_the_loop() -> None:
    resources = Resources()

    async def leave() -> asyncio.Task[bool]:
        return asyncio.get_running_loop().create_task(asyncio.Event().wait())

    task = resources.run(leave(), 5)
    resources.close()
    assert task.cancelled()
