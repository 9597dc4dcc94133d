"""
``python -m tests.support.publisher URL PLACE COUNT [BYTES]``: publish at full speed, and end.

In a process of its own: a system under test shares no interpreter with its tester.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

from seatrial_runner.scenario.brokers import adapter
from seatrial_runner.scenario.brokers.interface import Outgoing, Place

BATCH = 1000


def place_of(document: dict[str, Any]) -> Place:
    """Give the place that a step's fields name."""
    names = {"routingKey": "routing_key"}
    return Place(**{names.get(key, key): value for key, value in document.items()})


def started(url: str, place: dict[str, Any], count: int, size: int = 0) -> subprocess.Popen[bytes]:
    """Begin to publish ``{"n": 1, "pad": "..."}`` and so on, in another process."""
    arguments = [url, json.dumps(place), str(count), str(size)]
    command = [sys.executable, "-m", "tests.support.publisher", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


async def publish(url: str, place: Place, count: int, size: int) -> None:
    broker = adapter(url)
    # Not one letter again and again, which would take no memory on a compressed tape.
    pads = [os.urandom(size // 2).hex() for _ in range(97)] if size else [""]
    await broker.start()
    try:
        for first in range(1, count + 1, BATCH):
            numbers = range(first, min(first + BATCH, count + 1))
            bodies = [{"n": n, "pad": pads[n % len(pads)]} for n in numbers]
            await broker.publish(place, [Outgoing(json.dumps(body).encode()) for body in bodies])
    finally:
        await broker.close()


if __name__ == "__main__":
    url, place, count, size = sys.argv[1:5]
    asyncio.run(publish(url, place_of(json.loads(place)), int(count), int(size)))
