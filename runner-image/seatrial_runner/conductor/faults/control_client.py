"""A client of the control interface, which the gateway and the agents in pods serve."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import NoneType
from typing import Any, cast

from seatrial.api.control import FaultOrder, FaultReport
from seatrial.api.errors import FaultError, NotInjectedError

from seatrial_runner.clock import parse
from seatrial_runner.conductor.answers import read_object
from seatrial_runner.conductor.connection import Address, Connection

Json = dict[str, Any]

# An order is answered when it is in effect, an end when it is undone.
REQUEST_S = 20.0
CONNECT_S = 2.0
_PAUSE_S = 0.2
# What is read of a FaultReport, and of which types it is.
_OF_A_REPORT: dict[str, tuple[type, ...]] = {
    "state": (str,),
    "boot": (str,),
    "effective": (str, NoneType),
    "remainingS": (int, float),
    "ended": (str, NoneType),
    "endedBy": (str, NoneType),
    "why": (str,),
    "hits": (int,),
    "firstHit": (str, NoneType),
    "counts": (dict,),
}
_MOMENTS = ("effective", "ended", "firstHit")
_MOST = 2**53  # what JSON carries exactly
_MOST_COUNTS = _MOST_CHARACTERS = 64
_MOST_OF_A_SENTENCE = 1024
_MAX_ANSWER = 1024 * 1024


class UnreachableError(FaultError):
    """Nobody answers; what is in effect there ends at its own deadline."""

    reason = "FaultUnknown"


class ControlClient:
    """
    Orders faults from one place.

    Args:
        what: What it is called in sentences.
        where: Gives its address at the moment, or None while it has none.
        token: Gives what it knows us by.
    """

    def __init__(
        self,
        what: str,
        where: Callable[[], tuple[str, int] | None],
        token: Callable[[], Awaitable[str]],
    ) -> None:
        self.what = what
        self._where = where
        self._token = token

    async def put(self, name: str, order: FaultOrder, *, patience_s: float) -> FaultReport:
        """
        Put a fault into effect.

        Raises:
            NotInjectedError: It cannot be done there.
            UnreachableError: Nobody has answered; it may be in effect all the same.
        """
        status, answer = await self._insist(
            "PUT", f"/v1/faults/{name}", cast("Json", order), patience_s
        )
        if status != 200:
            raise NotInjectedError(f"{self.what} refuses: {_sentence(status, answer)}")
        return self._read(answer)

    async def report(self, name: str) -> FaultReport | None:
        """
        Say what became of a fault; None if it was never ordered since the process began.

        Raises:
            UnreachableError: Nobody answers.
        """
        status, answer = await self._once("GET", f"/v1/faults/{name}", None)
        return self._report(status, answer)

    async def delete(self, name: str, *, patience_s: float) -> FaultReport | None:
        """
        End a fault, as ``report``.

        Raises:
            UnreachableError: Nobody answers, or it may still be there.
        """
        status, answer = await self._insist("DELETE", f"/v1/faults/{name}", None, patience_s)
        return self._report(status, answer)

    def _report(self, status: int, answer: Json) -> FaultReport | None:
        if status == 404:
            return None
        if status != 200:
            raise UnreachableError(f"{self.what} answers: {_sentence(status, answer)}")
        return self._read(answer)

    def _read(self, answer: Json) -> FaultReport:
        for field, types in _OF_A_REPORT.items():
            if (
                field not in answer
                or not isinstance(answer[field], types)
                or not _is_sound(field, answer[field])
            ):
                raise UnreachableError(f"{self.what} sends what is no report: {field} is wrong")
        return cast("FaultReport", answer)

    async def put_sources(self, sources: dict[str, list[str]]) -> str:
        """
        Tell who is behind which address; give the boot that has been told.

        Raises:
            UnreachableError: Nobody answers, or it was not taken.
        """
        status, answer = await self._once("PUT", "/v1/sources", {"sources": sources})
        if status != 200:
            raise UnreachableError(f"{self.what} answers: {_sentence(status, answer)}")
        return str(answer.get("boot") or "")

    async def abilities(self, *, patience_s: float) -> dict[str, str]:
        """
        Say for each kind why it cannot be done there; empty if it can.

        Raises:
            UnreachableError: Nobody answers.
        """
        status, answer = await self._insist("GET", "/v1/abilities", None, patience_s)
        if status != 200:
            raise UnreachableError(f"{self.what} answers: {_sentence(status, answer)}")
        abilities = answer.get("abilities")
        if not isinstance(abilities, dict):
            raise UnreachableError(f"{self.what} does not say what can be done there")
        return {str(kind): str(why) for kind, why in abilities.items()}

    async def serves(self) -> bool:
        """Tell whether it is ready to take orders."""
        try:
            return (await self._once("GET", "/healthz", None))[0] == 200
        except UnreachableError:
            return False

    async def _insist(
        self, method: str, path: str, body: Json | None, patience_s: float
    ) -> tuple[int, Json]:
        """Ask until there is an answer; every request may be repeated."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + patience_s
        while True:
            try:
                status, answer = await self._once(method, path, body)
            except UnreachableError:
                if loop.time() + _PAUSE_S > give_up:
                    raise
            else:
                if status < 500 or loop.time() + _PAUSE_S > give_up:
                    return status, answer
            await asyncio.sleep(_PAUSE_S)

    async def _once(self, method: str, path: str, body: Json | None) -> tuple[int, Json]:
        where = self._where()
        if where is None:
            raise UnreachableError(f"{self.what} is not there")
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = [
            ("host", where[0]),
            ("authorization", f"Bearer {await self._token()}"),
            ("connection", "close"),
        ]
        if content:
            headers += [("content-type", "application/json"), ("content-length", f"{len(content)}")]
        try:
            async with asyncio.timeout(CONNECT_S):
                connection = await Connection.open(Address(*where, tls=None))
            try:
                async with asyncio.timeout(REQUEST_S):
                    response = await connection.send(method, path, headers, content)
                    answer = read_object(await connection.read_all(_MAX_ANSWER) or b"{}")
            finally:
                connection.close()
        except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
            why = str(error) or "out of time"
            raise UnreachableError(f"{self.what} does not answer: {why}") from error
        return response.status, answer


def _is_sound(field: str, value: Any) -> bool:
    """Tell whether a value of its type can be what it is to be: it comes into the summary."""
    if field in _MOMENTS:
        return value is None or _is_moment(value)
    if field == "counts":
        return len(value) <= _MOST_COUNTS and all(map(_is_count, value.values()))
    if field in ("hits", "remainingS"):
        return bool(0 <= value < _MOST)
    return len(str(value)) <= (_MOST_OF_A_SENTENCE if field == "why" else _MOST_CHARACTERS)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < _MOST


def _is_moment(text: str) -> bool:
    try:
        return len(text) <= _MOST_CHARACTERS and parse(text) is not None
    except ValueError:
        return False


def _sentence(status: int, answer: Json) -> str:
    return str(answer.get("error") or f"status {status}")[:_MOST_OF_A_SENTENCE]
