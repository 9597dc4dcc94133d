"""The conductor: one process for each run; opens the gate, runs the tests, drives the faults."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Conduct the run of this namespace; give the exit status of the process."""
    from seatrial_runner.conductor.process import run_process

    return run_process(argv)


__all__ = ["main"]
