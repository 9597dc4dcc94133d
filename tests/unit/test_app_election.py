"""Leading: to wait, to work, to stop, and never to go on without the Lease."""

import asyncio

import pytest
from seatrial.api.errors import ClusterError
from seatrial.app import election
from seatrial.app.election import LeaseLostError, lead


class FakeLease:
    identity = "a"

    def __init__(self, answers):
        self.answers = list(answers)
        self.released = False

    async def acquire(self):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def release(self):
        self.released = True


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let a second of the Lease be a hundredth."""
    for name in ("PATIENCE", "RENEW_EVERY", "RETRY_EVERY"):
        monkeypatch.setattr(election, name, getattr(election, name) / 100)


async def test_it_works_until_told_to_stop_and_lets_go():
    lease, stop, done = FakeLease([True]), asyncio.Event(), []

    async def work(stop):
        asyncio.get_running_loop().call_soon(stop.set)
        await stop.wait()
        done.append("work")

    await lead(lease, work, stop, on_standby=lambda: None)
    assert done == ["work"]
    assert lease.released


async def test_a_standby_does_not_work_and_says_so():
    stop, standing_by, worked = asyncio.Event(), [], []

    async def work(stop):
        worked.append(True)

    def on_standby():
        standing_by.append(True)
        stop.set()

    await lead(FakeLease([False]), work, stop, on_standby=on_standby)
    assert (standing_by, worked) == ([True], [])


async def test_an_api_server_that_is_away_is_waited_for():
    lease, stop, worked = FakeLease([ClusterError("away"), False, True]), asyncio.Event(), []

    async def work(stop):
        worked.append(True)

    await lead(lease, work, stop, on_standby=lambda: None)
    assert worked == [True]


@pytest.mark.parametrize("answer", [False, ClusterError("away")], ids=["taken", "unreachable"])
async def test_work_ends_at_once_when_the_lease_is_lost(answer):
    lease, stop, cancelled = FakeLease([True, answer]), asyncio.Event(), []

    async def work(stop):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(LeaseLostError):
        await lead(lease, work, stop, on_standby=lambda: None)
    assert cancelled == [True]
    assert not lease.released
