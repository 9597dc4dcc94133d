"""
HTTP faults, carried out by the Envoy beside the gateway.

Envoy has a route for each of them from the start (``seatrial.plan.objects.envoy``). Here they are
switched on and off, and what met them is counted. What Envoy cannot take back by itself ends here:
requests that are held up (``lanes``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.api import names
from seatrial.api.amounts import parse_quantity, parse_share
from seatrial.api.control import FaultOrder, ListenerDoc
from seatrial.api.duration import parse_duration
from seatrial.api.errors import NotInjectedError, NotRevertedError

from seatrial_runner import clock
from seatrial_runner.control.carrier import Evidence
from seatrial_runner.gateway.admin import Admin, EnvoyError
from seatrial_runner.gateway.lanes import Hold, Lanes
from seatrial_runner.gateway.requestlog import RequestLog
from seatrial_runner.gateway.switches import Switches

logger = logging.getLogger("seatrial.gateway.envoy")

_READ_EVERY_S = 0.2
_PIECE = 16 * 1024  # bytes of the log: read in less than a millisecond
_LOG_S = 1.0
# Envoy writes its lines down every 20 ms.
_LOOK_S = 0.005
# The loop waits for whole milliseconds, rounded up; the last one before a deadline is not slept.
_TICK_S = 0.001
Lost = Callable[[str], Awaitable[None]]


async def _nobody(name: str) -> None:
    """Tell nobody that a fault was lost."""


@dataclass
class _Active:
    order: str  # its name
    timer: asyncio.Handle


class Envoy:
    """
    Carries out orders of kind ``http``: ``seatrial_runner.control.Carrier`` for these.

    The name of an order is that of a declared fault, with or without a suffix after a dot.
    """

    def __init__(
        self,
        listeners: Sequence[ListenerDoc],
        faults: Sequence[str],
        *,
        lost: Lost = _nobody,
        directory: Path = Path(names.ENVOY_DIRECTORY),
        admin_port: int = names.ENVOY_ADMIN_PORT,
    ) -> None:
        """
        Make it; it does nothing before ``start``.

        Args:
            listeners: What the gateway carries.
            faults: Names of the faults that Envoy has been configured for.
            lost: Is told the name of an order that has ended early, because Envoy ended.
            directory: What it shares with Envoy.
            admin_port: Of Envoy.
        """
        self._faults = tuple(faults)
        self._lost = lost
        self._admin = Admin(directory, admin_port)
        self._switches = Switches(directory)
        self._log = RequestLog(directory)
        through = [doc for doc in listeners if doc["envoy"] is not None]
        self._lanes = {fault: Lanes(fault, through, directory) for fault in faults}
        self._active: dict[str, _Active] = {}  # by fault
        self._tasks: set[asyncio.Task[None]] = set()
        self._unread: set[str] = set()  # faults that are off, and whose last hits are not known yet
        self._is_up = False
        self._marks = 0

    async def start(self) -> None:
        """Begin, and end what a gateway before us may have left."""
        self._switches.clear()
        self._log.forget()
        self._spawn(self._watch())
        self._spawn(self._keep_reading())

    def ready(self) -> str:
        """Give an empty text, or why it cannot serve yet."""
        return "" if self._is_up else "Envoy does not answer"

    async def stop(self) -> None:
        """End everything; Envoy goes on by itself."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for fault in list(self._active):
            with contextlib.suppress(NotRevertedError):
                self._end(fault)
        self._admin.close()
        for lanes in self._lanes.values():
            await lanes.close()
        self._log.close()

    async def put(self, name: str, order: FaultOrder, deadline: float) -> None:
        """
        Put a fault into effect; see ``Carrier``.

        Raises:
            ValueError: ``params`` are not those of an ``http`` fault.
            NotInjectedError: Envoy is not there, or not configured for it.
        """
        fault = self._fault(name)
        _, hold = _read(order["params"])
        if not self._is_up:
            raise NotInjectedError("Envoy is not running; it is being started again")
        self._log.begin(fault, clock.now())
        if hold is not None:
            await self._lanes[fault].open(hold)
        self._switch_on(fault, order, name, deadline)

    async def renew(self, name: str, order: FaultOrder, deadline: float) -> None:
        """Move the deadline; see ``Carrier``."""
        fault = self._fault(name)
        if fault not in self._active:
            await self.put(name, order, deadline)
            return
        self._switch_on(fault, order, name, deadline)

    async def delete(self, name: str) -> None:
        """
        End a fault; see ``Carrier``.

        Raises:
            NotRevertedError: It is there until its deadline.
        """
        fault = self._fault(name)
        active = self._active.get(fault)
        if active is not None and active.order == name:  # or it is another order, or has ended
            self._end(fault)

    async def evidence(self, name: str) -> Evidence:
        """Give what a fault has met."""
        fault = self._fault(name)
        if fault in self._active or fault in self._unread:
            await self._read_to_now()
            self._unread.discard(fault)
        await self._read()
        return self._log.evidence(fault)

    async def abilities(self) -> dict[str, str]:
        """Say whether ``http`` faults can be carried out."""
        return {"http": self.ready()}

    def knows(self, name: str) -> bool:
        """Tell whether an order's name is that of a fault Envoy has been configured for."""
        return name.partition(".")[0] in self._faults

    def _fault(self, name: str) -> str:
        if not self.knows(name):
            raise NotInjectedError(f"Envoy has not been configured for a fault named {name}")
        return name.partition(".")[0]

    def _switch_on(self, fault: str, order: FaultOrder, name: str, deadline: float) -> None:
        try:
            self._switches.put(fault, _read(order["params"])[0], order["seed"], deadline)
        except OSError as error:
            raise NotInjectedError(f"Envoy cannot be told of {fault}: {error}") from error
        if (active := self._active.get(fault)) is not None:
            active.timer.cancel()
        # Both are time.monotonic on Linux.
        timer = asyncio.get_running_loop().call_at(deadline - _TICK_S, self._ring, fault, deadline)
        self._active[fault] = _Active(name, timer)

    def _ring(self, fault: str, deadline: float) -> None:
        if time.monotonic() < deadline:
            timer = asyncio.get_running_loop().call_soon(self._ring, fault, deadline)
            self._active[fault].timer = timer
            return
        # Envoy keeps the deadline too; and the book of orders tries again.
        with contextlib.suppress(NotRevertedError):
            self._end(fault)

    def _end(self, fault: str) -> None:
        """
        End a fault; no request meets it any more, and those that are held up go on.

        Raises:
            NotRevertedError: Envoy goes on until the deadline.
        """
        if (active := self._active.get(fault)) is None:
            return
        active.timer.cancel()
        self._lanes[fault].let_go()
        try:
            self._switches.remove(fault)
        except OSError as error:
            raise NotRevertedError(f"Envoy cannot be told of {fault}'s end: {error}") from error
        del self._active[fault]
        self._log.end(fault, clock.now())
        self._unread.add(fault)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _read_to_now(self) -> None:
        """Read what Envoy has to say of what was until now; its log is a little behind."""
        self._marks += 1
        mark = self._marks
        with contextlib.suppress(EnvoyError, TimeoutError):  # what it does not say is not known
            await self._admin.mark(mark)
            async with asyncio.timeout(_LOG_S):
                while self._log.mark < mark:
                    await asyncio.sleep(_LOOK_S)
                    await self._read()

    async def _read(self) -> None:
        """Read what there is of the log, in pieces: meanwhile the time of a fault may be up."""
        while self._log.read(_PIECE):  # noqa: ASYNC110 - it lets others go first
            await asyncio.sleep(0)

    async def _begin_anew(self) -> None:
        while not self._is_up:
            with contextlib.suppress(EnvoyError):
                await self._admin.wait_until_ready()
                await self._admin.reopen_log()  # it may write into one that is put aside
                self._is_up = True
                logger.info("Envoy serves")

    async def _watch(self) -> None:
        """Wait for Envoy, and notice when it has ended: with it every fault has, too."""
        while True:
            await self._begin_anew()
            await self._admin.wait_until_gone()
            self._is_up = False
            logger.warning("Envoy has ended", extra={"faults": sorted(self._active)})
            lost = [active.order for active in self._active.values()]
            for fault in list(self._active):  # all, before the new one can read of them
                with contextlib.suppress(NotRevertedError):
                    self._end(fault)
            for order in lost:
                await self._lost(order)

    async def _keep_reading(self) -> None:
        """Keep the log short, and what is left to read of it."""
        while True:
            await asyncio.sleep(_READ_EVERY_S)
            if not self._active and not self._unread:
                self._log.skip()
            await self._read()
            with contextlib.suppress(EnvoyError, OSError):
                self._switches.refresh()
                if self._log.shorten():
                    await self._admin.reopen_log()


def _read(params: dict[str, Any]) -> tuple[float, Hold | None]:
    """
    Read what there is to do here: the share, and how requests are held up.

    Raises:
        ValueError: The message names the field.
    """
    try:
        share = parse_share(params.get("share") or "100%")
        if (delay := params.get("delay")) is not None:
            return share, Hold(delay_s=parse_duration(delay).total_seconds())
        if (rate := params.get("rate")) is not None:
            return share, Hold(rate=float(parse_quantity(rate)))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"params: {error}") from error
    return share, None
