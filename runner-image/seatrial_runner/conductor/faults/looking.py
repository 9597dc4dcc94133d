"""
Probes that see whether a fault in traffic is there, made in a worker process.

Each connects to the Service as a client does, from a local port that the gateway knows probes by,
and says in its first line whose traffic it stands for. What it sends after that comes back through
the same faults, and reaches no service.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from seatrial_runner import clock
from seatrial_runner.conductor.workers import Channel, Json, WorkerError, run_in_worker

# Between two looks at one spot, at first and in the end.
_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0
_AROUND_S = 3.0
_MOST_AT_ONCE = 16
_MARGIN_S = 5.0
_MOST_CONNECTIONS = 256


@dataclass(frozen=True)
class Spot:
    """Where a probe goes, and whose traffic it stands for."""

    host: str
    port: int
    source: str


@dataclass(frozen=True)
class Sight:
    """What is to be seen."""

    fault: str
    kind: str
    params: dict[str, Any]
    lasts_s: float
    token: str
    # On time.monotonic: who looks until later may see nothing because the fault is over.
    ends: float = math.inf


def can_be_seen(kind: str, params: dict[str, Any]) -> bool:
    """Tell whether a probe can see the effect at all: it opens no thousands of connections."""
    return kind != "connectionLimit" or int(params["connections"]) < _MOST_CONNECTIONS


async def look_around(spots: Sequence[Spot], token: str) -> set[tuple[str, int]]:
    """Give the hosts and ports at which a probe comes back, while no fault is there."""
    if not spots:
        return set()

    def work(channel: Channel) -> Json:
        from seatrial_runner.conductor.faults import sights

        every = dict.fromkeys((spot.host, spot.port, spot.source) for spot in spots)
        give_up = time.monotonic() + _AROUND_S
        found: list[list[Any]] = []
        missing = list(every)
        while missing and time.monotonic() < give_up:
            seen = [each for each in missing if sights.comes_back(Spot(*each), token)]
            found += [[host, port] for host, port, _ in seen]
            missing = [each for each in missing if each not in seen]
            if missing:
                time.sleep(_PAUSE_S)
        return {"found": found}

    try:
        result = await run_in_worker(work, _nobody_listens, timeout_s=_AROUND_S + _MARGIN_S)
    except WorkerError:
        return set()
    return {(host, port) for host, port in result["found"]}


async def look_for(
    sight: Sight, spots: Sequence[Spot], looked: Callable[[], None]
) -> tuple[str, int]:
    """
    Look at every spot until the effect has been seen there; cancelled when it is over.

    Args:
        sight: What is to be seen.
        spots: Where.
        looked: Called after each look that came to its end in time and did not see it.

    Returns:
        The moment when it had been seen everywhere, and how many probes a closed port has refused.
    """

    async def listen(message: Json) -> Json:
        looked()
        return {}

    def work(channel: Channel) -> Json:
        from concurrent.futures import ThreadPoolExecutor

        from seatrial_runner.conductor.faults import sights

        missing, pause, refused = list(spots), _PAUSE_S, 0
        # At once: a fault may be shorter than all looks one after another.
        with ThreadPoolExecutor(max_workers=min(len(missing), _MOST_AT_ONCE)) as pool:
            while True:
                seen = list(pool.map(lambda spot: sights.what_is_seen(sight, spot), missing))
                refused += seen.count(sights.REFUSED)
                missing = [spot for spot, what in zip(missing, seen, strict=True) if not what]
                if not missing:
                    return {"at": clock.rfc3339(clock.now()), "refused": refused}
                if time.monotonic() < sight.ends:
                    channel.tell({"missing": len(missing)})
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    timeout_s = sight.lasts_s + _MARGIN_S
    result = await run_in_worker(work, listen, timeout_s=timeout_s)
    return result["at"], result["refused"]


async def _nobody_listens(message: Json) -> Json:
    return {}
