"""Everything a run with test pods needs: the desk, its HTTP interface, and the tests themselves."""

from __future__ import annotations

import base64
import logging
from typing import Any

from seatrial.api.journal import TestState
from seatrial.api.names import ACCESS_SECRET

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.desk import Desk
from seatrial_runner.conductor.direction import Direction
from seatrial_runner.conductor.ending import Come
from seatrial_runner.conductor.keepsakes import Keepsakes
from seatrial_runner.conductor.pod_tests import PodTests
from seatrial_runner.conductor.routes import Routes
from seatrial_runner.conductor.seen import PODS
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.httpserver import HttpServer

logger = logging.getLogger("seatrial.conductor")

# Runners get their last answers, and the kubelet the time to end their pods.
_LINGER_S = 10.0


class Reception:
    """Receives the test pods of a run."""

    def __init__(self, stage: Stage, direction: Direction, keepsakes: Keepsakes) -> None:
        self._stage = stage
        self._direction = direction
        self._desk = Desk(stage)
        self._tests = PodTests(stage, self._desk, direction, keepsakes)
        self._server: HttpServer | None = None

    async def open(self, port: int) -> None:
        """
        Serve the HTTP interface.

        Raises:
            ClusterError: The tokens cannot be read.
        """
        stage = self._stage
        self._desk.resume()
        path = f"/api/v1/namespaces/{stage.namespace}/secrets/{ACCESS_SECRET}"
        secret = await stage.api.get(path)
        tokens = {test: base64.b64decode(each).decode() for test, each in secret["data"].items()}
        routes = Routes(tokens, self._desk, self._direction)
        self._server = HttpServer(routes, routes.admits)
        number = await self._server.start("0.0.0.0", port)  # noqa: S104 - for the test pods
        logger.info("listening on port %d", number)

    async def run(self, test: dict[str, Any], state: TestState, *, interrupted: bool) -> Come:
        """Run a test that has pods."""
        return await self._tests.run(test, state, interrupted=interrupted)

    async def see_off(self) -> None:
        """Tell every pod that waits that it is over, and serve until the pods have ended."""
        self._desk.cancel_all()
        await self._tests.stop_all()
        deadline = self._stage.monotonic() + _LINGER_S
        while (left := deadline - self._stage.monotonic()) > 0 and not self._all_gone():
            await self._stage.seen.wait(left)

    def _all_gone(self) -> bool:
        there = self._stage.seen.all(PODS)
        return all(pods.test(pod) is None or pods.is_over(pod) for pod in there)

    async def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            await self._server.stop()
