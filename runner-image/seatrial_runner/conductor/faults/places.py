"""Where faults are ordered: the gateway, and the agents in pods."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

from seatrial.api.errors import ClusterError
from seatrial.api.names import COMPONENT_GATEWAY, GATEWAY, GATEWAY_PORT, TOKEN_KEY

from seatrial_runner.conductor import pods
from seatrial_runner.conductor.faults.control_client import ControlClient, UnreachableError
from seatrial_runner.conductor.faults.looking import Spot, look_around
from seatrial_runner.conductor.faults.sources import address, component_pods, sources_of
from seatrial_runner.conductor.stage import Stage

logger = logging.getLogger("seatrial.conductor")

_LOOK_AGAIN_S = 1.0
_AGAIN_S = 0.5
# At a port where nothing comes back: one may fail by chance, and each holds a fault up.
_MOST_LOOKS = 2


class GatewayPlace:
    """The gateway: one for the run; it has to know who is behind which address."""

    def __init__(self, stage: Stage, *, port: int = GATEWAY_PORT) -> None:
        self._stage = stage
        self._port = port
        self._secret = ""
        self._told: tuple[str, dict[str, list[str]]] | None = None  # boot, and what it was told
        self._telling = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._looks: Counter[tuple[str, int]] = Counter()
        self._echoing: set[tuple[str, int]] = set()
        self.client = ControlClient("the gateway", self._where, self.token)

    async def ready(self, *, within_s: float) -> None:
        """
        Return when it takes orders and knows the sources as they are now.

        Raises:
            UnreachableError: It does not within that time.
        """
        give_up = self._stage.monotonic() + within_s
        while True:
            try:
                await self.tell()
                return
            except UnreachableError:
                if self._stage.monotonic() + _AGAIN_S > give_up:
                    raise
            await asyncio.sleep(_AGAIN_S)

    async def tell(self) -> None:
        """
        Tell it who is behind which address, whether or not it knows.

        A gateway that has been restarted knows nothing any more.

        Raises:
            UnreachableError: It does not answer.
        """
        async with self._telling:
            sources = sources_of(self._stage.run["services"], self._stage.seen)
            boot = await self.client.put_sources(sources)
            self._told = (boot, sources)

    async def keep_told(self) -> NoReturn:
        """Tell it whenever a pod has come or gone; for ever."""
        stage = self._stage
        while True:
            sources = sources_of(stage.run["services"], stage.seen)
            if self._told is not None and self._told[1] != sources:
                try:
                    await self.tell()
                except UnreachableError as error:
                    logger.info("sources not told: %s", error)
                    await asyncio.sleep(_AGAIN_S)
                    continue
            await stage.seen.wait(_LOOK_AGAIN_S)

    async def look_around(self, spots: Sequence[Spot]) -> None:
        """
        Find out at which spots a probe comes back while no fault is there.

        Which Service has which port is not known here; and what is not seen now cannot vanish.
        """
        if not self._unknown(spots):
            return
        # One after another: whoever did not wait for a look would order its fault in the midst.
        async with self._looking:
            unknown = self._unknown(spots)
            self._echoing |= await look_around(unknown, await self.token())
            self._looks.update({(spot.host, spot.port) for spot in unknown})

    def _unknown(self, spots: Sequence[Spot]) -> list[Spot]:
        return [
            spot
            for spot in spots
            if not self.echoes(spot) and self._looks[spot.host, spot.port] < _MOST_LOOKS
        ]

    def echoes(self, spot: Spot) -> bool:
        """Tell whether a probe came back from there."""
        return (spot.host, spot.port) in self._echoing

    def _where(self) -> tuple[str, int] | None:
        """
        Give the address of its pod.

        NB: not the name of its Service. To resolve one would start a thread, and we fork.
        """
        for pod in component_pods(self._stage.seen, COMPONENT_GATEWAY):
            found = address(pod)
            if found is not None and not pods.is_going(pod) and not pods.is_over(pod):
                return found, self._port
        return None

    async def token(self) -> str:
        """
        Give what it knows us by.

        Raises:
            UnreachableError: The Secret cannot be read.
        """
        if not self._secret:
            path = f"/api/v1/namespaces/{self._stage.namespace}/secrets/{GATEWAY}"
            try:
                secret = await self._stage.api.get(path)
                self._secret = base64.b64decode(secret["data"][TOKEN_KEY]).decode()
            except (ClusterError, KeyError, ValueError) as error:
                raise UnreachableError(f"the gateway's token cannot be read: {error}") from error
        return self._secret
