"""Leading: wait for the Lease, work while it is ours, let go of it at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from seatrial.api.errors import ClusterError
from seatrial.cluster.lease import PATIENCE, RENEW_EVERY, RETRY_EVERY, Lease

logger = logging.getLogger(__name__)

# Shorter than what is left of the Lease when it is given up.
_ENDING_S = 2.0


class LeaseLostError(Exception):
    """Another operator may be at work by now; this process must end at once."""


async def lead(
    lease: Lease,
    work: Callable[[asyncio.Event], Awaitable[None]],
    stop: asyncio.Event,
    *,
    on_standby: Callable[[], None],
) -> None:
    """
    Wait for the Lease, then work until told to stop.

    Args:
        lease: What to hold.
        work: Is started once the Lease is ours; ends soon after its argument is set.
        stop: Ends it all.
        on_standby: Is called when another one holds the Lease.

    Raises:
        LeaseLostError: The Lease could not be renewed in time.
    """
    if not await _acquire(lease, stop, on_standby):
        return
    logger.info("leading", extra={"identity": lease.identity})
    working = asyncio.ensure_future(work(stop))
    renewing = asyncio.create_task(_renew(lease), name="lease")
    try:
        await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        if renewing.done():
            working.cancel()
            await asyncio.wait({working}, timeout=_ENDING_S)
            renewing.result()
        await working
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError, LeaseLostError):
            await renewing
    with suppress(ClusterError):
        await lease.release()


async def _acquire(lease: Lease, stop: asyncio.Event, on_standby: Callable[[], None]) -> bool:
    while not stop.is_set():
        try:
            if await lease.acquire():
                return True
            on_standby()
        except ClusterError as error:
            logger.info("the lease could not be had", extra={"error": str(error)})
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RETRY_EVERY.total_seconds())
    return False


async def _renew(lease: Lease) -> None:
    """Renew the Lease for ever; give up a while before others may think that it is over."""
    loop = asyncio.get_running_loop()
    patience = PATIENCE.total_seconds()
    renewed = loop.time()
    while True:
        await asyncio.sleep(RENEW_EVERY.total_seconds() if loop.time() - renewed < 1 else 1)
        try:
            async with asyncio.timeout(max(0.1, renewed + patience - loop.time())):
                if not await lease.acquire():
                    raise LeaseLostError("another operator holds the Lease")
            renewed = loop.time()
        except (ClusterError, TimeoutError) as error:
            logger.warning("the lease could not be renewed", extra={"error": str(error)})
            if loop.time() >= renewed + patience:
                raise LeaseLostError("the Lease could not be renewed in time") from error
