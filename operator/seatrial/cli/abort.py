"""``seatrial abort``: end a run now, or all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from seatrial.api import names
from seatrial.api.errors import ClusterError, ForbiddenError, NotFoundError
from seatrial.cli.client import Cluster, connect, runs_path
from seatrial.cli.exits import CommandError, Exit
from seatrial.cli.lines import count
from seatrial.cli.lookup import find_run, wait_for

Json = dict[str, Any]

HELP = "end a run now, or all of them; their faults are undone, their verdict is Aborted"

_PAGE = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="the run")
    parser.add_argument("--all", action="store_true", help="every run of the namespace")
    parser.add_argument(
        "-A", "--all-namespaces", action="store_true", help="with --all: of all namespaces"
    )
    parser.add_argument("--wait", action="store_true", help="wait until the verdict stands")


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    if bool(options.name) == options.all:
        raise CommandError("give the NAME of a run, or --all", Exit.USAGE)
    if options.all_namespaces and not options.all:
        raise CommandError("-A goes with --all", Exit.USAGE)
    cluster = connect(options)
    if options.all:
        return _all(cluster, everywhere=options.all_namespaces, wait=options.wait)
    found = find_run(cluster, options.name)
    if verdict := _verdict(found):
        print(f"run {options.name} has finished already: {verdict}")
        return Exit.PASSED
    found = _ask(cluster, found)
    print(f"asked run {options.name} to abort")
    if options.wait:
        found = wait_for(cluster, found, lambda seen: bool(_verdict(seen)))
        print(f"run {options.name} ended: {_verdict(found)}")
    return Exit.PASSED


def _all(cluster: Cluster, *, everywhere: bool, wait: bool) -> int:
    """
    Ask every run that goes on to abort: first all of them, and only then wait.

    One that cannot be asked keeps none of the others going; it is told in the end.
    """
    asked: list[Json] = []
    refused: list[ClusterError] = []
    for found in _unfinished(cluster, everywhere=everywhere):
        try:
            asked.append(_ask(cluster, found))
            print(f"asked run {_key(found)} to abort")
        except NotFoundError:
            continue  # deleted meanwhile: its faults go with its namespace
        except ClusterError as error:
            print(f"run {_key(found)} could not be asked to abort: {error}", file=sys.stderr)
            refused.append(error)
    for found in asked if wait else ():
        try:
            ended = wait_for(cluster, found, lambda seen: bool(_verdict(seen)))
            print(f"run {_key(found)} ended: {_verdict(ended)}")
        except CommandError as error:  # it was deleted
            print(error, file=sys.stderr)
    if refused:
        denied = all(isinstance(error, ForbiddenError) for error in refused)
        remedy = "you lack the right to patch them" if denied else "try again"
        text = f"{count(len(refused), 'run')} not aborted, see above: {remedy}"
        raise CommandError(text, Exit.FORBIDDEN if denied else Exit.UNAVAILABLE)
    if not asked:
        where = "" if everywhere else f" in namespace {cluster.namespace}"
        print(f"no run goes on{where}")
    return Exit.PASSED


def _unfinished(cluster: Cluster, *, everywhere: bool) -> Iterator[Json]:
    path = f"/apis/{names.API_VERSION}/{names.PLURAL}" if everywhere else None
    token = ""
    while True:
        more = {"continue": token} if token else {}
        page = cluster.get(path or runs_path(cluster.namespace), limit=_PAGE, **more)
        yield from (each for each in page["items"] if not _verdict(each))
        token = page["metadata"].get("continue") or ""
        if not token:
            return


def _ask(cluster: Cluster, found: Json) -> Json:
    metadata = found["metadata"]
    path = runs_path(metadata["namespace"], metadata["name"])
    return cluster.merge(path, {"spec": {"abort": True}})


def _key(found: Json) -> str:
    return f"{found['metadata']['namespace']}/{found['metadata']['name']}"


def _verdict(found: Json) -> str:
    return str((found.get("status") or {}).get("verdict") or "")
