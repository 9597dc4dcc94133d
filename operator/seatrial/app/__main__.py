"""``python -m seatrial.app``: run the operator in its pod, or with ``--kubeconfig`` outside."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys

from seatrial.app.election import LeaseLostError
from seatrial.app.logs import set_up
from seatrial.app.running import run_operator
from seatrial.app.settings import read_settings

logger = logging.getLogger("seatrial")


def main() -> int:
    """Run the operator; the result is the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m seatrial.app", description=__doc__)
    parser.add_argument("--kubeconfig", help="kubeconfig file, outside of a cluster")
    arguments = parser.parse_args()
    try:
        settings = read_settings(os.environ)
    except ValueError as error:
        parser.error(str(error))
    set_up(settings.log_level, settings.log_format)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, stop.set)
        await run_operator(settings, arguments.kubeconfig, stop)

    try:
        asyncio.run(run())
    except LeaseLostError as error:
        logger.error("ending", extra={"reason": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
