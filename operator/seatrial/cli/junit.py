"""``seatrial junit``: the results of a run as JUnit XML."""

from __future__ import annotations

import argparse

from seatrial.cli.client import connect
from seatrial.cli.exits import Exit
from seatrial.cli.lookup import find_run, wait_for
from seatrial.cli.report import report_settled, write_junit

HELP = "write a run's results as JUnit XML"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("name", metavar="NAME", help="the run; it is waited for until its end")
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="file to write (default: stdout)"
    )
    parser.add_argument(
        "--wait-timeout", metavar="DURATION", help="stop waiting after this time (default: wait)"
    )


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    cluster = connect(options)
    found = find_run(cluster, options.name)
    found = wait_for(cluster, found, report_settled, options.wait_timeout)
    write_junit(cluster, found, options.output)
    return Exit.PASSED
