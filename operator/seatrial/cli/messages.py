"""``seatrial messages``: the messages that came while a run's scenarios and taps listened."""

from __future__ import annotations

import argparse
import json
from typing import Any

from seatrial.api.report import MessagesDoc, messages_text
from seatrial.cli.client import Cluster, connect
from seatrial.cli.exits import CommandError, Exit
from seatrial.cli.lines import printable
from seatrial.cli.lookup import find_run, wait_for
from seatrial.cli.report import MESSAGES, report_part, report_parts, report_settled

Json = dict[str, Any]

HELP = "print the messages that came while a run's scenarios and taps listened, from the report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("name", metavar="NAME", help="the run; it is waited for until its end")
    parser.add_argument("-t", "--test", default="", help="only of this test")
    parser.add_argument(
        "-o", "--output", choices=("json",), help="all that was kept of each, headers too"
    )
    parser.add_argument(
        "--wait-timeout", metavar="DURATION", help="stop waiting after this time (default: wait)"
    )


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    cluster = connect(options)
    found = find_run(cluster, options.name)
    found = wait_for(cluster, found, report_settled, options.wait_timeout)
    records = [each for each in _records(cluster, found) if options.test in ("", each["test"])]
    if not records:
        of = f" of test {options.test}" if options.test else ""
        raise CommandError(
            f"the report of run {options.name} has no messages{of}: no step of kind message, and"
            " no tap, has listened",
            Exit.NOT_FOUND,
        )
    if options.output:
        print(json.dumps(records, indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(printable(_text(each)) for each in records))
    return Exit.PASSED


def _records(cluster: Cluster, run: Json) -> list[MessagesDoc]:
    if MESSAGES not in report_parts(cluster, run):
        return []
    records: list[MessagesDoc] = json.loads(report_part(cluster, run, MESSAGES))
    return records


def _text(record: MessagesDoc) -> str:
    if not record["test"]:
        return f"tap {record['case']}\n{messages_text(record)}"
    case = "" if record["case"] == record["test"] else f" > {record['case']}"
    attempt = f", attempt {record['attempt']}" if record["attempt"] > 1 else ""
    return f"{record['test']}{case}{attempt}\n{messages_text(record)}"
