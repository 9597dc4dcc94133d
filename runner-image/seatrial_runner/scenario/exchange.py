"""Sends a scenario's requests, and says what went wrong when no response came of one."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
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
_LAST_PORT = 65535


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
    body: bytes
    version: str  # such as "HTTP/1.1"
    events: list[dict[str, Any]] | None = None  # of a body that was read as it came


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


# From a response whose body is yet to come, and its headers with names in lower case: the body, and
# its events if it was read as a stream.
Reader = Callable[["httpx.Response", dict[str, str]], tuple[bytes, list[dict[str, Any]] | None]]


def _whole(response: httpx.Response, headers: dict[str, str]) -> tuple[bytes, None]:
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
    return b"".join(parts), None


class Client:
    """The HTTP client of one scenario: keeps its cookies and counts its requests. Thread-safe."""

    def __init__(self, world: World, redactor: Redactor) -> None:
        self._world = world
        self._redactor = redactor
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()
        self.requests = 0

    def send(self, request: Request, *, at_most_s: float, read: Reader | None = None) -> Response:
        """
        Send a request, follow redirects if it says so, and read the response.

        Args:
            request: What to send.
            at_most_s: The shorter of this and the request's own time counts.
            read: Reads the body of the last response; default: all of it.

        Raises:
            ExchangeError: No response came in time, or it cannot be read.
        """
        seconds = min(request.timeout_s, at_most_s)
        started = time.monotonic()
        asked = [rewritten(request.url, self._world.base_urls)]
        try:
            return self._exchange(request, started, started + seconds, read or _whole, asked)
        except (ExchangeError, MemoryError):
            raise
        except Exception as error:
            explained = _explained(error, asked[-1], seconds)
            if explained is None:
                raise  # it is a defect of ours, and told as such
            if request.http2 and "broke" in str(explained):
                text = f"{explained}; http2 is asked for: does the server speak it?"
                raise ExchangeError(text) from error
            raise explained from error

    def cookie_for(self, url: str) -> str:
        """Give the header Cookie of a request that somebody else sends there; empty if none."""
        if self._client is None:
            return ""
        where = rewritten(url, self._world.base_urls)
        cookie: str = self._client.build_request("GET", where).headers.get("cookie", "")
        return cookie

    def close(self) -> None:
        """Forget the cookies."""
        if self._client is not None:
            self._client.close()

    def _exchange(
        self, request: Request, started: float, deadline: float, read: Reader, asked: list[str]
    ) -> Response:
        """Ask where ``asked`` says, and wherever that leads: each URL is added to it."""
        from seatrial_runner.scenario.transport import DEADLINE, HTTP2, TLS

        client = self._http_client()
        extensions = {DEADLINE: deadline, TLS: request.tls, HTTP2: request.http2}
        hop = client.build_request(
            request.method,
            asked[0],
            headers=request.headers,
            content=request.body or None,
            extensions=extensions,
        )
        host = urlsplit(request.url).hostname or ""
        for _ in range(MAX_REDIRECTS + 1):
            self.announce(host)
            response = client.send(hop, stream=True, follow_redirects=False)
            try:
                if not (request.follow_redirects and response.next_request):
                    return self._read(response, started, read)
                hop = self._next(client, response.next_request, extensions)
                asked.append(str(hop.url))
                host = hop.url.host
            finally:
                response.close()
        raise ExchangeError(f"more than {MAX_REDIRECTS} redirects", answered=True)

    def _next(
        self, client: httpx.Client, hop: httpx.Request, extensions: dict[str, Any]
    ) -> httpx.Request:
        if hop.url.scheme not in ("http", "https") or (hop.url.port or 80) > _LAST_PORT:
            text = f"it redirects to {str(hop.url)!r}, which is no URL to send a request to"
            raise ExchangeError(text, answered=True)
        headers = [(k, v) for k, v in hop.headers.multi_items() if k.lower() not in _PER_HOP]
        return client.build_request(
            hop.method,
            rewritten(str(hop.url), self._world.base_urls),
            headers=headers,
            content=hop.read() or None,
            extensions=extensions,
        )

    def announce(self, host: str) -> None:
        """Count a request that is about to be sent to this host, whoever sends it."""
        with self._lock:
            self.requests += 1
        self._world.on_request(self._world.now(), host)

    def _read(self, response: httpx.Response, started: float, read: Reader) -> Response:
        # One coding makes at most a thousand bytes of one, and is read piece by piece. Of two, the
        # first piece may already be gigabytes.
        if len(response.headers.get_list("content-encoding", split_commas=True)) > 1:
            text = "the response is compressed more than once, which is not read"
            raise ExchangeError(text, answered=True)
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._redactor.learn_headers(headers)
        body, events = read(response, headers)
        elapsed = timedelta(seconds=time.monotonic() - started)
        text = _decoded(body, response.charset_encoding)
        value, problem = parsed(text) if events is None else (None, "it was read as a stream")
        self._redactor.learn_json(value if events is None else events)
        return Response(
            response.status_code, response.reason_phrase, headers, text, value, problem, elapsed,
            str(response.url), body, response.http_version, events,
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


def parsed(text: str) -> tuple[Any, str]:
    """Give the JSON value of a body, and why it has none."""
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


_NO_STATUS_LINE = re.compile(r"illegal status line: (?:bytearray\()?b?(.*?)\)?$", re.DOTALL)


def _explained(error: Exception, url: str, seconds: float) -> ExchangeError | None:
    """Say why no response came; None if neither the request nor the other side is to blame."""
    import h11
    import httpcore
    import httpx

    where = urlsplit(url)
    port = where.port or {"http": 80, "https": 443}[where.scheme]
    match error:
        case httpcore.TimeoutException():
            text = f"no complete response within {seconds:.3g} s"
            return ExchangeError(text, out_of_time=True)
        case _ if problem := _of_tls(error, f"{where.hostname}:{port}"):
            text = problem
        case httpcore.ConnectError():
            text = _no_connection(error, where.hostname or "", port)
        case httpcore.RemoteProtocolError() | httpcore.ReadError() | httpcore.WriteError():
            text = f"the connection broke: {_lower(str(error)) or 'closed by the other side'}"
            if found := _NO_STATUS_LINE.search(str(error)):
                text = f"what answers at {where.hostname}:{port} is no HTTP: {found[1]}"
        case (
            httpcore.LocalProtocolError()
            | h11.LocalProtocolError()
            | httpx.InvalidURL()
            | UnicodeError()
        ):
            text = f"it cannot be sent: {error}"
            return ExchangeError(text, permanent=True)
        case ImportError():
            text = "http2 needs the extra: pip install 'seatrial[http2]'"
            return ExchangeError(text, permanent=True)
        case httpx.DecodingError():
            return ExchangeError(f"the response cannot be decoded: {error}", answered=True)
        case (
            httpcore.NetworkError()
            | httpcore.ProtocolError()
            | httpcore.ConnectionNotAvailable()
            | httpcore.UnsupportedProtocol()
            | httpx.HTTPError()
            | OSError()
        ):
            text = f"{type(error).__name__}: {error}"
        case _:
            return None
    return ExchangeError(text)


def _of_tls(error: Exception, where: str) -> str:
    """Say what is wrong with a handshake; empty if that is not it."""
    if "SSL" not in str(error) and type(error).__name__ != "TlsError":
        return ""
    from seatrial_runner.scenario.tls import TlsError, tls_problem

    return str(error) if isinstance(error, TlsError) else tls_problem(str(error), where, "http")


def _no_connection(error: Exception, host: str, port: int) -> str:
    text = str(error)
    if "Connection refused" in text:
        return f"connection refused: nothing listens on {host}:{port}"
    if "Name or service not known" in text or "nodename nor servname" in text:
        return f"the name {host!r} does not resolve: is it a service of this run?"
    return f"no connection to {host}:{port}: {_lower(text)}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
