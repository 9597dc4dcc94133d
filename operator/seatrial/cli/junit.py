"""``seatrial junit``: the results of a run as JUnit XML."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from seatrial.cli.clean_up import clean_up_settled, with_clean_up
from seatrial.cli.client import Cluster, connect
from seatrial.cli.exits import CommandError, Exit
from seatrial.cli.lookup import find_run, wait_for
from seatrial.cli.report import JUNIT, report_part, report_settled

Json = dict[str, Any]

HELP = "write a run's results as JUnit XML"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("name", metavar="NAME", help="the run; it is waited for until its end")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="file to write (default: stdout)"
    )
    parser.add_argument(
        "--cleaned-up",
        action="store_true",
        help="wait for the clean-up too, unless the environment is kept",
    )
    parser.add_argument(
        "--wait-timeout", metavar="DURATION", help="stop waiting after this time (default: wait)"
    )


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    cluster = connect(options)
    found = find_run(cluster, options.name)
    settled = report_and_clean_up_settled if options.cleaned_up else report_settled
    found = wait_for(cluster, found, settled, options.wait_timeout)
    write_junit(cluster, found, options.output)
    return Exit.PASSED


def report_and_clean_up_settled(run: Json) -> bool:
    """Say whether all is known that JUnit XML tells."""
    return report_settled(run) and clean_up_settled(run)


def write_junit(cluster: Cluster, run: Json, target: str) -> None:
    """Write the run's JUnit XML to a file, or to standard output if ``target`` is ``-``."""
    content = with_clean_up(report_part(cluster, run, JUNIT), run)
    if target == "-":
        sys.stdout.write(content.decode())
        return
    try:
        Path(target).write_bytes(content)
    except OSError as error:
        raise CommandError(f"cannot write {target}: {error.strerror}", Exit.USAGE) from error
