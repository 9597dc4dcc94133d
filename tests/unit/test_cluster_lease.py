"""The Lease: one holder, and another after it."""

from datetime import timedelta

import pytest
from seatrial.cluster.lease import DURATION, Lease

from tests.support.fake_cluster import FakeCluster


@pytest.fixture
def cluster():
    return FakeCluster()


def candidate(cluster, identity):
    return Lease(cluster, "seatrial-system", "seatrial-operator", identity, lambda: cluster.now)


def holder(cluster):
    lease = cluster.objects["Lease", "seatrial-system", "seatrial-operator"]
    return lease["spec"]["holderIdentity"]


async def test_the_first_has_it_and_keeps_it(cluster):
    first, second = candidate(cluster, "a"), candidate(cluster, "b")
    assert await first.acquire()
    assert not await second.acquire()
    cluster.pass_time(DURATION - timedelta(seconds=1))
    assert await first.acquire()
    cluster.pass_time(DURATION - timedelta(seconds=1))
    assert not await second.acquire()


async def test_another_has_it_when_it_was_not_renewed_for_its_time(cluster):
    first, second = candidate(cluster, "a"), candidate(cluster, "b")
    await first.acquire()
    assert not await second.acquire()  # from now on it watches the Lease
    cluster.pass_time(DURATION)
    assert await second.acquire()
    assert holder(cluster) == "b"
    assert not await first.acquire()
    spec = cluster.objects["Lease", "seatrial-system", "seatrial-operator"]["spec"]
    assert spec["leaseTransitions"] == 1


async def test_a_clock_that_is_ahead_takes_nothing_from_the_holder(cluster):
    first, second = candidate(cluster, "a"), candidate(cluster, "b")
    second.clock = lambda: cluster.now + timedelta(hours=1)
    await first.acquire()
    assert not await second.acquire()


async def test_one_that_was_let_go_is_had_at_once(cluster):
    first, second = candidate(cluster, "a"), candidate(cluster, "b")
    await first.acquire()
    await second.release()  # it is not ours to let go
    assert holder(cluster) == "a"
    await first.release()
    assert await second.acquire()


async def test_the_same_operator_has_it_again_after_a_restart(cluster):
    await candidate(cluster, "a").acquire()
    assert await candidate(cluster, "a").acquire()


async def test_it_is_renewed_with_one_request(cluster):
    first = candidate(cluster, "a")
    await first.acquire()
    before = cluster.requests
    assert await first.acquire()
    assert cluster.requests == before + 1


async def test_one_that_someone_has_deleted_is_made_again(cluster):
    first = candidate(cluster, "a")
    await first.acquire()
    del cluster.objects["Lease", "seatrial-system", "seatrial-operator"]
    assert await first.acquire()
    assert holder(cluster) == "a"
