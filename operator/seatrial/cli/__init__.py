"""
The command line tool: ``seatrial``, and as a plugin ``kubectl seatrial``.

NB: importing this package, and with it every command's module, must stay cheap: ``--help`` and
completion import nothing but the standard library. What is heavy is imported where it is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from seatrial.api.errors import ClusterError, ForbiddenError, NotFoundError, SeatrialError
from seatrial.cli.arguments import COMMANDS, build_parser
from seatrial.cli.exits import CommandError, Exit

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Carry out a command line and give its exit status.

    Every error is one line on standard error that says what to do; a traceback is shown only when
    SEATRIAL_DEBUG is set.
    """
    options = build_parser().parse_args(arguments)
    try:
        return int(COMMANDS[options.command].run(options))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader, such as head, has had enough. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PASSED
    except Exception as error:
        if os.environ.get("SEATRIAL_DEBUG"):
            raise
        message, status = _explain(error)
        print(f"seatrial: {message}", file=sys.stderr)
        return status


def _explain(error: Exception) -> tuple[str, Exit]:
    match error:
        case CommandError():
            return str(error), error.status
        case ForbiddenError():
            return f"{error}; ask an administrator of the cluster for the right", Exit.FORBIDDEN
        case NotFoundError():
            return str(error), Exit.NOT_FOUND
        case ClusterError(status=None):
            return f"cannot reach the cluster: {error}; check the kubeconfig", Exit.UNAVAILABLE
        case ClusterError(status=int(code)) if code >= 429:
            return f"the API server cannot answer now: {error}; try again", Exit.UNAVAILABLE
        case SeatrialError():
            return str(error), Exit.REFUSED
        case _:
            kind = type(error).__name__
            text = f"{kind}: {' '.join(str(error).split())}".removesuffix(": ")
            return (
                f"a defect in Seatrial, {text}; please report it with what SEATRIAL_DEBUG=1 shows",
                Exit.INTERNAL,
            )
