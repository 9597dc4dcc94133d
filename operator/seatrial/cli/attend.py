"""Stays with a run until its verdict stands, and shows it as it goes."""

from __future__ import annotations

import time
from typing import Any, TextIO

from seatrial.api.errors import ClusterError
from seatrial.cli.client import Cluster, runs_path
from seatrial.cli.exits import OF_VERDICT, CommandError, Exit
from seatrial.cli.follow import follow
from seatrial.cli.lines import Line, Tone
from seatrial.cli.screen import Screen, open_screen

Json = dict[str, Any]

# An operator that is there writes the first status within a second.
OPERATOR_EXPECTED_S = 10.0

_NO_OPERATOR = (
    "no operator has taken up the run yet: is Seatrial running?"
    " kubectl get pods -A -l app.kubernetes.io/name=seatrial"
)


def attend(
    cluster: Cluster, run: Json, stream: TextIO, deadline: float | None, *, abort_on_interrupt: bool
) -> Json:
    """
    Show a run until its verdict stands.

    Args:
        cluster: Where the run is.
        run: The run, as last seen.
        stream: Where to show it.
        deadline: On the monotonic clock; None to wait for ever.
        abort_on_interrupt: The first interrupt aborts the run and goes on; only the second leaves.

    Returns:
        The run with its verdict.

    Raises:
        CommandError: The deadline passed, or the run was deleted.
        KeyboardInterrupt: The user leaves.
    """
    with open_screen(stream) as screen:
        try:
            return _watch(cluster, run, screen, deadline)
        except KeyboardInterrupt:
            if not abort_on_interrupt:
                raise
            _abort(cluster, run, screen)
            return _watch(cluster, run, screen, deadline)


def _watch(cluster: Cluster, run: Json, screen: Screen, deadline: float | None) -> Json:
    metadata = run["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    begin, warned, reachable = time.monotonic(), False, True
    for seen in follow(cluster, run, deadline):
        if (seen is not None) != reachable:
            reachable = seen is not None
            text = "the API server is back" if reachable else "waiting for the API server"
            screen.note(Line(text, Tone.WARNING))
            begin = time.monotonic()  # the operator could not write either
        if seen is not None:
            screen.show(seen)
            status = seen.get("status") or {}
            if status.get("verdict") in OF_VERDICT:
                return seen
            late = time.monotonic() - begin > OPERATOR_EXPECTED_S
            if late and not warned and not status.get("phase"):
                warned = True
                screen.note(Line(_NO_OPERATOR, Tone.WARNING))
        if deadline is not None and time.monotonic() > deadline:
            raise CommandError(
                f"no verdict within --wait-timeout, the run goes on; watch it with seatrial show"
                f" {name} -n {namespace} --watch, or end it with seatrial abort {name}"
                f" -n {namespace}",
                Exit.TIMED_OUT,
            )
    raise AssertionError("follow never ends by itself")


def _abort(cluster: Cluster, run: Json, screen: Screen) -> None:
    screen.note(Line("aborting the run; Ctrl-C again leaves it to itself", Tone.WARNING))
    metadata = run["metadata"]
    path = runs_path(metadata["namespace"], metadata["name"])
    try:
        cluster.merge(path, {"spec": {"abort": True}})
    except ClusterError as error:
        remedy = f"try again: seatrial abort {metadata['name']} -n {metadata['namespace']}"
        screen.note(Line(f"could not abort the run: {error}; {remedy}", Tone.BAD))
