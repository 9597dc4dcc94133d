"""Processes of conductors that die: what they have opened answers them no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from seatrial_runner.conductor.connection import Address, Connection, Response
from seatrial_runner.conductor.faults import control_client

from tests.support.mortal_client import MortalClient

# Whose task it is: tasks that it makes inherit it.
PROCESS: ContextVar[MortalClient | None] = ContextVar("process", default=None)


class MortalConnection(Connection):
    """A connection to the gateway or an agent; an order is a write, like one to the API server."""

    @classmethod
    async def open(cls, address: Address) -> Connection:
        process = PROCESS.get()
        if process is not None:
            await process.alive()
        return await super().open(address)

    async def send(
        self, method: str, target: str, headers: list[tuple[str, str]], content: bytes
    ) -> Response:
        process = PROCESS.get()

        async def write() -> Any:
            return await Connection.send(self, method, target, headers, content)

        if process is None or method == "GET" or not target.startswith("/v1/faults"):
            response: Response = await write()
        else:
            response = await process.write(write)
        return response


@contextmanager
def mortal_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(control_client, "Connection", MortalConnection)
        yield
