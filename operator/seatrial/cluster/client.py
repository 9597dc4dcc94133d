"""Requests to the API server: raw JSON in, raw JSON out, errors of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import Configuration

from seatrial.api import names
from seatrial.api.errors import ClusterError, NotFoundError
from seatrial.cluster.connection import Rest, bearer_token
from seatrial.cluster.errors import LeaseNotHeldError, error_from
from seatrial.cluster.kinds import LEASE, Kind, kind_of
from seatrial.cluster.nested import read_json

Object = dict[str, Any]
# Called after each request with verb, kind, HTTP status (0: no answer) and seconds.
Observer = Callable[[str, str, int, float], None]

_TIMEOUT_S = 15.0
_AT_ONCE = 48  # requests; more would only queue up in the API server
_PAGE = 100
_ACCOUNT = kind_of("ServiceAccount")
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


def _always() -> bool:
    return True


def _ignore(verb: str, kind: str, status: int, seconds: float) -> None:
    pass


class Client:
    """
    The API server.

    NB: the typed models of the library take five to fifteen times as long as raw JSON, so only its
    connection is used.

    Args:
        config: Where it is, and who we are.
        observer: Is told of each request.
        may_write: Is asked before each write to anything but a Lease; LeaseNotHeldError if it says
            no.
    """

    def __init__(
        self,
        config: Configuration,
        observer: Observer = _ignore,
        may_write: Callable[[], bool] = _always,
    ) -> None:
        self._config = config
        self._rest = Rest(config)
        self._observer = observer
        self._may_write = may_write
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Close all connections."""
        await self._rest.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Read an object; None if it is not there."""
        try:
            return await self._request("GET", kind, kind.path(namespace, name))
        except NotFoundError:
            return None

    async def items(
        self, kind: Kind, namespace: str = "", selector: str = ""
    ) -> AsyncIterator[Object]:
        """Read the objects of a kind, page by page."""
        query = {"limit": str(_PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self._request("GET", kind, kind.path(namespace), query=query)
            for item in page["items"]:
                yield item
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def create(self, kind: Kind, body: Mapping[str, Any]) -> Object:
        """Make an object; raises AlreadyExistsError if there is one of that name."""
        path = kind.path(body["metadata"].get("namespace", ""))
        query = {"fieldManager": names.FIELD_MANAGER}
        return await self._request("POST", kind, path, body=body, query=query)

    async def apply(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        subresource: str = "",
        manager: str = names.FIELD_MANAGER,
    ) -> Object:
        """Apply an object, or its status, on the server's side; fields of ours become ours."""
        metadata = body["metadata"]
        path = kind.path(metadata.get("namespace", ""), metadata["name"], subresource)
        query = {"fieldManager": manager, "force": "true"}
        return await self._request(
            "PATCH", kind, path, body=body, query=query, content="application/apply-patch+yaml"
        )

    async def patch_if(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        metadata_only: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """
        Change an object by a JSON patch; raises InvalidObjectError where a test fails.

        Args:
            kind: Of the object.
            namespace: Where it is.
            name: Its name.
            operations: All of them are done, or nothing is.
            metadata_only: Have no more of it in the answer, as of a Secret.
            dry_run: Change nothing; the answer is as if it were changed.
        """
        return await self._request(
            "PATCH",
            kind,
            kind.path(namespace, name),
            body=operations,
            query={"dryRun": "All"} if dry_run else None,
            content="application/json-patch+json",
            accept=_METADATA if metadata_only else "application/json",
        )

    async def merge(self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any]) -> Object:
        """Change an object by a merge patch; raises ConflictError if it is another one by now."""
        content = "application/merge-patch+json"
        path = kind.path(namespace, name)
        return await self._request("PATCH", kind, path, body=body, content=content)

    async def account_token(self, namespace: str, account: str, seconds: int) -> tuple[str, int]:
        """Ask for a token of a ServiceAccount; gives it, and how many seconds it is good for."""
        path = _ACCOUNT.path(namespace, account, "token")
        spec = {"expirationSeconds": seconds}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._request("POST", _ACCOUNT, path, body=body)
        return str(answer["status"]["token"]), int(answer["spec"]["expirationSeconds"])

    async def replace(self, kind: Kind, body: Mapping[str, Any]) -> Object:
        """Write an object that was read before; raises ConflictError if it has changed since."""
        metadata = body["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        return await self._request("PUT", kind, path, body=body)

    async def delete(
        self, kind: Kind, namespace: str, name: str, uid: str, *, force: bool = False
    ) -> None:
        """Delete exactly this object; if it is gone, or another has its name, that is fine."""
        options: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        if force:
            options["gracePeriodSeconds"] = 0
        try:
            await self._request("DELETE", kind, kind.path(namespace, name), body=options)
        except ClusterError as error:
            # 409 is the precondition; a namespace that is going already answers it, too.
            if error.status not in (404, 409):
                raise

    async def _request(
        self,
        method: str,
        kind: Kind,
        path: str,
        *,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        url = f"{self._config.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": accept, "User-Agent": names.FIELD_MANAGER}
        if body is not None:
            headers["Content-Type"] = content
        if token := await bearer_token(self._config):
            headers["Authorization"] = f"Bearer {token}"
        what = f"{method} {path}"
        status, started = 0, time.monotonic()
        async with self._gate:
            if method != "GET" and kind is not LEASE and not self._may_write():
                raise LeaseNotHeldError(f"{what}: another operator may hold the Lease by now")
            try:
                response = await self._rest.request(  # type: ignore[no-untyped-call]
                    method, url, headers=headers, body=body, _request_timeout=_TIMEOUT_S
                )
                status, data = response.status, await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ClusterError(f"{what}: {type(error).__name__} {error}") from error
            finally:
                self._observer(method, kind.name, status, time.monotonic() - started)
        if status >= 400:
            raise error_from(status, data, what)
        result: Object = read_json(data)
        return result
