"""
Requests to the API server, one connection each, without threads or an event loop.

``http.client``, because it is there already: a step asks a few times a second at most.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from seatrial.api.errors import lacks_a_right

from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.world import ClusterStepError

if TYPE_CHECKING:
    import ssl

Json = dict[str, Any]

MAX_BODY = 16 * 1024 * 1024
# One request is waited for no longer, and then made again while there is time.
_ATTEMPT_S = 15.0
_SHORT_S = 1.0
_MAX_LINE = 256 * 1024
# A right may come late: the binding was made a moment ago, or an API server that has just come back
# has not read its rules yet.
_RIGHTS_PATIENCE_S = 5.0
_PAUSE_S = 0.2
_PASSING = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Access:
    """Where the API server is, and what it knows us by."""

    url: str
    tls: ssl.SSLContext | None
    headers: Callable[[], Mapping[str, str]]  # with Authorization


class ApiError(ClusterStepError):
    """The API server refused, or did not answer; ``status`` is 0 then."""

    def __init__(self, message: str, status: int, *, out_of_time: bool = False) -> None:
        self.status = status
        passing = status == 0 or status in _PASSING or status in (404, 409)
        super().__init__(message, permanent=not passing, out_of_time=out_of_time)


class Api:
    """One API server. Thread-safe: nothing is kept between requests."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._place = urlsplit(access.url).netloc

    def json(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """Send a request, again while the API server is away and there is time; give the answer."""
        content = None if body is None else json.dumps(body).encode()
        text = self._patiently(method, target(path, query), content, content_type, seconds)
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self.no_answer_of_kubernetes(method, path, text.decode("utf-8", "replace"))
        return answer

    def no_answer_of_kubernetes(self, method: str, path: str, text: str) -> ApiError:
        """Give the error of an answer that no API server gives: something else is there."""
        return ApiError(
            f"{method} {path}: what answers at {self._place} is no API server of Kubernetes:"
            f" {cut(' '.join(text.split()), 100)!r}",
            0,
        )

    def text(self, path: str, *, seconds: float, query: Mapping[str, str]) -> str:
        """Read what is no JSON; bytes that are no UTF-8 are replaced."""
        return self._patiently("GET", target(path, query), None, "", seconds).decode(
            "utf-8", "replace"
        )

    def stream(self, path: str, *, query: Mapping[str, str]) -> Stream:
        """
        Begin to read lines as they come.

        Raises:
            ApiError: It was refused, or nothing answered.
        """
        connection = self._connection(_ATTEMPT_S)
        where = target(path, query)
        try:
            connection.request("GET", where, headers=dict(self.access.headers()))
            response = connection.getresponse()
            if response.status >= 400:
                body = response.read(MAX_BODY)
                raise ApiError(_refusal("GET", where, response.status, body), response.status)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unanswered("GET", where, error) from error
        except ApiError:
            connection.close()
            raise
        # Nobody knows when the next line comes.
        if connection.sock is not None:
            connection.sock.settimeout(None)
        return Stream(connection, response)

    def _patiently(
        self, method: str, path: str, content: bytes | None, content_type: str, seconds: float
    ) -> bytes:
        began = time.monotonic()
        why: ApiError | None = None
        while True:
            left = began + seconds - time.monotonic()
            if why is not None and left <= 0:  # the pause was longer than it should be
                raise why
            try:
                return self._once(method, path, content, content_type, min(left, _ATTEMPT_S))
            except ApiError as error:
                if why is not None and error.out_of_time and left < _SHORT_S:
                    raise why from error  # with so little time left, no answer says nothing
                why = error
                patience = _patience(error, seconds)
                if time.monotonic() + _PAUSE_S > began + patience:
                    raise
            time.sleep(_PAUSE_S)

    def _once(
        self, method: str, path: str, content: bytes | None, content_type: str, seconds: float
    ) -> bytes:
        bare = path.partition("?")[0]
        if seconds <= 0:
            raise ApiError(f"{method} {bare}: there was no time left", 0, out_of_time=True)
        connection = self._connection(seconds)
        headers = {"Accept": "application/json", **self.access.headers()}
        if content is not None:
            headers["Content-Type"] = content_type
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            body = response.read(MAX_BODY + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._unanswered(method, bare, error) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise ApiError(_refusal(method, path, response.status, body), response.status)
        if len(body) > MAX_BODY:
            text = f"{method} {bare}: the answer is larger than {MAX_BODY // 2**20} MiB"
            raise ClusterStepError(text, permanent=True)
        return body

    def _unanswered(self, method: str, path: str, error: Exception) -> ApiError:
        match error:
            case TimeoutError():
                text = f"no answer in time from the API server at {self._place}"
                return ApiError(f"{method} {path}: {text}", 0, out_of_time=True)
            case http.client.RemoteDisconnected():
                text = f"the API server at {self._place} closed the connection"
            case http.client.BadStatusLine():
                return self.no_answer_of_kubernetes(method, path, str(error))
            case ConnectionRefusedError():
                text = f"connection refused: no API server listens on {self._place}"
            case _:
                text = f"no answer from the API server at {self._place}: {error}"
        return ApiError(f"{method} {path}: {text}", 0)

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        where = urlsplit(self.access.url)
        host = where.hostname or ""
        if where.scheme == "https":
            return http.client.HTTPSConnection(
                host, where.port or 443, timeout=seconds, context=self.access.tls
            )
        return http.client.HTTPConnection(host, where.port or 80, timeout=seconds)


class Stream:
    """Lines of an answer that goes on; ends when it is closed, from whatever thread."""

    def __init__(
        self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> None:
        self._sock = connection.sock
        self._connection = connection
        self._response = response

    def __iter__(self) -> Iterator[str]:
        """Give the lines; one that is cut off by the end is given too."""
        try:
            while line := self._response.readline(_MAX_LINE):
                yield line.decode("utf-8", "replace").rstrip("\r\n")
        except (http.client.HTTPException, ValueError):  # ended in the middle, or closed meanwhile
            return
        finally:
            self._connection.close()

    def close(self) -> None:
        """End it: whoever waits for a line gets none."""
        if self._sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


def target(path: str, query: Mapping[str, str] | None) -> str:
    """Write a path with its query."""
    return quote(path) + (f"?{urlencode(query)}" if query else "")


def message_of(body: bytes) -> str:
    """Give the message of an API server's refusal."""
    try:
        return cut(str(json.loads(body)["message"]), 2048)
    except (ValueError, KeyError, TypeError):
        return cut(body.decode("utf-8", "replace"), 2048)


def _patience(error: ApiError, seconds: float) -> float:
    if error.status == 0 or error.status in _PASSING:
        return seconds
    late_right = error.status == 403 and lacks_a_right(str(error))
    return min(seconds, _RIGHTS_PATIENCE_S) if late_right else 0.0


def _refusal(method: str, path: str, status: int, body: bytes) -> str:
    return f"{method} {path.partition('?')[0]}: {status} {message_of(body)}"
