"""``gate``: an init container that holds back the user's container until its turn has come."""

from __future__ import annotations

import os
import signal
import sys
import time

from seatrial_runner.runner import exit_status
from seatrial_runner.runner.conductor_api import ConductorApi, ConductorError
from seatrial_runner.runner.gate import CancelledError, wait_for_turn
from seatrial_runner.runner.settings import MissingSettingError, Settings

# In the directory of the results; put there by ``collect`` when a signal is not lost on it.
READY_MARK = ".seatrial-collector-is-ready"
LOOK_AGAIN_S = 0.02
COLLECTOR_S = 60.0


def main(argv: list[str]) -> int:
    """
    Block until the gate is open; 75 when it never will be, so that nothing else starts.

    With ``--collector DIRECTORY`` also until the sidecar there is ready for its signal: a test may
    take less time than Python to start.
    """
    if argv and (len(argv) != 2 or argv[0] != "--collector"):
        sys.stderr.write("seatrial gate: takes no arguments but --collector DIRECTORY\n")
        return exit_status.MISUSED
    # As PID 1 of its container this process would ignore a signal it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(exit_status.CANCELLED))
    try:
        settings = Settings().require()
        api = ConductorApi(settings.url, settings.token)
        wait_for_turn(api, settings.test, settings.shard)
        if argv:
            wait_for_collector(argv[1])
    except CancelledError as error:
        sys.stderr.write(f"seatrial gate: {error}\n")
        return exit_status.CANCELLED
    except ConductorError as error:
        sys.stderr.write(f"seatrial gate: {error}\n")
        return exit_status.REFUSED
    except (MissingSettingError, ValueError) as error:
        sys.stderr.write(f"seatrial gate: {error}\n")
        return exit_status.MISUSED
    return 0


def wait_for_collector(directory: str) -> None:
    """Block until the sidecar has put its mark, and take that away; nobody else shall see it."""
    mark = os.path.join(directory, READY_MARK)
    give_up = time.monotonic() + COLLECTOR_S
    while not os.path.exists(mark):
        if time.monotonic() > give_up:
            sys.stderr.write("seatrial gate: the collector has not come; the test goes on\n")
            return
        time.sleep(LOOK_AGAIN_S)
    os.unlink(mark)
