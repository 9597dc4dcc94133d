"""The conductor's HTTP interface: which request means what. See the architecture page."""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping
from typing import Any

from seatrial.api.errors import SeatrialError

from seatrial_runner.clock import parse
from seatrial_runner.conductor.desk import Desk
from seatrial_runner.conductor.direction import Orders
from seatrial_runner.httpserver import ProblemError, Request

Json = dict[str, Any]

_MAX_REQUESTS = 10_000


class Routes:
    """
    Checks the token, finds the meaning of a request, and carries it out.

    A token is of one test, which speaks for itself alone: none can falsify what another has found.
    """

    def __init__(self, tokens: Mapping[str, str], desk: Desk, faults: Orders) -> None:
        """``tokens`` go by the name of their test."""
        self._expected = {test: f"Bearer {token}".encode() for test, token in tokens.items()}
        self._desk = desk
        self._faults = faults

    def admits(self, authorization: str) -> bool:
        """Tell whether the value of an Authorization header holds a token."""
        return self._asking(authorization) is not None

    def _asking(self, authorization: str) -> str | None:
        """Name the test whose token this is. Every one is compared: time tells nothing of them."""
        given = authorization.encode()
        fitting = [
            test
            for test, expected in self._expected.items()
            if hmac.compare_digest(given, expected)
        ]
        return fitting[0] if fitting else None

    async def __call__(self, request: Request) -> Json:
        """Answer a request."""
        if (request.method, request.path) == ("GET", ("healthz",)):
            return {"status": "ok"}
        asking = self._asking(request.authorization)
        if asking is None:
            raise ProblemError(401, "give the token: Authorization: Bearer $SEATRIAL_TOKEN")
        match request.method, request.path:
            case "GET", ("v1", "gate"):
                query = request.query
                shard, wait = _integer(query, "shard"), _seconds(query, "wait")
                test = self._own(asking, query.get("test", ""))
                return await self._desk.gate(test, shard, wait)
            case "POST", ("v1", "tests", test, "results"):
                return self._desk.results(self._own(asking, test), request.json())
            case "POST", ("v1", "tests", test, "finished"):
                return await self._desk.finished(self._own(asking, test), request.json())
            case "POST", ("v1", "tests", test, "junit"):
                file = request.query.get("file", "")
                return self._desk.junit(self._own(asking, test), file, request.body)
            case "POST", ("v1", "tests", test, "collected"):
                return await self._desk.collected(self._own(asking, test), request.json())
            case "POST", ("v1", "requests"):
                return await self._requests(asking, request.json())
            case "GET", ("v1", "faults", name):
                return self._fault(name)
            case "POST", ("v1", "faults", name, ("start" | "stop") as what):
                return await self._order(asking, name, what, request)
        raise ProblemError(404, f"there is no {request.method} /{'/'.join(request.path)[:100]}")

    def _own(self, asking: str, test: str) -> str:
        self._desk.turn(test)
        if test != asking:
            raise ProblemError(
                403, f"this token is of test {asking}: it cannot speak for test {test}"
            )
        return test

    def _fault(self, name: str) -> Json:
        fault = self._faults.fault(name)
        if fault is None:
            raise ProblemError(404, f"there is no fault {name[:60]!r} in this run")
        return fault

    async def _order(self, asking: str, name: str, what: str, request: Request) -> Json:
        self._fault(name)
        test = self._own(asking, request.query.get("test") or asking)
        try:
            if what == "start":
                return await self._faults.start(name, test=test)
            state = await self._faults.stop(name)
            if request.query.get("recovered") == "true":
                state = await self._faults.recovered(name)
            return state
        except SeatrialError as error:
            raise ProblemError(409, str(error)) from None

    async def _requests(self, asking: str, body: Json) -> Json:
        requests = body.get("requests")
        if not isinstance(requests, list) or len(requests) > _MAX_REQUESTS:
            raise ProblemError(400, f"requests must be a list of at most {_MAX_REQUESTS}")
        try:
            met = [(parse(str(each["at"])), str(each["host"])[:253]) for each in requests]
        except (KeyError, TypeError, ValueError):
            raise ProblemError(400, "each request needs at (RFC 3339) and host") from None
        for at, host in met:
            self._faults.met(at, host, test=asking)
        await self._faults.keep_proof()
        return {"accepted": len(met)}


def _integer(query: dict[str, str], name: str) -> int:
    try:
        return int(query.get(name) or "0")
    except ValueError:
        raise ProblemError(400, f"{name} must be a whole number") from None


def _seconds(query: dict[str, str], name: str) -> float:
    try:
        value = float(query.get(name) or "0")
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ProblemError(400, f"{name} must be a number of seconds")
    return value
