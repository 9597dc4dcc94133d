"""Waits at the gate until it is this pod's turn."""

from __future__ import annotations

from urllib.parse import urlencode

from seatrial_runner.runner.conductor_api import ConductorApi

WAIT_S = 25  # the conductor holds the question for at most 30 s
FOREVER_S = float("inf")  # the Job, or the end of its namespace, ends a gate nobody opens


class CancelledError(Exception):
    """This turn will never come."""


def wait_for_turn(api: ConductorApi, test: str, shard: int) -> int:
    """
    Block until the gate is open, however long the conductor is away, and give the attempt's number.

    Raises:
        CancelledError: The run ends without this test.
        ConductorError: The conductor refuses, such as for a wrong token.
    """
    query = urlencode({"test": test, "shard": shard, "wait": WAIT_S})
    while True:
        answer = api.insist("GET", f"/v1/gate?{query}", patience_s=FOREVER_S)
        if answer.get("open"):
            return int(answer.get("attempt", 1))
        if answer.get("cancelled"):
            raise CancelledError(f"the run ends without test {test!r}")
