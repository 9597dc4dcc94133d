"""Sends a scenario's requests, and says what went wrong when no response came of one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.request import Request
from seatrial_runner.scenario.world import World

if TYPE_CHECKING:
    import httpx

MAX_RESPONSE_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 20


@dataclass(frozen=True)
class Response:
    """What expectations see as ``response``."""

    status: int
    reason: str
    headers: dict[str, str]  # names in lower case, values of one name joined by ", "
    text: str
    json: Any  # None when the body is no JSON
    json_problem: str  # why it is none
    elapsed: timedelta  # from sending until the whole body was there
    url: str  # after redirects


class ExchangeError(Exception):
    """
    No response came; the message says why.

    ``permanent``: the request itself is wrong. ``out_of_time``: nothing came in time.
    ``answered``: one did come, and cannot be used.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        out_of_time: bool = False,
        answered: bool = False,
    ) -> None:
        self.permanent = permanent
        self.out_of_time = out_of_time
        self.answered = answered
        super().__init__(message)


class Client:
    """The HTTP client of one scenario: keeps its cookies and counts its requests. Thread-safe."""

    def __init__(self, world: World, redactor: Redactor) -> None:
        self._world = world
        self._redactor = redactor
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()
        self.requests = 0

    def send(self, request: Request, *, at_most_s: float) -> Response:
        """
        Send a request, follow redirects if it says so, and read the whole response.

        Raises:
            ExchangeError: No response came within the shorter of both times, or it cannot be read.
        """
        seconds = min(request.timeout_s, at_most_s)
        started = time.monotonic()
        try:
            return self._exchange(request, started, started + seconds)
        except ExchangeError:
            raise
        except Exception as error:
            url = rewritten(request.url, self._world.base_urls)
            raise _explained(error, url, seconds) from error

    def close(self) -> None:
        """Forget the cookies."""
        if self._client is not None:
            self._client.close()

    def _exchange(self, request: Request, started: float, deadline: float) -> Response:
        from seatrial_runner.scenario.transport import DEADLINE

        client = self._http_client()
        hop = client.build_request(
            request.method,
            rewritten(request.url, self._world.base_urls),
            headers=request.headers,
            content=request.body.encode("utf-8", "surrogateescape") or None,
            extensions={DEADLINE: deadline},
        )
        host = urlsplit(request.url).hostname or ""
        for _ in range(MAX_REDIRECTS + 1):
            self._announce(host)
            response = client.send(hop, stream=True, follow_redirects=False)
            try:
                if not (request.follow_redirects and response.next_request):
                    return self._read(response, started)
                hop = self._next(client, response.next_request, deadline)
                host = hop.url.host
            finally:
                response.close()
        raise ExchangeError(f"more than {MAX_REDIRECTS} redirects", answered=True)

    def _next(self, client: httpx.Client, hop: httpx.Request, deadline: float) -> httpx.Request:
        from seatrial_runner.scenario.transport import DEADLINE

        headers = [(k, v) for k, v in hop.headers.multi_items() if k.lower() not in _PER_HOP]
        return client.build_request(
            hop.method,
            rewritten(str(hop.url), self._world.base_urls),
            headers=headers,
            content=hop.read() or None,
            extensions={DEADLINE: deadline},
        )

    def _announce(self, host: str) -> None:
        with self._lock:
            self.requests += 1
        self._world.on_request(self._world.now(), host)

    def _read(self, response: httpx.Response, started: float) -> Response:
        # One coding makes at most a thousand bytes of one, and is read piece by piece. Of two, the
        # first piece may already be gigabytes.
        if len(response.headers.get_list("content-encoding", split_commas=True)) > 1:
            text = "the response is compressed more than once, which is not read"
            raise ExchangeError(text, answered=True)
        parts, size = [], 0
        for part in response.iter_bytes():
            size += len(part)
            if size > MAX_RESPONSE_BYTES:
                raise ExchangeError(
                    f"the response ({response.status_code}) is larger than"
                    f" {MAX_RESPONSE_BYTES // 2**20} MiB, the most a scenario reads",
                    answered=True,
                )
            parts.append(part)
        elapsed = timedelta(seconds=time.monotonic() - started)
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._redactor.learn_headers(headers)
        text = _decoded(b"".join(parts), response.charset_encoding)
        value, problem = _parsed(text)
        self._redactor.learn_json(value)
        return Response(
            response.status_code, response.reason_phrase, headers, text, value, problem, elapsed,
            str(response.url),
        )  # fmt: skip

    def _http_client(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                import httpx

                from seatrial_runner.scenario.transport import DeadlineTransport

                self._client = httpx.Client(
                    transport=DeadlineTransport(),
                    trust_env=False,
                    headers={"User-Agent": "seatrial"},
                )
            return self._client


# Made anew for every hop: the host may be another, and the client adds its own cookies.
_PER_HOP = frozenset({"host", "cookie", "content-length", "transfer-encoding"})


def rewritten(url: str, base_urls: Mapping[str, str]) -> str:
    """Put another origin in place of a URL's own; ``base_urls`` as in ``World``."""
    if not base_urls:
        return url
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    base = base_urls.get(origin) or base_urls.get(parts.hostname or "")
    if base is None:
        return url
    target = urlsplit(base)
    path = target.path.rstrip("/") + (parts.path or "/")
    return urlunsplit(parts._replace(scheme=target.scheme, netloc=target.netloc, path=path))


def _decoded(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", "replace")
    except LookupError:  # a charset that Python does not know
        return body.decode("utf-8", "replace")


def _parsed(text: str) -> tuple[Any, str]:
    if not text.strip():
        return None, "the body is empty"
    try:
        return json.loads(text, parse_constant=_no_json), ""
    except RecursionError:
        return None, "the body is nested too deeply"
    except ValueError as error:  # also an integer of more than 4300 digits
        return None, f"the body is no JSON: {error}"


def _no_json(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _explained(error: Exception, url: str, seconds: float) -> ExchangeError:
    import httpcore
    import httpx

    where = urlsplit(url)
    port = where.port or {"http": 80, "https": 443}[where.scheme]
    match error:
        case httpcore.TimeoutException():
            text = f"no complete response within {seconds:.3g} s"
            return ExchangeError(text, out_of_time=True)
        case httpcore.ConnectError():
            text = _no_connection(error, where.hostname or "", port)
        case httpcore.RemoteProtocolError() | httpcore.ReadError() | httpcore.WriteError():
            text = f"the connection broke: {_lower(str(error)) or 'closed by the other side'}"
        case httpcore.LocalProtocolError() | httpx.InvalidURL() | UnicodeError():
            text = f"it cannot be sent: {error}"
            return ExchangeError(text, permanent=True)
        case httpx.DecodingError():
            return ExchangeError(f"the response cannot be decoded: {error}", answered=True)
        case _:
            text = f"{type(error).__name__}: {error}"
    return ExchangeError(text)


def _no_connection(error: Exception, host: str, port: int) -> str:
    text = str(error)
    if "Connection refused" in text:
        return f"connection refused: nothing listens on {host}:{port}"
    if "Name or service not known" in text or "nodename nor servname" in text:
        return f"the name {host!r} does not resolve: is it a service of this run?"
    return f"no connection to {host}:{port}: {_lower(text)}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
