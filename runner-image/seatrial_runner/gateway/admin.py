"""Talks to the Envoy beside us, and sees when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from seatrial.api import names

from seatrial_runner.gateway.asking import Asking

_ANSWER_S = 2.0


class EnvoyError(Exception):
    """Envoy does not answer, or refuses."""


class Admin:
    """Envoy's admin interface and its switchboard."""

    def __init__(self, directory: Path, port: int) -> None:
        self._switchboard = str(directory / names.ENVOY_SWITCHBOARD)
        self._orders = Asking(lambda: asyncio.open_connection("127.0.0.1", port))
        self._worker = Asking(lambda: asyncio.open_unix_connection(self._switchboard))

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
                    await self._worker.ask("GET", "/")
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


@contextlib.asynccontextmanager
async def _answer_in(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise EnvoyError(f"Envoy did not answer within {seconds:g} s") from None
    except OSError as error:
        raise EnvoyError(f"Envoy cannot be reached: {error}") from error
