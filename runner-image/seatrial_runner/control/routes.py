"""The control interface: which request means what. See ``seatrial.api.control``."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Any

from seatrial.api.errors import FaultError

from seatrial_runner.control.carrier import Carrier
from seatrial_runner.control.ledger import Ledger
from seatrial_runner.control.orders import read_order, read_sources
from seatrial_runner.httpserver import ProblemError, Request

Json = dict[str, Any]
TakeSources = Callable[[dict[str, list[str]]], Awaitable[None]]

# Of a fault; with a suffix for each time it is repeated, if the conductor wants one.
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,98}[a-z0-9])?")


class Routes:
    """Checks the token, finds the meaning of a request, and carries it out."""

    def __init__(
        self,
        token: str,
        ledger: Ledger,
        carrier: Carrier,
        *,
        ready: Callable[[], str],
        take_sources: TakeSources | None,
    ) -> None:
        """
        Make the interface.

        Args:
            token: What a client must know.
            ledger: Has the orders.
            carrier: Is asked for its abilities.
            ready: Gives an empty text, or why it cannot serve yet.
            take_sources: Is told who is behind which address; the gateway's.
        """
        self._expected = f"Bearer {token}".encode()
        self._ledger = ledger
        self._carrier = carrier
        self._ready = ready
        self._take_sources = take_sources

    def admits(self, authorization: str) -> bool:
        """Tell whether the value of an Authorization header holds the token."""
        return hmac.compare_digest(authorization.encode(), self._expected)

    async def __call__(self, request: Request) -> Json:
        """Answer a request."""
        if (request.method, request.path) == ("GET", ("healthz",)):
            return self._health()
        if not self.admits(request.authorization):
            raise ProblemError(401, "give the token: Authorization: Bearer ...")
        try:
            return await self._answer(request)
        except ValueError as error:
            raise ProblemError(400, str(error)) from None
        except FaultError as error:
            raise ProblemError(409, str(error)) from None

    def _health(self) -> Json:
        if why := self._ready():
            raise ProblemError(503, why)
        return {"status": "ok"}

    async def _answer(self, request: Request) -> Json:
        match request.method, request.path:
            case "GET", ("v1", "faults"):
                return await self._all()
            case "DELETE", ("v1", "faults"):
                await self._ledger.delete_all()
                return await self._all()
            case method, ("v1", "faults", name):
                return await self._one(method, name, request)
            case "GET", ("v1", "abilities"):
                return {"boot": self._ledger.boot, "abilities": await self._carrier.abilities()}
            case "PUT", ("v1", "sources") if self._take_sources is not None:
                await self._take_sources(read_sources(request.json()))
                return {"boot": self._ledger.boot}
        raise _unknown(request)

    async def _one(self, method: str, name: str, request: Request) -> Json:
        if not _NAME.fullmatch(name):
            raise ProblemError(
                400, "a fault's name is 1 to 100 lower-case letters, digits, - and ."
            )
        try:
            match method:
                case "PUT":
                    return {**await self._ledger.put(name, read_order(request.json()))}
                case "DELETE":
                    return {**await self._ledger.delete(name)}
                case "GET":
                    return {**await self._ledger.report(name)}
        except KeyError:
            raise ProblemError(
                404, f"fault {name} was never ordered since this process started"
            ) from None
        raise _unknown(request)

    async def _all(self) -> Json:
        return {"boot": self._ledger.boot, "faults": await self._ledger.reports()}


def _unknown(request: Request) -> ProblemError:
    return ProblemError(404, f"there is no {request.method} /{'/'.join(request.path)[:100]}")
