"""``seatrial run``: apply a run, show it as it goes, end with its verdict."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, TextIO

from seatrial.cli.attend import attend
from seatrial.cli.client import Cluster, connect
from seatrial.cli.documents import read_documents
from seatrial.cli.exits import OF_VERDICT, Exit
from seatrial.cli.follow import follow
from seatrial.cli.lookup import duration_s
from seatrial.cli.parts import conclusion
from seatrial.cli.printing import FORMATS, print_object
from seatrial.cli.report import report_settled, write_junit
from seatrial.cli.screen import print_lines
from seatrial.cli.submit import prepare, submit
from seatrial.cli.validate import print_problems, problems_of

Json = dict[str, Any]

HELP = "apply a run, show it as it goes, end with its verdict"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("file", metavar="FILE", help="the run, and objects it needs; - for stdin")
    parser.add_argument("--name", help="name of the run, in place of the file's")
    parser.add_argument(
        "--replace", action="store_true", help="delete a run of the same name first"
    )
    parser.add_argument(
        "--wait-timeout",
        metavar="DURATION",
        help="stop waiting after this time, such as 20m; the run goes on (default: wait)",
    )
    parser.add_argument(
        "--keep",
        metavar="DURATION",
        nargs="?",
        const="1h",
        help="keep the run's namespace after the verdict, for 1h unless told otherwise",
    )
    parser.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML to FILE")
    parser.add_argument(
        "-o", "--output", choices=FORMATS, help="print the finished run; progress goes to stderr"
    )


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    patience_s = duration_s(options.wait_timeout, "--wait-timeout")
    duration_s(options.keep, "--keep")
    documents = read_documents(options.file)
    manifest = prepare(documents.only_run(), name=options.name, keep=options.keep)
    if found := problems_of(manifest, documents):
        print_problems(options.file, found)
        return Exit.REFUSED
    cluster = connect(options)
    stream = sys.stderr if options.output else sys.stdout
    created = submit(cluster, manifest, documents, options, say=lambda t: _say(stream, t))
    deadline = None if patience_s is None else time.monotonic() + patience_s
    finished = attend(cluster, created, stream, deadline, abort_on_interrupt=True)
    print_lines(conclusion(finished), stream)
    if options.junit:
        finished = _until_report(cluster, finished, deadline)
        write_junit(cluster, finished, options.junit)
    if options.output:
        print_object(finished, options.output)
    return OF_VERDICT[finished["status"]["verdict"]]


def _until_report(cluster: Cluster, run: Json, deadline: float | None) -> Json:
    for seen in follow(cluster, run, deadline):
        if seen is not None and report_settled(seen):
            return seen
        if deadline is not None and time.monotonic() > deadline:
            break
    return run


def _say(stream: TextIO, text: str) -> None:
    print(text, file=stream, flush=True)
