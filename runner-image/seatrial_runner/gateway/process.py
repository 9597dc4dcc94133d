"""The gateway's processes: the first one, the controller and the workers."""

from __future__ import annotations

import logging
import os
import socket
import sys

from seatrial.api.errors import SpecError

from seatrial_runner.gateway.board import Board
from seatrial_runner.gateway.listener import bind
from seatrial_runner.gateway.messages import pair
from seatrial_runner.gateway.settings import Settings
from seatrial_runner.gateway.supervisor import Child, supervise
from seatrial_runner.gateway.switches import Switches
from seatrial_runner.gateway.worker import run_worker

logger = logging.getLogger("seatrial.gateway")

_CONTROL_BACKLOG = 128


def run_process(argv: list[str]) -> int:
    """Carry traffic until SIGTERM; give the exit status."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("seatrial").setLevel(logging.INFO)
    if argv:
        sys.stderr.write(f"seatrial gateway: takes no arguments, but was given: {argv[0]}\n")
        return 2
    try:
        settings = Settings.from_environ(os.environ)
    except SpecError as error:
        logger.error("the gateway cannot start: %s", error)
        return 2
    try:
        sockets = [bind(listener["listen"]) for listener in settings.doc["listeners"]]
        control = bind(settings.control_port)
        # From now on: while a controller is replaced, orders wait for its successor.
        control.listen(_CONTROL_BACKLOG)
    except OSError as error:
        logger.error("the gateway cannot have its ports: %s", error)
        return 1
    return supervise(_children(settings, sockets, control))


def _children(
    settings: Settings, sockets: list[socket.socket], control: socket.socket
) -> list[Child]:
    board = Board(settings.workers)
    channels = [pair() for _ in range(settings.workers)]
    ours = [mine for mine, _ in channels]
    children = [Child("controller", lambda: _run_controller(settings, control, ours, board))]
    for number, (_, theirs) in enumerate(channels):
        children.append(
            Child(
                f"worker-{number}",
                lambda number=number, theirs=theirs: run_worker(  # type: ignore[misc]
                    settings.doc, sockets, theirs, board, number, settings.token
                ),
                died=lambda number=number: board.leave(number),  # type: ignore[misc]
            )
        )
    return children


def _run_controller(
    settings: Settings, control: socket.socket, channels: list[socket.socket], board: Board
) -> int:
    # What a controller before this one has left on. Before the imports, which take their time.
    Switches(settings.envoy_directory).clear()

    # Imported here, by the only process that needs it: the others stay small.

    import asyncio

    from seatrial_runner.control import ControlServer
    from seatrial_runner.gateway.controller import Controller, serve
    from seatrial_runner.gateway.http_faults import HttpFaults, NoHttpFaults

    async def run() -> None:
        async def lost(name: str) -> None:
            await server.lost(name)

        http: HttpFaults = NoHttpFaults()
        if settings.doc["httpFaults"]:
            from seatrial_runner.gateway.envoy import Envoy

            http = Envoy(
                settings.doc["listeners"],
                settings.doc["httpFaults"],
                lost=lost,
                directory=settings.envoy_directory,
                admin_port=settings.envoy_admin_port,
            )
        controller = Controller(settings.doc, channels, board, http)
        server = ControlServer(
            controller, settings.token, ready=controller.ready, take_sources=controller.take_sources
        )
        await serve(controller, server, control)

    asyncio.run(run())
    return 0
