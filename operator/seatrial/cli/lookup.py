"""Finds a run by name, and waits for something of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from seatrial.api.duration import parse_duration
from seatrial.api.errors import NotFoundError
from seatrial.cli.client import Cluster, runs_path
from seatrial.cli.exits import CommandError, Exit
from seatrial.cli.follow import follow

Json = dict[str, Any]


def find_run(cluster: Cluster, name: str) -> Json:
    """
    Read a run of the chosen namespace.

    Raises:
        CommandError: There is none; the message names those that there are.
    """
    try:
        return cluster.get(runs_path(cluster.namespace, name))
    except NotFoundError:
        items = cluster.get(runs_path(cluster.namespace), limit=5)["items"]
    there = ", ".join(each["metadata"]["name"] for each in items)
    remedy = f"there are: {there}" if there else "choose another with -n, or: seatrial list -A"
    raise CommandError(f"no run {name} in namespace {cluster.namespace}; {remedy}", Exit.NOT_FOUND)


def wait_for(
    cluster: Cluster, run: Json, holds: Callable[[Json], bool], timeout: str | None = None
) -> Json:
    """
    Give the run as soon as ``holds`` does of it.

    Raises:
        CommandError: ``timeout``, a duration, is no duration, or is over.
    """
    patience_s = duration_s(timeout, "--wait-timeout")
    deadline = None if patience_s is None else time.monotonic() + patience_s
    metadata = run["metadata"]
    for seen in follow(cluster, run, deadline):
        if seen is not None and holds(seen):
            return seen
        if deadline is not None and time.monotonic() > deadline:
            raise CommandError(
                f"run {metadata['name']} is not that far after --wait-timeout: see"
                f" seatrial show {metadata['name']} -n {metadata['namespace']}",
                Exit.TIMED_OUT,
            )
    raise AssertionError("follow never ends by itself")


def duration_s(text: str | None, flag: str) -> float | None:
    """
    Read the duration a flag was given, in seconds.

    Raises:
        CommandError: It is none; the message names the flag.
    """
    try:
        return None if text is None else parse_duration(text).total_seconds()
    except ValueError as error:
        raise CommandError(f"{flag}: {error}", Exit.USAGE) from None
