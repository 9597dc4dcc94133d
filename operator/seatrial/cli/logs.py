"""``seatrial logs``: what the containers of a run wrote."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from seatrial.api import names
from seatrial.api.errors import ClusterError, NotFoundError
from seatrial.api.report import LogDoc
from seatrial.cli.client import Cluster, UnreachableError, connect, core_path
from seatrial.cli.exits import CommandError, Exit
from seatrial.cli.lines import printable
from seatrial.cli.lookup import find_run
from seatrial.cli.report import LOGS, condition, report_part

Json = dict[str, Any]

HELP = "print what the containers of a run wrote, live or from the report"

_NEW_PODS_S = 1.0
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
    for pod, container in _containers(cluster, _environment(run), selection):
        printed = True
        _copy(cluster, _environment(run), pod, container, follow=False)
    return printed


def _follow(cluster: Cluster, run: Json, selection: Selection) -> bool:
    """Follow each container in a thread of its own until the run has its verdict."""
    namespace = _environment(run)
    threads: dict[tuple[str, str], threading.Thread] = {}
    while not (run.get("status") or {}).get("verdict"):
        # An API server that is away for a while ends the command no more than the run.
        with suppress(UnreachableError):
            for pod, container in _containers(cluster, namespace, selection):
                if (pod, container) not in threads:
                    threads[pod, container] = _copy_in_background(
                        cluster, namespace, pod, container
                    )
            run = find_run(cluster, run["metadata"]["name"])
        time.sleep(_NEW_PODS_S)
    return bool(threads)


def _environment(run: Json) -> str:
    namespace = (run.get("status") or {}).get("namespace")
    if not namespace:
        raise CommandError(
            f"run {run['metadata']['name']} has no namespace yet, so there are no logs: it is"
            f" {(run.get('status') or {}).get('phase') or 'not taken up by an operator'}",
            Exit.NOT_FOUND,
        )
    return str(namespace)


def _containers(
    cluster: Cluster, namespace: str, selection: Selection
) -> Iterator[tuple[str, str]]:
    """Give pod and container of everything that has started."""
    for pod in cluster.get(core_path(namespace, "pods"))["items"]:
        status, metadata = pod.get("status") or {}, pod["metadata"]
        labels = metadata.get("labels") or {}
        service, test = labels.get(names.LABEL_SERVICE), labels.get(names.LABEL_TEST)
        for kind in ("initContainerStatuses", "containerStatuses"):
            for each in status.get(kind) or []:
                begun = not (each.get("state") or {}).get("waiting") or each.get("restartCount")
                if begun and selection.selects(each["name"], service, test):
                    yield metadata["name"], each["name"]


def _copy_in_background(
    cluster: Cluster, namespace: str, pod: str, container: str
) -> threading.Thread:
    thread = threading.Thread(
        target=_copy,
        args=(cluster, namespace, pod, container),
        kwargs={"follow": True},
        daemon=True,  # a container that goes on does not keep the command
    )
    thread.start()
    return thread


def _copy(cluster: Cluster, namespace: str, pod: str, container: str, *, follow: bool) -> None:
    path = f"{core_path(namespace, 'pods', pod)}/log"
    query = {"container": container, "follow": str(follow).lower()}
    try:
        for line in cluster.lines(path, quiet_s=_SILENCE_S, **query):
            _print(f"{pod}/{container}", line)
    except NotFoundError:
        return  # a fault, or the end of the run, has taken the pod away
    except ClusterError as error:
        print(f"seatrial: {pod}/{container}: {error}", file=sys.stderr)


def _print(source: str, line: str) -> None:
    # One write for a line: threads share the stream.
    sys.stdout.write(f"{source} | {printable(line)}\n")
    sys.stdout.flush()
