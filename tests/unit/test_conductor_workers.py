"""A worker gives a result, or the conductor learns how it ended."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import pytest
from seatrial.api import memory
from seatrial_runner.conductor.workers import (
    Channel,
    WorkerError,
    WorkerMemoryError,
    WorkerTimeoutError,
    run_in_worker,
)


async def ignore(message: dict[str, Any]) -> dict[str, Any]:
    return {}


async def test_the_result_comes_back() -> None:
    result = await run_in_worker(lambda channel: {"pid": os.getpid()}, ignore, timeout_s=60)
    assert result["pid"] != os.getpid()


async def test_messages_come_in_order_before_the_result() -> None:
    heard: list[int] = []

    async def listen(message: dict[str, Any]) -> dict[str, Any]:
        heard.append(message["n"])
        return {}

    def work(channel: Channel) -> dict[str, Any]:
        for n in range(1000):
            channel.tell({"n": n})
        return {}

    await run_in_worker(work, listen, timeout_s=60)
    assert heard == list(range(1000))


def tell_fifty(channel: Channel) -> None:
    for n in range(50):
        channel.tell({"told": n})


async def test_a_question_is_answered_while_other_threads_go_on_telling() -> None:
    heard: list[dict[str, Any]] = []

    async def listen(message: dict[str, Any]) -> dict[str, Any]:
        heard.append(message)
        return {"answer": message.get("n", 0) + 1}

    def work(channel: Channel) -> dict[str, Any]:
        teller = threading.Thread(target=tell_fifty, args=(channel,))
        teller.start()
        answers = [channel.ask({"n": n})["answer"] for n in range(20)]
        teller.join()
        return {"answers": answers}

    result = await run_in_worker(work, listen, timeout_s=60)
    assert result["answers"] == list(range(1, 21))
    assert len(heard) == 70


def explode(channel: Channel) -> dict[str, Any]:
    raise RuntimeError("broken inside")


def exit_at_once(channel: Channel) -> dict[str, Any]:
    os._exit(3)


def kill_itself(channel: Channel) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (explode, "RuntimeError: broken inside"),
        (exit_at_once, "ended with status 3 without a result"),
        (kill_itself, "was killed by SIGKILL .*out of memory"),
    ],
)
async def test_a_worker_without_a_result_says_how_it_ended(work: Any, words: str) -> None:
    with pytest.raises(WorkerError, match=words):
        await run_in_worker(work, ignore, timeout_s=60)


def wait_for_ever(channel: Channel) -> dict[str, Any]:
    signal.pause()
    return {}


async def test_a_worker_that_is_out_of_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []
    fork = os.fork

    def noting() -> int:
        pids.append(fork())
        return pids[-1]

    monkeypatch.setattr(os, "fork", noting)
    with pytest.raises(WorkerTimeoutError, match=r"timed out after 0\.2 s"):
        await run_in_worker(wait_for_ever, ignore, timeout_s=0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


async def test_a_worker_ignores_our_signal_handlers() -> None:
    def work(channel: Channel) -> dict[str, Any]:
        return {"default": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL}

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert await run_in_worker(work, ignore, timeout_s=60) == {"default": True}
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_an_answer_that_grows_beyond_its_memory_ends_the_worker_alone() -> None:
    # What a JSON document of 10 MiB may come to: lists of nothing take 20 times their text.
    def work(channel: Channel) -> dict[str, Any]:
        return {"length": len(json.loads("[" + "[{}]," * 5_000_000 + "1]"))}

    with pytest.raises(WorkerMemoryError, match="it needed more than 320 MiB"):
        await run_in_worker(work, ignore, timeout_s=60, most=memory.of_a_scenario(1))


async def test_there_is_room_for_what_a_scenario_needs() -> None:
    def work(channel: Channel) -> dict[str, Any]:
        threads = [threading.Thread(target=len, args=("",)) for _ in range(16)]
        for thread in threads:
            thread.start()
        return {"length": len(json.loads("[" + '{"id": "a-few-words"},' * 400_000 + "1]"))}

    most = memory.of_a_scenario(1)
    assert (await run_in_worker(work, ignore, timeout_s=60, most=most))["length"] == 400_001
