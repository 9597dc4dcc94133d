"""The Lease: one holder, and another after it."""

from datetime import timedelta

import pytest
from kubernetes.aio.client import Configuration
from seatrial.api.errors import ClusterError
from seatrial.cluster.client import Client
from seatrial.cluster.errors import LeaseNotHeldError
from seatrial.cluster.kinds import CONFIGMAP, LEASE
from seatrial.cluster.lease import DURATION, PATIENCE, Fence, Lease

from localcluster.ports import free_port
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


# The fence: no write by one whose Lease may be another's -----------------------------------------


class Watch:
    """A clock that the test moves."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def fenced(cluster, identity="a"):
    lease, watch = candidate(cluster, identity), Watch()
    lease.fence = Fence(watch)
    return lease, watch


async def test_one_may_write_until_some_seconds_before_others_may_take_the_lease(cluster):
    lease, watch = fenced(cluster)
    assert not lease.fence.is_open()
    await lease.acquire()
    watch.seconds += PATIENCE.total_seconds() - 0.1
    assert lease.fence.is_open()
    watch.seconds += 0.2
    assert not lease.fence.is_open()  # whether or not it has heard of another
    await lease.acquire()
    assert lease.fence.is_open()


async def test_the_time_that_an_answer_takes_is_not_counted_as_held(cluster):
    lease, watch = fenced(cluster)

    def take_long(what):
        watch.seconds += PATIENCE.total_seconds()

    cluster.before_write = take_long
    await lease.acquire()
    assert not lease.fence.is_open()


async def test_who_has_lost_the_lease_or_let_it_go_writes_no_more(cluster):
    first, _ = fenced(cluster)
    second, _ = fenced(cluster, "b")
    await first.acquire()
    assert not await second.acquire()
    assert not second.fence.is_open()
    cluster.pass_time(DURATION)
    assert await second.acquire()
    assert not await first.acquire()
    assert not first.fence.is_open()
    await second.release()
    assert not second.fence.is_open()


async def test_only_leases_and_reads_pass_a_fence_that_is_closed():
    config = Configuration()
    config.host = f"http://127.0.0.1:{free_port()}"  # nobody is there
    client = Client(config, may_write=lambda: False)
    body = {"metadata": {"name": "x", "namespace": "s"}}
    try:
        for write in (
            client.create(CONFIGMAP, body),
            client.apply(CONFIGMAP, body),
            client.delete(CONFIGMAP, "s", "x", "uid"),
            client.merge(CONFIGMAP, "s", "x", body),
            client.patch_if(CONFIGMAP, "s", "x", []),
        ):
            with pytest.raises(LeaseNotHeldError):
                await write
        for passes in (client.get(CONFIGMAP, "s", "x"), client.replace(LEASE, body)):
            with pytest.raises(ClusterError, match="Connect") as caught:
                await passes
            assert not isinstance(caught.value, LeaseNotHeldError)
    finally:
        await client.close()
