"""The conductor's HTTP interface, from the side of the test pods. Standard library alone."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

PATIENCE_S = 120.0  # a conductor whose node is lost is back well within that
FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 2.0


class ConductorError(Exception):
    """The conductor refused: asking again would not help. ``status`` is that of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class ConductorUnavailableError(Exception):
    """The conductor does not answer, now or for as long as one was willing to wait."""


class ConductorApi:
    """
    Asks the conductor; each request over a connection of its own, so threads may share it.

    Args:
        url: Such as ``http://seatrial-conductor:7777``.
        token: For the Authorization header.
        sleep: Waits that many seconds.
        monotonic: Clock of patience, in seconds.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url!r} is no conductor's URL: write http://host:port")
        self._host, self._port = parts.hostname, parts.port or 80
        self._token = token
        self._sleep = sleep
        self._monotonic = monotonic

    def ask(
        self, method: str, path: str, body: bytes | Any = None, *, timeout_s: float = 35.0
    ) -> dict[str, Any]:
        """
        Ask once.

        Args:
            method: GET or POST.
            path: With its query, each part quoted.
            body: Bytes as they are, anything else as JSON.
            timeout_s: Longest silence.

        Raises:
            ConductorError: It said no (4xx).
            ConductorUnavailableError: It did not answer, or is not well (5xx).
        """
        raw = isinstance(body, bytes)
        content = body if raw or body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Connection": "close"}
        if content is not None:
            headers["Content-Type"] = "application/xml" if raw else "application/json"
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            connection.request(method, path, body=content, headers=headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ConductorUnavailableError(
                f"the conductor at {self.url} does not answer: {str(error) or type(error).__name__}"
            ) from error
        finally:
            connection.close()
        return _answer(response.status, text, f"{method} {path.partition('?')[0]}")

    def insist(
        self,
        method: str,
        path: str,
        body: bytes | Any = None,
        *,
        timeout_s: float = 35.0,
        patience_s: float = PATIENCE_S,
    ) -> dict[str, Any]:
        """
        Ask until there is an answer: the conductor may be restarted at any time.

        Only for what may be asked twice. Pauses grow from 0.05 s to 2 s.

        Raises:
            ConductorError: It said no.
            ConductorUnavailableError: ``patience_s`` is over.
        """
        end = self._monotonic() + patience_s
        pause = FIRST_PAUSE_S
        while True:
            try:
                return self.ask(method, path, body, timeout_s=timeout_s)
            except ConductorUnavailableError as error:
                if self._monotonic() + pause >= end:
                    raise ConductorUnavailableError(f"{error}, for {patience_s:g} s") from error
            # Twenty pods that wait for one conductor should not come all at the same moment.
            self._sleep(pause * (0.7 + 0.3 * os.urandom(1)[0] / 255))
            pause = min(pause * 2, LAST_PAUSE_S)


def test_path(test: str, rest: str) -> str:
    """Give ``/v1/tests/NAME/...``."""
    return f"/v1/tests/{quote(test, safe='')}/{rest}"


def fault_path(fault: str, rest: str = "") -> str:
    """Give ``/v1/faults/NAME`` or what is below it."""
    return f"/v1/faults/{quote(fault, safe='')}" + (f"/{rest}" if rest else "")


def _answer(status: int, text: bytes, request: str) -> dict[str, Any]:
    try:
        answer = json.loads(text) if text.strip() else {}
    except ValueError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    if status < 300:
        return answer
    reason = answer.get("error") or text[:200].decode(errors="replace") or "no reason given"
    if 400 <= status < 500:
        raise ConductorError(f"{request}: {reason}", status)
    raise ConductorUnavailableError(f"the conductor answered {status} to {request}: {reason}")
