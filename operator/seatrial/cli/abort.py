"""``seatrial abort``: end a run now."""

from __future__ import annotations

import argparse
from typing import Any

from seatrial.cli.client import connect, runs_path
from seatrial.cli.exits import Exit
from seatrial.cli.lookup import find_run, wait_for

HELP = "end a run now; its faults are undone, its verdict is Aborted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("name", metavar="NAME", help="the run")
    parser.add_argument("--wait", action="store_true", help="wait until its verdict stands")


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    cluster = connect(options)
    found = find_run(cluster, options.name)
    if verdict := _verdict(found):
        print(f"run {options.name} has finished already: {verdict}")
        return Exit.PASSED
    path = runs_path(cluster.namespace, options.name)
    found = cluster.merge(path, {"spec": {"abort": True}})
    print(f"asked run {options.name} to abort")
    if options.wait:
        found = wait_for(cluster, found, lambda seen: bool(_verdict(seen)))
        print(f"run {options.name} ended: {_verdict(found)}")
    return Exit.PASSED


def _verdict(found: dict[str, Any]) -> str:
    return str((found.get("status") or {}).get("verdict") or "")
