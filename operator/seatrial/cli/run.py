"""``seatrial run``: apply a run, show it as it goes, end with its verdict."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from seatrial.cli.attend import attend
from seatrial.cli.client import Cluster, connect
from seatrial.cli.documents import read_documents
from seatrial.cli.exits import OF_VERDICT, Exit
from seatrial.cli.follow import follow
from seatrial.cli.junit import report_and_clean_up_settled, write_junit
from seatrial.cli.lookup import duration_s
from seatrial.cli.parts import conclusion
from seatrial.cli.printing import FORMATS, print_object
from seatrial.cli.report import report_settled
from seatrial.cli.screen import print_lines
from seatrial.cli.submit import prepare, submit
from seatrial.cli.validate import print_problems, problems_of

Json = dict[str, Any]

HELP = "apply a run, show it as it goes, end with its verdict; Ctrl-C or SIGTERM aborts it"


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
    parser.add_argument(
        "--tag",
        metavar="TAG",
        action="append",
        help="execute only tests with this tag; may be given several times",
    )
    parser.add_argument(
        "--without-tag", metavar="TAG", action="append", help="leave tests with this tag out"
    )
    parser.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML to FILE")
    parser.add_argument(
        "--cleaned-up",
        action="store_true",
        help="have --junit wait for the clean-up too, unless the environment is kept",
    )
    parser.add_argument(
        "-o", "--output", choices=FORMATS, help="print the finished run; progress goes to stderr"
    )


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    # CI servers cancel a job with SIGTERM, and mean what a person means by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    patience_s = duration_s(options.wait_timeout, "--wait-timeout")
    duration_s(options.keep, "--keep")
    documents = read_documents(options.file)
    manifest = prepare(
        documents.only_run(),
        name=options.name,
        keep=options.keep,
        tags=options.tag,
        without=options.without_tag,
    )
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
        settled = report_and_clean_up_settled if options.cleaned_up else report_settled
        finished = _until(settled, cluster, finished, deadline)
        write_junit(cluster, finished, options.junit)
    if options.output:
        print_object(finished, options.output)
    return OF_VERDICT[finished["status"]["verdict"]]


def _until(
    settled: Callable[[Json], bool], cluster: Cluster, run: Json, deadline: float | None
) -> Json:
    for seen in follow(cluster, run, deadline):
        if seen is not None:
            run = seen
            if settled(run):
                break
        if deadline is not None and time.monotonic() > deadline:
            break
    return run


def _say(stream: TextIO, text: str) -> None:
    print(text, file=stream, flush=True)
