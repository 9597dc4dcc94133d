"""
The Lease that says which operator is at work.

The library's own election keeps its record in an annotation with local times, ends the process on
bad configuration, and does not let go of the Lease at the end; so this one is ours.
Source: client-go, tools/leaderelection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from seatrial.api.errors import ConflictError, NotFoundError
from seatrial.cluster.client import Client, Object
from seatrial.cluster.errors import AlreadyExistsError
from seatrial.cluster.kinds import LEASE

DURATION = timedelta(seconds=15)
RENEW_EVERY = timedelta(seconds=5)
RETRY_EVERY = timedelta(seconds=2)
# Since it was last renewed: some seconds before others may think that it is over.
PATIENCE = DURATION - RETRY_EVERY * 2


class Fence:
    """
    Whether this process may write: as long as nobody else can have taken its Lease.

    One that was frozen finds due timers, and what its watches have brought, as soon as it goes on,
    and would act on them before it heard that another one leads by now.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.now = monotonic
        self._until = -math.inf

    def renewed(self, asked_at: float) -> None:
        """Open it; the Lease was ours when the API server was asked, or later."""
        self._until = asked_at + PATIENCE.total_seconds()

    def close(self) -> None:
        """Let no more writes through."""
        self._until = -math.inf

    def is_open(self) -> bool:
        """Tell whether the Lease is surely still ours."""
        return self.now() < self._until


@dataclass
class Lease:
    """
    One candidate for a Lease.

    Another's Lease counts as over when it has not changed for its duration by our own clock: the
    clocks of two nodes need not agree.
    """

    client: Client
    namespace: str
    name: str
    identity: str
    clock: Callable[[], datetime]
    fence: Fence = field(default_factory=Fence)

    def __post_init__(self) -> None:
        self._seen_version = ""
        self._seen_at: datetime | None = None
        self._mine: Object | None = None  # as it was last written

    async def acquire(self) -> bool:
        """
        Take the Lease, or renew it.

        Returns:
            Whether it is ours now.

        Raises:
            ClusterError: The API server did not answer, or someone else was quicker.
        """
        asked_at = self.fence.now()
        if await self._acquire():
            self.fence.renewed(asked_at)
            return True
        self.fence.close()
        return False

    async def _acquire(self) -> bool:
        now = self.clock()
        if self._mine is not None and await self._renew(self._mine, now):
            return True
        self._mine = None
        lease = await self.client.get(LEASE, self.namespace, self.name)
        if lease is None:
            try:
                self._mine = await self.client.create(LEASE, self._body(now, transitions=0))
            except AlreadyExistsError:
                return False
            return True
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self.identity) and not self._expired(lease, now):
            return False
        taken = holder != self.identity
        body = self._body(now, transitions=int(spec.get("leaseTransitions") or 0) + taken)
        body["metadata"]["resourceVersion"] = lease["metadata"]["resourceVersion"]
        if not taken:
            body["spec"]["acquireTime"] = spec.get("acquireTime") or body["spec"]["acquireTime"]
        self._mine = await self.client.replace(LEASE, body)
        return True

    async def _renew(self, lease: Object, now: datetime) -> bool:
        """Renew with one request; False if someone else has written the Lease since."""
        lease["spec"]["renewTime"] = _moment(now)
        try:
            self._mine = await self.client.replace(LEASE, lease)
        except (ConflictError, NotFoundError):
            return False
        return True

    async def release(self) -> None:
        """Let go of the Lease, so that a standby need not wait for its end."""
        lease = await self.client.get(LEASE, self.namespace, self.name)
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self.identity:
            return
        self.fence.close()
        lease["spec"]["holderIdentity"] = ""
        await self.client.replace(LEASE, lease)

    def _expired(self, lease: Object, now: datetime) -> bool:
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen_version:
            self._seen_version, self._seen_at = version, now
        seconds = (lease.get("spec") or {}).get("leaseDurationSeconds") or DURATION.total_seconds()
        assert self._seen_at is not None
        return now >= self._seen_at + timedelta(seconds=seconds)

    def _body(self, now: datetime, transitions: int) -> Object:
        moment = _moment(now)
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(DURATION.total_seconds()),
                "acquireTime": moment,
                "renewTime": moment,
                "leaseTransitions": transitions,
            },
        }


def _moment(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
