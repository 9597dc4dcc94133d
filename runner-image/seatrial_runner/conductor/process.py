"""The conductor's process: environment, event loop, signals, exit status."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from time import monotonic

from seatrial.api.errors import SeatrialError, SpecError

from seatrial_runner import clock
from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.conducting import conduct
from seatrial_runner.conductor.contention import patience_s
from seatrial_runner.conductor.settings import Settings
from seatrial_runner.journal import FencedError

logger = logging.getLogger("seatrial.conductor")

_REPLACED = 75  # EX_TEMPFAIL of sysexits.h


def run_process(argv: list[str]) -> int:
    """
    Conduct the run; give the exit status.

    0 means that nothing is left to do. Anything else makes the kubelet start it anew, and it
    resumes: also one that a newer one has replaced. That is mostly one of a pod that is gone, which
    no kubelet starts again; but a pod that was deleted by force may begin after its successor, and
    then the one that is replaced is the only one to stay.
    """
    # NB: only ours at INFO: httpx would write every URL, with whatever secret is in it.
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("seatrial").setLevel(logging.INFO)
    if argv:
        sys.stderr.write(f"seatrial conductor: takes no arguments, but was given: {argv[0]}\n")
        return 2
    try:
        settings = Settings.from_environ(os.environ)
        return asyncio.run(_conduct(settings))
    except FencedError as error:
        logger.warning("conductor replaced: %s", error)
        return _REPLACED
    except SpecError as error:
        logger.error("conductor cannot start: %s", error)
        return 2
    except SeatrialError as error:
        logger.error("conductor failed: %s", error)
        return 1


async def _conduct(settings: Settings) -> int:
    api = ApiServer(settings.address(), settings.bearer(monotonic))
    work = asyncio.create_task(
        conduct(
            api,
            settings.namespace,
            port=settings.port,
            now=clock.now,
            monotonic=monotonic,
            patience_s=patience_s,
        )
    )
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        work.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGUSR1, _say_where_all_stand)
    try:
        await work
    except asyncio.CancelledError:
        if not stopped:
            raise
        logger.info("conductor stopped by SIGTERM")
        return 128 + signal.SIGTERM
    finally:
        api.close()
    return 0


def _say_where_all_stand() -> None:
    from seatrial_runner.conductor.stacks import where_all_stand

    for line in where_all_stand():
        logger.info("task %s", line)
