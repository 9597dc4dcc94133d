"""A run's namespace as one conductor's process sees it, until that process is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, cast

from seatrial_runner.conductor.apiserver import ApiServer

from tests.support.run_namespace import Object, RunNamespace
from tests.support.virtual_time import loop


class MortalClient:
    """
    The namespace as one conductor's process sees it, until that process is killed.

    Args:
        namespace: Outlives it.
        dies_at: The number of the write at which it dies, from 1.
        after: Whether that write still takes effect.
    """

    def __init__(self, namespace: RunNamespace, *, dies_at: int, after: bool) -> None:
        self._namespace = namespace
        self._dies_at = dies_at
        self._after = after
        self._writes = 0
        self.died = asyncio.Event()

    @property
    def api(self) -> ApiServer:
        return cast("ApiServer", self)

    @property
    def time(self) -> datetime:
        return loop().now()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        await self.alive()
        return await self._namespace.get(path, query)

    async def text(self, *args: Any, **more: Any) -> str:
        await self.alive()
        return await self._namespace.text(*args, **more)

    async def post(self, *args: Any, **more: Any) -> Object:
        return await self.write(lambda: self._namespace.post(*args, **more))

    async def patch(self, *args: Any, **more: Any) -> Object:
        return await self.write(lambda: self._namespace.patch(*args, **more))

    async def delete(self, *args: Any) -> Object:
        return await self.write(lambda: self._namespace.delete(*args))

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Object]:
        async for event in self._namespace.watch(path, query):
            await self.alive()
            yield event

    def close(self) -> None:
        pass

    async def alive(self) -> None:
        if self.died.is_set():
            await asyncio.Event().wait()  # a dead process gets no answer, for ever

    async def write(self, write: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Make a write, unless the process dies before it; it may die after it."""
        await self.alive()
        self._writes += 1
        if self._writes < self._dies_at:
            return await write()
        if self._after:
            await write()
        self.died.set()
        await self.alive()
        raise AssertionError("unreachable")
