"""The gateway: one pod of a run that carries traffic of Services, and disturbs it on order."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Carry traffic; give the exit status of the process."""
    from seatrial_runner.gateway.process import run_process

    return run_process(argv)


__all__ = ["main"]
