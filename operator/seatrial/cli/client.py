"""The API server, as the command line tool sees it: raw JSON in and out, errors of our own tree."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from seatrial.api import names
from seatrial.api.errors import ClusterError, ConflictError, ForbiddenError, NotFoundError
from seatrial.cli.exits import CommandError, Exit
from seatrial.cli.kubeconfig import Access, read_kubeconfig, short

if TYPE_CHECKING:
    import argparse

    import urllib3

Json = dict[str, Any]

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
# A watch that is silent for so long is opened again, and its reader gets to look at the clock.
QUIET_WATCH_S = 5
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


class UnreachableError(ClusterError):
    """The API server did not answer, or asked to come back later."""


class RefusedError(ClusterError):
    """The API server read the request and said no (400, 409, 410, 413, 422)."""


class Cluster:
    """
    One API server, with the identity and the namespace of a kubeconfig's context.

    Args:
        access: How to get in.
        renew: Finds that out again, once what was found is no longer accepted: tokens of clouds
            expire within the hour.
        namespace: In place of the context's.
    """

    def __init__(
        self, access: Access, renew: Callable[[], Access], namespace: str | None = None
    ) -> None:
        self.host = access.host
        self.namespace = namespace or access.namespace
        self._access = access
        self._renew = renew
        self._renewing = threading.Lock()

    def get(self, path: str, **query: object) -> Json:
        """Read an object or a list."""
        return self._json("GET", path, query=query)

    def create(self, path: str, body: Json, **query: object) -> Json:
        """Create an object; ``path`` is that of its list."""
        return self._json("POST", path, body=body, query=query)

    def apply(self, path: str, body: Json, **query: object) -> Json:
        """Create or change an object by server-side apply; what the file says wins."""
        query = {"fieldManager": "seatrial-cli", "force": "true", **query}
        return self._json(
            "PATCH", path, body=body, query=query, content="application/apply-patch+yaml"
        )

    def merge(self, path: str, body: Json) -> Json:
        """Change fields of an object."""
        return self._json("PATCH", path, body=body, content="application/merge-patch+json")

    def delete(self, path: str, uid: str) -> None:
        """Delete this very object, not another of the same name."""
        self._json("DELETE", path, body={"preconditions": {"uid": uid}})

    def watch(
        self, path: str, *, quiet_s: float = QUIET_WATCH_S, **query: object
    ) -> Iterator[Json]:
        """Give the events of a watch until it is silent for ``quiet_s`` or ends."""
        query = {"watch": "true", "timeoutSeconds": 300, **query}
        for line in self.lines(path, quiet_s=quiet_s, **query):
            event: Json = json.loads(line)
            if event.get("type") == "ERROR":
                raise _error(event["object"].get("code", 500), event["object"], path)
            yield event

    def lines(self, path: str, *, quiet_s: float, **query: object) -> Iterator[str]:
        """
        Give the lines of an answer as they come, until it ends or is silent for ``quiet_s``.

        Raises:
            ClusterError: As every request.
        """
        import urllib3.exceptions

        response = self._request("GET", path, query=query, read_s=quiet_s)
        rest = b""
        try:
            for chunk in response.stream(None):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole if line)
        except urllib3.exceptions.ReadTimeoutError:
            return
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(f"{self.host}: {short(error)}") from error
        finally:
            response.close()
        if rest:
            yield rest.decode(errors="replace")

    def _json(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, object] | None = None,
        content: str = "application/json",
    ) -> Json:
        import urllib3.exceptions

        response = self._request(method, path, body=body, query=query or {}, content=content)
        try:
            answer: Json = json.loads(response.read())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(f"{self.host}: {short(error)}") from error
        except ValueError:
            raise CommandError(
                f"{self.host} is no Kubernetes API server: check the kubeconfig", Exit.UNAVAILABLE
            ) from None
        return answer

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object],
        body: Json | None = None,
        content: str = "application/json",
        read_s: float = READ_TIMEOUT_S,
    ) -> urllib3.BaseHTTPResponse:
        import urllib3
        import urllib3.exceptions

        def send(access: Access) -> urllib3.BaseHTTPResponse:
            return access.pool.request(
                method,
                f"{self.host}{path}" + (f"?{urlencode(query)}" if query else ""),
                body=None if body is None else json.dumps(body).encode(),
                headers={**access.headers, "Content-Type": content},
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_s),
                preload_content=False,
                retries=False,
                redirect=False,
            )

        access = self._access
        try:
            response = send(access)
            if response.status == 401:
                response.read()
                response = send(self._renewed(access))
            if response.status < 300:
                return response
            text = response.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(f"{self.host}: {short(error)}") from error
        raise _error(response.status, _status(text), path)

    def _renewed(self, refused: Access) -> Access:
        """Give an access that was found after this one; threads ask for one together."""
        with self._renewing:
            if self._access is refused:
                self._access = self._renew()
            return self._access


def connect(options: argparse.Namespace) -> Cluster:
    """
    Connect as kubectl would: ``--kubeconfig`` or ``KUBECONFIG``, ``--context``, ``-n``.

    Raises:
        CommandError: There is no usable kubeconfig, or no such context in it.
    """
    access = read_kubeconfig(options.kubeconfig, options.context)
    # By name: meanwhile another context may become the current one.
    return Cluster(
        access, lambda: read_kubeconfig(options.kubeconfig, access.context), options.namespace
    )


def runs_path(namespace: str, name: str = "") -> str:
    """Give the path of a namespace's runs, or of one of them."""
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}"
    return f"{path}/{name}" if name else path


def core_path(namespace: str, plural: str, name: str = "") -> str:
    """Give the path of a kind of the core group, or of one object of it."""
    path = f"/api/v1/namespaces/{namespace}/{plural}"
    return f"{path}/{name}" if name else path


def _status(text: bytes) -> Json:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"message": text[:200].decode(errors="replace")}


def _error(code: int, status: Json, path: str) -> ClusterError | CommandError:
    message = " ".join(str(status.get("message") or f"HTTP status {code}").split())
    if code == 401:
        return CommandError(
            "the API server does not accept your credentials: log in again, or choose another"
            " context with --context",
            Exit.UNAVAILABLE,
        )
    if code == 403:
        return ForbiddenError(message, status=code)
    if code == 404:
        # Without details the path itself is unknown, which means that the CRD is not installed.
        if names.GROUP in path and not status.get("details"):
            return CommandError(
                f"the cluster has no {names.KIND}: install Seatrial with its Helm chart",
                Exit.UNAVAILABLE,
            )
        return NotFoundError(message, status=code)
    if code == 409 and status.get("reason") != "AlreadyExists":
        return ConflictError(message, status=code)
    if code in _RETRIED:
        return UnreachableError(message, status=code)
    return RefusedError(message, status=code)
