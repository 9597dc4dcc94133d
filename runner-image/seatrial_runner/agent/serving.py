"""The agent's process: the control interface, and the processes that bear faults."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from contextlib import suppress

from seatrial.api import names
from seatrial.api.agents import AgentDoc

from seatrial_runner.agent.bearers import Bearers
from seatrial_runner.agent.children import go_first
from seatrial_runner.agent.fault import Surroundings
from seatrial_runner.agent.kernel import adopt_orphans
from seatrial_runner.agent.network import node_addresses
from seatrial_runner.agent.processes import Container
from seatrial_runner.control import ControlServer

logger = logging.getLogger("seatrial.agent")


def main(argv: list[str]) -> int:
    """
    Serve until SIGTERM.

    Returns:
        The exit status: 0 after SIGTERM with every fault undone, 2 for a bad environment.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        doc: AgentDoc = json.loads(os.environ[names.ENV_AGENT])
        token = os.environ[names.ENV_CONTROL_TOKEN]
        container = Container(doc["container"], doc["containerId"])
        declared = list(doc["declared"])
    except (KeyError, TypeError, ValueError) as error:
        sys.stderr.write(f"seatrial: {names.ENV_AGENT} or its token is missing: {error!r}\n")
        return 2
    with suppress(PermissionError):  # we lead a session already
        os.setsid()  # what belongs to us is known by it, see processes.Container
    adopt_orphans()
    go_first()
    nodes = tuple(node_addresses(os.environ.get(names.ENV_NODE_IP, "")))
    return asyncio.run(_serve(Bearers(Surroundings(container, nodes), declared), token))


async def _serve(bearers: Bearers, token: str) -> int:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGCHLD, bearers.reap)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    server = ControlServer(bearers, token)
    bearers.tell_lost = server.lost
    await server.start_on(_listening())
    logger.info("the agent serves, boot %s", server.boot)
    await over.wait()
    try:
        await server.end_all()
    finally:
        await server.stop()
    return 0


def _listening() -> socket.socket:
    """
    Listen on all addresses of the pod, of both families where the kernel has both.

    NB: not by a host's name: asyncio would ask for it in a thread, and a process with threads must
    not fork.
    """
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", names.AGENT_PORT), family=socket.AF_INET6, dualstack_ipv6=True
        )
    return socket.create_server(("", names.AGENT_PORT))
