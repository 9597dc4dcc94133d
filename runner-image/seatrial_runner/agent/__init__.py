"""The agent: carries out faults inside a pod, from an ephemeral container of it."""

from __future__ import annotations

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Serve until SIGTERM; give the exit status."""
    from seatrial_runner.agent.serving import main as run

    return run(argv)
