"""The conductor: one process for each run; opens the gate, runs the tests, drives the faults."""

from __future__ import annotations

import gc


def main(argv: list[str]) -> int:
    """Conduct the run of this namespace; give the exit status of the process."""
    # A start is mostly imports, and what they make stays: to look for garbage in it takes 7 ms of
    # the 80 that a start takes.
    gc.disable()
    try:
        from seatrial_runner.conductor.process import run_process
    finally:
        gc.freeze()
        gc.enable()
    return run_process(argv)


__all__ = ["main"]
