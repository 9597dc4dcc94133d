"""``seatrial run``: apply a run, show it as it goes, end with its verdict."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, TextIO

from seatrial.api.errors import ClusterError
from seatrial.cli.client import Cluster, connect, runs_path
from seatrial.cli.documents import read_documents
from seatrial.cli.exits import OF_VERDICT, CommandError, Exit
from seatrial.cli.follow import follow
from seatrial.cli.lines import Line, Tone
from seatrial.cli.lookup import duration_s
from seatrial.cli.parts import conclusion
from seatrial.cli.printing import FORMATS, print_object
from seatrial.cli.report import report_settled, write_junit
from seatrial.cli.screen import Screen, open_screen, print_lines
from seatrial.cli.submit import prepare, submit
from seatrial.cli.validate import print_problems, problems_of

Json = dict[str, Any]

HELP = "apply a run, show it as it goes, end with its verdict"

# An operator that is there writes the first status within a second.
OPERATOR_EXPECTED_S = 10.0


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
    finished = _until_verdict(cluster, created, stream, deadline)
    print_lines(conclusion(finished), stream)
    if options.junit:
        finished = _until_report(cluster, finished, deadline)
        write_junit(cluster, finished, options.junit)
    if options.output:
        print_object(finished, options.output)
    return OF_VERDICT[finished["status"]["verdict"]]


def _until_verdict(cluster: Cluster, run: Json, stream: TextIO, deadline: float | None) -> Json:
    """Show the run until its verdict stands; the first Ctrl-C aborts it, the second leaves."""
    with open_screen(stream) as screen:
        try:
            return _watch(cluster, run, screen, deadline)
        except KeyboardInterrupt:
            _abort(cluster, run, screen)
            return _watch(cluster, run, screen, deadline)


def _watch(cluster: Cluster, run: Json, screen: Screen, deadline: float | None) -> Json:
    metadata = run["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    begin, warned, reachable = time.monotonic(), False, True
    for seen in follow(cluster, namespace, name, metadata["uid"]):
        if (seen is not None) != reachable:
            reachable = seen is not None
            text = "the API server is back" if reachable else "waiting for the API server"
            screen.note(Line(text, Tone.WARNING))
        if seen is not None:
            screen.show(seen)
            status = seen.get("status") or {}
            if status.get("verdict") in OF_VERDICT:
                return seen
            if not status and not warned and time.monotonic() - begin > OPERATOR_EXPECTED_S:
                warned = True
                screen.note(Line(_NO_OPERATOR, Tone.WARNING))
        if deadline is not None and time.monotonic() > deadline:
            raise CommandError(
                f"no verdict within --wait-timeout; the run goes on: seatrial show {name}"
                f" -n {namespace}, seatrial abort {name} -n {namespace}",
                Exit.TIMED_OUT,
            )
    raise AssertionError("follow never ends by itself")


_NO_OPERATOR = (
    "no operator has taken up the run yet: is Seatrial running?"
    " kubectl get pods -A -l app.kubernetes.io/name=seatrial"
)


def _abort(cluster: Cluster, run: Json, screen: Screen) -> None:
    screen.note(Line("aborting the run; Ctrl-C again leaves it to itself", Tone.WARNING))
    metadata = run["metadata"]
    path = runs_path(metadata["namespace"], metadata["name"])
    try:
        cluster.merge(path, {"spec": {"abort": True}})
    except ClusterError as error:
        screen.note(Line(f"could not abort: {error}; seatrial abort {metadata['name']}", Tone.BAD))


def _until_report(cluster: Cluster, run: Json, deadline: float | None) -> Json:
    metadata = run["metadata"]
    for seen in follow(cluster, metadata["namespace"], metadata["name"], metadata["uid"]):
        if seen is not None and report_settled(seen):
            return seen
        if deadline is not None and time.monotonic() > deadline:
            break
    return run


def _say(stream: TextIO, text: str) -> None:
    print(text, file=stream, flush=True)
