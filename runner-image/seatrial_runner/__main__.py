"""``python -m seatrial_runner COMMAND``: imports only what is asked for."""

from __future__ import annotations

import os
import sys

COMMANDS = ("conductor", "gateway", "agent", "pytest", "gate", "collect")


def main(argv: list[str]) -> int:
    """Run one command and give its exit status; 2 when there is no such command."""
    command, rest = (argv[0], argv[1:]) if argv else ("", [])
    match command:
        case "conductor":
            from seatrial_runner.conductor import main as run
        case "gateway":
            from seatrial_runner.gateway import main as run
        case "pytest":
            from seatrial_runner.runner.pytest_command import main as run
        case "gate":
            from seatrial_runner.runner.gate_command import main as run
        case "collect":
            from seatrial_runner.runner.collect_command import main as run
        case "agent":
            from seatrial_runner.agent import main as run
        case _:
            sys.stderr.write(
                f"seatrial: there is no command {command!r}; give one of: {', '.join(COMMANDS)}\n"
            )
            return 2
    return run(rest)


def leave(status: int, command: str) -> None:
    """End the process."""
    if command != "conductor":
        sys.exit(status)
    # Nothing of a conductor waits for the end of the interpreter, and to take one apart takes 12 ms
    # of a processor, at the moment when other runs start.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main(sys.argv[1:]), "".join(sys.argv[1:2]))
