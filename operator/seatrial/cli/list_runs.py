"""``seatrial list``: the runs of a namespace."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from seatrial.api import names
from seatrial.cli import clock
from seatrial.cli.client import connect, runs_path
from seatrial.cli.exits import Exit
from seatrial.cli.lines import Line, Tone, moment, short_seconds
from seatrial.cli.parts import verdict_tone
from seatrial.cli.screen import print_lines

Json = dict[str, Any]

HELP = "list the runs of a namespace"

_PAGE = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    cluster = connect(options)
    everywhere = f"/apis/{names.API_VERSION}/{names.PLURAL}"
    path = everywhere if options.all_namespaces else runs_path(cluster.namespace)
    runs: list[Json] = []
    token = ""
    while True:
        page = cluster.get(path, limit=_PAGE, **({"continue": token} if token else {}))
        runs.extend(page["items"])
        token = page["metadata"].get("continue") or ""
        if not token:
            break
    if not runs:
        where = "" if options.all_namespaces else f" in namespace {cluster.namespace}"
        print(f"no runs{where}")
        return Exit.PASSED
    print_lines(table(runs, clock.now(), namespaces=options.all_namespaces))
    return Exit.PASSED


def table(runs: list[Json], now: datetime, *, namespaces: bool) -> Iterator[Line]:
    """Give a line for each run below a line of headings, oldest first."""
    rows = [_HEADINGS, *(_row(each, now) for each in sorted(runs, key=_created))]
    if not namespaces:
        rows = [row[1:] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        verdict = row[2 if namespaces else 1]
        yield Line("   ".join(cells).rstrip(), Tone.TITLE if number == 0 else verdict_tone(verdict))


_HEADINGS = ("NAMESPACE", "NAME", "VERDICT", "PHASE", "PASSED", "FAILED", "DURATION", "AGE")


def _row(run: Json, now: datetime) -> tuple[str, ...]:
    metadata, status = run["metadata"], run.get("status") or {}
    summary = status.get("summary") or {}
    created = moment(metadata.get("creationTimestamp"))
    return (
        metadata["namespace"],
        metadata["name"],
        status.get("verdict") or "-",
        status.get("phase") or "-",
        str(summary.get("passed", 0)),
        str(summary.get("failed", 0)),
        status.get("duration") or "-",
        short_seconds((now - created).total_seconds()) if created else "-",
    )


def _created(run: Json) -> str:
    return str(run["metadata"].get("creationTimestamp", ""))
