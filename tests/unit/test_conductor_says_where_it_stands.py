"""A conductor that does not go on can be asked by a signal where each of its tasks stands."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
from seatrial_runner.conductor import process
from seatrial_runner.conductor.stacks import where_all_stand
from seatrial_runner.conductor.workers import Channel, WorkerTimeoutError, run_in_worker


async def waits_for(event: asyncio.Event) -> None:
    await event.wait()


async def test_each_task_is_told_of_with_all_that_it_awaits() -> None:
    task = asyncio.create_task(waits_for(asyncio.Event()), name="plain")
    await asyncio.sleep(0)
    told = {line.partition(":")[0]: line for line in where_all_stand()}
    assert "waits_for (test_conductor_says_where_it_stands.py:" in told["plain"]
    assert "Event.wait (locks.py:" in told["plain"]
    task.cancel()


async def test_the_signal_has_it_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="seatrial.conductor")
    process._say_where_all_stand()
    assert "test_the_signal_has_it_logged" in caplog.text


async def test_the_signal_has_a_worker_say_where_it_stands(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def work(channel: Channel) -> dict[str, int]:
        channel.tell({"pid": os.getpid()})
        time.sleep(3600)
        return {}

    async def listen(message: dict[str, int]) -> dict[str, int]:
        os.kill(message["pid"], signal.SIGUSR1)
        return {}

    with pytest.raises(WorkerTimeoutError):
        await run_in_worker(work, listen, timeout_s=3.0)
    assert "in work" in capfd.readouterr().err
