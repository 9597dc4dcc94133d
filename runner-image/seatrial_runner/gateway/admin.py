"""Talks to the Envoy beside us: switches runtime keys, and sees when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from seatrial.api import names

from seatrial_runner.gateway.asking import Asking

_ANSWER_S = 2.0
# A switch has reached Envoy's worker within its next loop; while that is overloaded, later.
_SEEN_S = 2.0
_LOOK_S = 0.001
# Percent. NB: a filter of the access log asks by the same key, and reads a whole number only.
_FULL = "100"


class EnvoyError(Exception):
    """Envoy does not answer, or refuses."""


class Admin:
    """Envoy's admin interface and its switchboard."""

    def __init__(self, directory: Path, port: int) -> None:
        self._switchboard = str(directory / names.ENVOY_SWITCHBOARD)
        self._orders = Asking(lambda: asyncio.open_connection("127.0.0.1", port))
        self._worker = Asking(lambda: asyncio.open_unix_connection(self._switchboard))
        # Two orders to Envoy are carried out in no order if the second does not wait.
        self._ordering = asyncio.Lock()

    async def switch(
        self, shares: Mapping[str, float], *, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """
        Say which share of requests meets each fault; 0 ends it.

        On return Envoy's worker has seen it: the next request meets it, or does not. Unless it was
        not wanted any more, and others have said so: a fault may be over before it is seen.

        Raises:
            EnvoyError: It may, or may not, have seen it.
        """
        if not shares:
            return
        values: dict[str, str] = {}
        for fault, share in shares.items():
            part = {"numerator": round(share * 1_000_000), "denominator": "MILLION"}
            values[names.envoy_key(fault)] = json.dumps(part) if share else ""
            values[names.envoy_probe_key(fault)] = _FULL if share else ""
        target = "/runtime_modify?" + "&".join(f"{k}={quote(v)}" for k, v in values.items())
        async with self._ordering:
            await self._post(target)
        last, share = list(shares.items())[-1]  # they are seen together
        async with _answer_in(_SEEN_S):
            while wanted() and await self._is_on(last) is not (share > 0):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)

    async def mark(self, number: int) -> None:
        """
        Have a line written into the access log, after all that are about what was before.

        Raises:
            EnvoyError: It may, or may not, be written.
        """
        async with _answer_in(_ANSWER_S):
            await self._worker.ask("GET", f"{names.ENVOY_MARK}{number}")

    async def wait_until_ready(self) -> None:
        """Wait until it serves; it begins to when it knows the addresses of all Services."""
        while True:
            with contextlib.suppress(EnvoyError):
                async with _answer_in(_ANSWER_S):
                    await self._is_on("none")
                return
            await asyncio.sleep(0.02)

    async def wait_until_gone(self) -> None:
        """Wait until the Envoy that answers now has ended, however it did."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(self._switchboard)
            with contextlib.closing(writer):
                while await reader.read(4096):
                    pass

    def close(self) -> None:
        """Close the connections to it."""
        self._orders.close()
        self._worker.close()

    async def reopen_log(self) -> None:
        """
        Make it open its access log again.

        Raises:
            EnvoyError: It did not.
        """
        await self._post("/reopen_logs")

    async def _post(self, target: str) -> None:
        async with _answer_in(_ANSWER_S):
            status = await self._orders.ask("POST", target)
        if status != 200:
            raise EnvoyError(f"Envoy answers {status} to {target[:40]}")

    async def _is_on(self, fault: str) -> bool:
        return await self._worker.ask("GET", f"/{fault}") == 200


@contextlib.asynccontextmanager
async def _answer_in(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise EnvoyError(f"Envoy did not answer within {seconds:g} s") from None
    except OSError as error:
        raise EnvoyError(f"Envoy cannot be reached: {error}") from error
