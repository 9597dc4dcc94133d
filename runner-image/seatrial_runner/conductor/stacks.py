"""Where everything in this process stands: for whoever has to find out why a run does not go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any


def where_all_stand() -> Iterator[str]:
    """Say of each task, on a line, what it waits for: its functions from the outside to the one."""
    for task in sorted(asyncio.all_tasks(), key=lambda each: each.get_name()):
        yield f"{task.get_name()}: {' > '.join(_awaited(task.get_coro()))}"


def _awaited(coroutine: Any) -> Iterator[str]:
    """Name what is awaited one in the other; what has no code (a future, say) by its type."""
    while coroutine is not None:
        frame, code = _frame_of(coroutine)
        if code is None:
            yield type(coroutine).__name__
            return
        line = frame.f_lineno if frame is not None else code.co_firstlineno
        yield f"{code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{line})"
        coroutine = _inner(coroutine)


def _frame_of(coroutine: Any) -> tuple[FrameType | None, CodeType | None]:
    for kind in ("cr", "ag", "gi"):
        if hasattr(coroutine, f"{kind}_code"):
            return getattr(coroutine, f"{kind}_frame"), getattr(coroutine, f"{kind}_code")
    return None, None


def _inner(coroutine: Any) -> Any:
    for name in ("cr_await", "ag_await", "gi_yieldfrom"):
        if hasattr(coroutine, name):
            return getattr(coroutine, name)
    return None
