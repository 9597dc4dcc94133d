"""``gate``: an init container that holds back the user's container until its turn has come."""

from __future__ import annotations

import signal
import sys

from seatrial_runner.runner import exit_status
from seatrial_runner.runner.conductor_api import ConductorApi, ConductorError
from seatrial_runner.runner.gate import CancelledError, wait_for_turn
from seatrial_runner.runner.settings import MissingSettingError, Settings


def main(argv: list[str]) -> int:
    """Block until the gate is open; 75 when it never will be, so that nothing else starts."""
    if argv:
        sys.stderr.write("seatrial gate: takes no arguments\n")
        return exit_status.MISUSED
    # As PID 1 of its container this process would ignore a signal it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(exit_status.CANCELLED))
    try:
        settings = Settings().require()
        api = ConductorApi(settings.url, settings.token)
        wait_for_turn(api, settings.test, settings.shard)
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
