"""``seatrial logs``: what the containers of a run wrote."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from seatrial.api import names
from seatrial.api.errors import ClusterError, NotFoundError, SeatrialError
from seatrial.api.report import LogDoc
from seatrial.cli.client import Cluster, UnreachableError, connect, core_path
from seatrial.cli.exits import CommandError, Exit
from seatrial.cli.lines import printable
from seatrial.cli.lookup import find_run
from seatrial.cli.report import LOGS, condition, report_part

Json = dict[str, Any]

HELP = "print what the containers of a run wrote, live or from the report"

_NEW_PODS_S = 1.0
_LAST_WORDS_S = 1.0  # after the verdict; services go on
_SILENCE_S = 3600.0


@dataclass(frozen=True)
class Selection:
    """Which containers; empty texts select all."""

    service: str
    test: str
    container: str

    def selects(self, container: str, service: str | None, test: str | None) -> bool:
        """Say whether a container of a pod of this service or test is wanted."""
        return (
            self.container in ("", container)
            and self.service in ("", service)
            and self.test in ("", test)
        )


@dataclass(frozen=True)
class Started:
    """A container that has started, for the first or another time."""

    pod: str
    container: str
    restarts: int
    running: bool = field(compare=False)

    @property
    def source(self) -> str:
        """What stands before each of its lines."""
        return f"{self.pod}/{self.container}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("name", metavar="NAME", help="the run")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-s", "--service", default="", help="only of this service")
    which.add_argument("-t", "--test", default="", help="only of this test's pods")
    parser.add_argument("-c", "--container", default="", help="only of containers of this name")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on until the run has its verdict"
    )


def run(options: argparse.Namespace) -> int:
    """Carry the command out."""
    cluster = connect(options)
    found = find_run(cluster, options.name)
    selection = Selection(options.service, options.test, options.container)
    if condition(found, "ReportAvailable").get("status") == "True":
        printed = _print_report(cluster, found, selection)
    elif options.follow and not (found.get("status") or {}).get("verdict"):
        printed = _follow(cluster, found, selection)
    else:
        printed = _print_live(cluster, found, selection)
    if not printed:
        raise CommandError(
            f"run {options.name} has no log that matches: see its services and tests with seatrial"
            f" show {options.name} -n {cluster.namespace}",
            Exit.NOT_FOUND,
        )
    return Exit.PASSED


def _print_report(cluster: Cluster, run: Json, selection: Selection) -> bool:
    logs: list[LogDoc] = json.loads(report_part(cluster, run, LOGS))
    printed = False
    for log in logs:
        if selection.selects(log["container"], log["service"], log["test"]):
            printed = True
            previous = " (previous)" if log["previous"] else ""
            for line in log["text"].splitlines():
                _print(f"{log['pod']}/{log['container']}{previous}", line)
    return printed


def _print_live(cluster: Cluster, run: Json, selection: Selection) -> bool:
    printed = False
    for each in _containers(cluster, _environment(run), selection):
        printed = True
        _copy(cluster, _environment(run), each)
    return printed


def _follow(cluster: Cluster, run: Json, selection: Selection) -> bool:
    """Follow each container, a restarted one again, in a thread until the run has its verdict."""
    namespace = _environment(run)
    followers: dict[Started, _Follower] = {}
    while not (run.get("status") or {}).get("verdict"):
        # An API server that is away for a while ends the command no more than the run.
        with suppress(UnreachableError):
            for each in _containers(cluster, namespace, selection):
                if each not in followers:
                    followers[each] = _Follower(cluster, namespace, each)
                    followers[each].go_on()
                elif each.running:
                    followers[each].go_on()
            run = find_run(cluster, run["metadata"]["name"])
        time.sleep(_NEW_PODS_S)
    give_up = time.monotonic() + _LAST_WORDS_S
    for follower in followers.values():
        follower.finish(give_up - time.monotonic())
    return bool(followers)


def _environment(run: Json) -> str:
    namespace = (run.get("status") or {}).get("namespace")
    if not namespace:
        raise CommandError(
            f"run {run['metadata']['name']} has no namespace yet, so there are no logs: it is"
            f" {(run.get('status') or {}).get('phase') or 'not taken up by an operator'}",
            Exit.NOT_FOUND,
        )
    return str(namespace)


def _containers(cluster: Cluster, namespace: str, selection: Selection) -> Iterator[Started]:
    """Give everything that has started."""
    for pod in cluster.get(core_path(namespace, "pods"))["items"]:
        status, metadata = pod.get("status") or {}, pod["metadata"]
        labels = metadata.get("labels") or {}
        service, test = labels.get(names.LABEL_SERVICE), labels.get(names.LABEL_TEST)
        for kind in ("initContainerStatuses", "containerStatuses"):
            for each in status.get(kind) or []:
                begun = not (each.get("state") or {}).get("waiting") or each.get("restartCount")
                if begun and selection.selects(each["name"], service, test):
                    restarts = int(each.get("restartCount") or 0)
                    running = "running" in (each.get("state") or {})
                    yield Started(metadata["name"], each["name"], restarts, running)


class _Follower:
    """Prints what a container writes, in a thread; after an outage, from where that began."""

    def __init__(self, cluster: Cluster, namespace: str, started: Started) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._started = started
        self._last = ""  # the time of the line that was printed last
        self._thread: threading.Thread | None = None

    def go_on(self) -> None:
        """See that it is at work; the API server may have ended it."""
        if self._thread is None or not self._thread.is_alive():
            # A container that goes on does not keep the command: a daemon.
            self._thread = threading.Thread(target=self._follow, daemon=True)
            self._thread.start()

    def finish(self, within_s: float) -> None:
        """Wait for the end of what is being printed."""
        if self._thread is not None:
            self._thread.join(max(within_s, 0.0))

    def _follow(self) -> None:
        printed = self._last
        lines = _lines(self._cluster, self._namespace, self._started, follow=True, since=printed)
        try:
            for line in lines:
                at, _, text = line.partition(" ")
                if at > printed:  # all of one length, so that they compare as text
                    self._last = at
                    _print(self._started.source, text)
        except UnreachableError:
            return  # until it is back
        except SeatrialError as error:
            _tell(self._started, error)


def _copy(cluster: Cluster, namespace: str, started: Started) -> None:
    try:
        for line in _lines(cluster, namespace, started, follow=False):
            _print(started.source, line)
    except ClusterError as error:
        _tell(started, error)


def _lines(
    cluster: Cluster, namespace: str, started: Started, *, follow: bool, since: str = ""
) -> Iterator[str]:
    query = {"container": started.container, "follow": str(follow).lower()}
    query |= {"timestamps": "true"} if follow else {}
    query |= {"sinceTime": since} if since else {}
    path = f"{core_path(namespace, 'pods', started.pod)}/log"
    return cluster.lines(path, quiet_s=_SILENCE_S, **query)


def _tell(started: Started, error: SeatrialError) -> None:
    if isinstance(error, NotFoundError):
        return  # a fault, or the end of the run, has taken the pod away
    print(f"seatrial: {started.source}: {error}", file=sys.stderr)


def _print(source: str, line: str) -> None:
    # One write for a line: threads share the stream.
    sys.stdout.write(f"{source} | {printable(line)}\n")
    sys.stdout.flush()
