"""
Writes the reference of the command line: ``python -m seatrial.cli.reference``.

With ``--check`` it only says whether the page is as it would be written; for CI.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from seatrial.cli.arguments import COMMANDS, add_cluster_arguments
from seatrial.cli.exits import Exit

PAGE = Path("docs/reference/cli.md")

_HEAD = """\
# The command line tool

Generated from operator/seatrial/cli; `make generate` writes it.

`pip install .`, in a checkout, installs it as `seatrial`, and as `kubectl seatrial`.
On a terminal it shows a run as it goes; elsewhere it prints a line with the time for each change.
Errors are one line on standard error.
"""

_VARIABLES = """\
## Environment variables

| variable | meaning |
| --- | --- |
| `KUBECONFIG` | kubeconfig files, as for kubectl |
| `NO_COLOR` | if set, no colours on a terminal |
| `SEATRIAL_DEBUG` | if set, a defect is shown with its traceback |
"""


def page() -> str:
    """Give the page, from the parsers of the commands."""
    return "\n".join([_HEAD, *_commands(), *_cluster(), *_statuses(), _VARIABLES])


def _commands() -> Iterator[str]:
    for name, command in COMMANDS.items():
        parser = argparse.ArgumentParser(add_help=False)
        command.add_arguments(parser)
        places = [_place(action) for action in parser._actions if not action.option_strings]
        usage = " ".join(["seatrial", name, *places, "[option...]"])
        yield f"## seatrial {name}\n\n{_sentence(command.HELP)}\n\n```console\n$ {usage}\n```\n"
        yield from _table(parser)


def _cluster() -> Iterator[str]:
    parser = argparse.ArgumentParser(add_help=False)
    add_cluster_arguments(parser, default=None)
    yield "## Options of every command\n\nThey may stand before the command or after it.\n"
    yield from _table(parser)


def _statuses() -> Iterator[str]:
    rows = "".join(f"| {status.value} | {status.meaning} |\n" for status in Exit)
    yield "## Exit statuses\n\nEvery verdict has one of its own."
    yield f"Those from 64 to 77 follow sysexits.h.\n\n| status | meaning |\n| --- | --- |\n{rows}"


def _table(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = "".join(f"| `{_names(each)}` | {each.help} |\n" for each in parser._actions)
    if rows:
        yield f"| argument | meaning |\n| --- | --- |\n{rows}"


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return _place(action)
    value = ""
    if action.choices is not None:
        value = " " + "\\|".join(map(str, action.choices))
    elif action.nargs == "?":
        value = f" [{_metavar(action)}]"
    elif action.nargs != 0:
        value = f" {_metavar(action)}"
    return ", ".join(action.option_strings) + value


def _place(action: argparse.Action) -> str:
    return {"+": "{}...", "?": "[{}]"}.get(str(action.nargs), "{}").format(_metavar(action))


def _metavar(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or compare it; 1 if it is out of date."""
    parser = argparse.ArgumentParser(prog="python -m seatrial.cli.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    options = parser.parse_args(arguments)
    current = PAGE.is_file() and PAGE.read_text() == page()
    if not current and options.check:
        sys.stderr.write(f"{PAGE} is out of date, run `make generate`\n")
        return 1
    if not current:
        PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
