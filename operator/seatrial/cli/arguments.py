"""The command line: which commands there are, and what all of them take."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Never, Protocol

from seatrial.cli import abort, junit, list_runs, logs, messages, run, show, validate, version
from seatrial.cli.exits import OF_VERDICT, Exit


class Command(Protocol):
    """What a command's module has."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command line."""

    def run(self, options: argparse.Namespace) -> int:
        """Carry the command out, and give the exit status."""


COMMANDS: Mapping[str, Command] = {
    "run": run,
    "validate": validate,
    "show": show,
    "list": list_runs,
    "logs": logs,
    "messages": messages,
    "junit": junit,
    "abort": abort,
    "version": version,
}


# What ends with the status of the run's verdict.
_JUDGING = (run, show)
_STATUSES = (
    "exit status of a verdict: "
    + ", ".join(f"{status:d} {verdict}" for verdict, status in OF_VERDICT.items())
    + f"; 64 and above: there is no verdict, such as {Exit.TIMED_OUT:d} if a time is over"
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        """End with one line, and a status that no verdict has."""
        self.exit(Exit.USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line; ``command`` of its result is in ``COMMANDS``."""
    plugin = os.path.basename(sys.argv[0]).startswith("kubectl-")
    parser = _Parser(
        prog="kubectl seatrial" if plugin else "seatrial",
        description="Integration tests on Kubernetes, under fault, with a verdict and its proof.",
    )
    add_cluster_arguments(parser, default=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        each = commands.add_parser(
            name,
            help=command.HELP,
            description=f"{command.HELP}.",
            epilog=_STATUSES if command in _JUDGING else None,
        )
        command.add_arguments(each)
        # Not given after the command: what stands before it, or its default, holds.
        add_cluster_arguments(each, default=argparse.SUPPRESS)
    return parser


def add_cluster_arguments(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Declare what says which cluster, as kubectl has it; ``default`` is what is not given."""
    group = parser.add_argument_group("cluster")
    for flags, metavar, meaning in (
        (("-n", "--namespace"), "NAMESPACE", "namespace (default: that of the context)"),
        (("--context",), "CONTEXT", "context of the kubeconfig (default: the current one)"),
        (("--kubeconfig",), "FILE", "kubeconfig (default: as kubectl)"),
    ):
        group.add_argument(*flags, metavar=metavar, default=default, help=meaning)
