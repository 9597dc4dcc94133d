"""The processes that bear faults, as the agent sees them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import Any

from seatrial.api.control import FaultOrder
from seatrial.api.errors import NotInjectedError

from seatrial_runner import clock
from seatrial_runner.agent import abilities, children
from seatrial_runner.agent.bearing import MESSAGE, bear
from seatrial_runner.agent.fault import Surroundings, fault_of
from seatrial_runner.control import Evidence

_BEGIN_S = 20.0
_ANSWER_S = 1.0
_ANSWERS = {"renew": "renewed", "tell": "told", "end": "ended"}
# Ended faults whose evidence can still be asked for; the ledger keeps as many.
_KEPT = 1000


class Bearer:
    """One process that bears a fault."""

    def __init__(self, order: FaultOrder, around: Surroundings, deadline: float) -> None:
        """Start it."""
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link.setblocking(False)
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.tally: dict[str, Any] = {}
        self.why = ""  # it ended before its time
        self.ended = asyncio.Event()
        self.expected = False  # its end has been told, or asked for
        self._deadline = deadline
        self._asking = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        with theirs:
            self.pid = children.start(
                lambda: bear(lambda: fault_of(order, around), theirs, deadline)
            )
        self._loop.add_reader(self._link, self._hear)

    async def begun(self) -> None:
        """
        Wait until the fault is in effect.

        Raises:
            ValueError: The order makes no sense.
            NotInjectedError: It cannot be done here.
        """
        try:
            answer = await asyncio.wait_for(self._answers.get(), _BEGIN_S)
        except TimeoutError:
            raise NotInjectedError(f"it was not in effect after {_BEGIN_S:g} s") from None
        if answer["say"] == "refused":
            raise (ValueError if answer["wrong"] else NotInjectedError)(answer["why"])
        if answer["say"] != "begun":
            raise NotInjectedError(
                "its time was over before it was in effect"
                if monotonic() >= self._deadline
                else "the process that was to bear it has ended"
            )

    async def ask(self, **order: Any) -> bool:
        """Send an order, and wait until it is carried out; False if that cannot be had any more."""
        async with self._asking:
            if self.ended.is_set():
                return False
            try:
                self._link.send(json.dumps(order).encode())
                async with asyncio.timeout(_ANSWER_S):
                    while True:
                        said = (await self._answers.get())["say"]
                        if said in ("ended", "gone"):
                            return bool(order["do"] == "end")
                        if said == _ANSWERS[order["do"]]:
                            return True
            except (OSError, TimeoutError):
                return False

    async def end(self) -> None:
        """End it: by asking, else by force, which undoes the fault as well."""
        self.expected = True
        await self.ask(do="end")
        if not self.ended.is_set():  # NB: else its number may be another's by now
            os.kill(self.pid, signal.SIGKILL)
        await self.ended.wait()

    def reaped(self) -> None:
        """Note that the process has ended."""
        self._hear()
        with suppress(ValueError):
            self._loop.remove_reader(self._link)
        self._link.close()
        self.ended.set()
        self._answers.put_nowait({"say": "gone"})

    def _hear(self) -> None:
        while True:
            try:
                data = self._link.recv(MESSAGE)
            except OSError:
                return
            if not data:
                with suppress(ValueError):
                    self._loop.remove_reader(self._link)
                return
            message = json.loads(data)
            self.tally = message.get("tally", self.tally)
            self.why = message.get("why", self.why)
            self.expected = self.expected or message["say"] in ("ended", "refused")
            if message["say"] != "tally":
                self._answers.put_nowait(message)


class Bearers:
    """Carries faults out, each in a process of its own (``control.Carrier``)."""

    def __init__(self, around: Surroundings, declared: list[Any]) -> None:
        self._around = around
        self._declared = declared
        self._bearers: dict[str, Bearer] = {}
        self._telling: set[asyncio.Task[None]] = set()
        # Is told which fault has ended before its time.
        self.tell_lost: Callable[[str], Coroutine[Any, Any, None]] | None = None

    async def put(self, name: str, order: FaultOrder, deadline: float) -> None:
        """Put a fault into effect."""
        if name in self._bearers:
            await self._bearers.pop(name).end()
        self._forget_old()
        bearer = self._bearers[name] = Bearer(order, self._around, deadline)
        try:
            await bearer.begun()
        except BaseException:
            await asyncio.shield(bearer.end())
            raise

    async def renew(self, name: str, order: FaultOrder, deadline: float) -> None:
        """Move its end; if its process is gone, begin again."""
        bearer = self._bearers.get(name)
        if (
            bearer is None
            or bearer.ended.is_set()
            or not await bearer.ask(do="renew", deadline=deadline)
        ):
            await self.put(name, order, deadline)

    async def delete(self, name: str) -> None:
        """End it."""
        if bearer := self._bearers.get(name):
            await bearer.end()

    async def evidence(self, name: str) -> Evidence:
        """Give what it has met."""
        bearer = self._bearers.get(name)
        if bearer is None:
            return Evidence()
        await bearer.ask(do="tell")
        tally = bearer.tally
        return Evidence(
            hits=tally.get("hits", 0),
            first_hit=_moment(tally.get("firstHit")),
            last_hit=_moment(tally.get("lastHit")),
            effective=_moment(tally.get("effective")),
            counts=tally.get("counts", {}),
            why=bearer.why,
        )

    async def abilities(self) -> dict[str, str]:
        """Give each kind with why it cannot be done here, if so."""
        return await abilities.ask(self._around, self._declared)

    def reap(self) -> None:
        """Take leave of every process that has ended: ours, and those that ours left behind."""
        by_pid = {bearer.pid: (name, bearer) for name, bearer in self._bearers.items()}
        for pid in children.ended():
            if pid not in by_pid:
                continue
            name, bearer = by_pid[pid]
            bearer.reaped()
            if not bearer.expected and self.tell_lost is not None:
                task = asyncio.get_running_loop().create_task(self.tell_lost(name))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)

    def _forget_old(self) -> None:
        over = [name for name, bearer in self._bearers.items() if bearer.ended.is_set()]
        for name in over[:-_KEPT]:
            del self._bearers[name]


def _moment(text: str | None) -> datetime | None:
    return clock.parse(text) if text else None
