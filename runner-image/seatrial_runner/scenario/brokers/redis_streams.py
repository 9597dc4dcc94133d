"""
Streams of Redis, by redis-py.

A subscription reads from the last entry it found; or, as one more consumer of a group, what the
group has not been given yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from seatrial_runner.scenario.brokers.dead_letters import by_headers
from seatrial_runner.scenario.brokers.interface import (
    CONNECT_S,
    Arrived,
    BrokerError,
    Outgoing,
    Place,
    Receiver,
    address,
    because,
    credentials,
    end,
    pauses,
)
from seatrial_runner.scenario.stores.redis_client import check_parameters

_MOST = 1000  # entries asked for at once
_BLOCK_MS = 1000
_BEGINNING, _NEW = b"0", b">"
_ERRORS = (RedisError, OSError)


class RedisStreams:
    """``redis://[USER]:[PASSWORD]@HOST:PORT/DB``, ``rediss://``."""

    def __init__(self, url: str, secure: ssl.SSLContext | None = None) -> None:
        self._url = url
        # NB: of rediss:// redis-py makes connections of its own, whatever it is told.
        self._reached = url.replace("rediss://", "redis://", 1) if secure else url
        self._secure: dict[str, Any] = {"connection_class": _over(secure)} if secure else {}
        self._shown = f"Redis at {address(url)}"
        self._client: Redis = self._connect()
        self._tasks: list[asyncio.Task[None]] = []
        self._clients: list[Redis] = []
        self._groups: list[tuple[Redis, Place, str]] = []

    async def start(self) -> None:
        """See that it answers, and takes the credentials."""
        try:
            await self._client.ping()
        except _ERRORS as error:
            raise self._why(error) from error

    async def subscribe(self, place: Place, receiver: Receiver) -> None:
        """Begin to read a stream; one that does not exist yet, from its beginning."""
        client = self._connect()
        self._clients.append(client)
        reader: _Reader
        try:
            if place.group:
                reader = await self._member(client, place, receiver)
            else:
                last = "0-0" if place.earlier else await self._last_id(place.stream, receiver)
                reader = _Reader(client, self._shown, place, receiver, last)
        except _ERRORS as error:
            raise self._why(error, place.stream) from error
        self._tasks.append(asyncio.get_running_loop().create_task(reader.follow()))

    async def publish(self, place: Place, messages: Sequence[Outgoing]) -> None:
        """Add entries: the body in one field, headers in fields of their own."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for message in messages:
                    fields: dict[Any, Any] = {**message.headers, place.field: message.body}
                    pipeline.xadd(place.stream, fields)
                await pipeline.execute()
        except _ERRORS as error:
            raise self._why(error, place.stream) from error

    async def backlog(self, place: Place) -> int:
        """Count what a group has not been given of a stream, or has not acknowledged."""
        if not (place.stream and place.group):
            raise BrokerError(f"{self._shown}: say stream and group, not {place}", permanent=True)
        try:
            groups = await self._client.xinfo_groups(place.stream)
        except _ERRORS as error:
            raise self._why(error, place.stream) from error
        for each in groups:
            if each["name"].decode() == place.group:
                if each.get("lag") is None:  # before 7.0, and after entries were deleted
                    text = f"{self._shown} does not know how far group {place.group!r} has come"
                    raise BrokerError(f"{text} in stream {place.stream}", permanent=True)
                return int(each["lag"]) + int(each["pending"])
        raise BrokerError(f"{self._shown}: stream {place.stream} has no group {place.group!r}")

    async def close(self) -> None:
        """Disconnect."""
        await end(self._tasks)
        for client, place, consumer in self._groups:
            # One that has entries it did not acknowledge stays, and so do they.
            with contextlib.suppress(*_ERRORS):
                await client.xgroup_delconsumer(place.stream, place.group, consumer)
        for client in (*self._clients, self._client):
            with contextlib.suppress(*_ERRORS):
                await client.aclose()

    def _connect(self) -> Redis:
        client = Redis.from_url(
            self._reached,
            socket_connect_timeout=CONNECT_S / 2,
            # A read that blocks takes longer than others.
            socket_timeout=_BLOCK_MS / 1000 + 5,
            client_name="seatrial",
            **self._secure,
        )
        check_parameters(client.connection_pool)
        return client

    async def _last_id(self, stream: str, receiver: Receiver) -> str:
        try:
            info = await self._client.xinfo_stream(stream)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            receiver.waiting(f"{self._shown} has no stream {stream!r} yet")
            return "0-0"
        last = info["last-generated-id"]
        return last.decode() if isinstance(last, bytes) else str(last)

    async def _member(self, client: Redis, place: Place, receiver: Receiver) -> _Reader:
        start = "0" if place.earlier else "$"
        try:
            await client.xgroup_create(place.stream, place.group, start, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        consumer = f"seatrial-{os.urandom(4).hex()}"
        self._groups.append((client, place, consumer))
        return _Reader(client, self._shown, place, receiver, "0-0", consumer)

    def _why(self, error: BaseException, stream: str = "") -> BrokerError:
        user = credentials(self._url)[0] or "default"
        of = f" (stream {stream})" if stream else ""
        text = str(error)
        match error:
            case NoPermissionError():
                text = f"{self._shown} does not let user {user!r} do that{of}: {text}"
                return BrokerError(text, permanent=True)
            case AuthenticationError() | AuthorizationError():
                text = f"{self._shown} refuses user {user!r}: wrong user name or password"
                return BrokerError(text, permanent=True)
            case ResponseError():
                # Redis answers so to whom gives a password it does not know, or none.
                if text.startswith(("WRONGPASS", "NOAUTH")):
                    text = f"{self._shown} refuses user {user!r}: wrong user name or password"
                    return BrokerError(text, permanent=True)
                return BrokerError(f"{self._shown}: {text}{of}", permanent=True)
            case RedisTimeoutError():
                hint = ": does it speak TLS?" if self._secure else ""
                return BrokerError(f"{self._shown} did not answer in time{hint}")
            case InvalidResponse():
                return BrokerError(f"{self._shown}: no Redis answers there: {text}")
            case _:
                return BrokerError(f"{self._shown} cannot be reached: {because(error)}")


def _over(context: ssl.SSLContext) -> type[SSLConnection]:
    """Give connections over TLS of this kind; redis-py takes authorities of its own making only."""

    class Secure(SSLConnection):
        def _connection_arguments(self) -> Mapping[str, Any]:
            return {**super()._connection_arguments(), "ssl": context}

    return Secure


class _Reader:
    """
    Follows one stream; the client connects again by itself.

    What a group has given to its consumer in an answer that was lost, it gives to nobody else: it
    is asked for after each error, and whenever nothing new comes. For Redis may learn of a broken
    connection later than the tester, and goes on giving to it.
    """

    def __init__(
        self,
        client: Redis,
        shown: str,
        place: Place,
        receiver: Receiver,
        last: str,
        consumer: str = "",
    ) -> None:
        self._client = client
        self._shown = shown
        self._place = place
        self._receiver = receiver
        self._last = last
        self._consumer = consumer
        # Of a group: the entry behind which it reads what it was given before; or what is new.
        self._behind = _NEW
        self._unconfirmed: set[bytes] = set()  # recorded, and perhaps not acknowledged

    async def follow(self) -> None:
        """Deliver until cancelled."""
        pause = pauses()
        while True:
            try:
                await self._take(await self._read())
            except ResponseError as error:
                self._receiver.broken(f"{self._shown}: {error} (stream {self._place.stream})")
                return
            except _ERRORS as error:
                self._receiver.waiting(
                    f"{self._shown} cannot be reached: {because(error)}", away=True
                )
                await asyncio.sleep(next(pause))
                await self._see_what_is_left()
                if self._consumer:
                    self._behind = _BEGINNING
                continue
            pause = pauses()
            if self._behind == _NEW:
                self._receiver.waiting("")

    async def _read(self) -> list[Any]:
        place = self._place
        found: Any
        if not self._consumer:
            found = await self._client.xread(
                {place.stream: self._last}, count=_MOST, block=_BLOCK_MS
            )
            return _entries(found)
        found = await self._client.xreadgroup(
            place.group, self._consumer, {place.stream: self._behind}, count=_MOST, block=_BLOCK_MS
        )
        entries = _entries(found)
        if self._behind != _NEW:
            self._behind = entries[-1][0] if entries else _NEW
        elif not entries:
            self._behind = _BEGINNING
        return entries

    async def _take(self, entries: list[Any]) -> None:
        """Record entries, and only then acknowledge them."""
        if not entries:
            return
        new = [each for each in entries if each[0] not in self._unconfirmed]
        # An entry that is no more is given again without its fields.
        kept = [each for each in new if each[1]]
        self._receiver.deliver([_arrived(self._place, *each) for each in kept])
        if len(kept) < len(new):
            self._receiver.missed(
                f"entries of stream {self._place.stream} were removed before they could be read"
                " again"
            )
        self._last = entries[-1][0].decode()
        if self._consumer:
            ids = {each[0] for each in entries}
            self._unconfirmed |= ids
            with contextlib.suppress(ResponseError):  # who may not still reads
                await self._client.xack(self._place.stream, self._place.group, *ids)
                self._unconfirmed -= ids

    async def _see_what_is_left(self) -> None:
        """A Redis that came back without its data would never reach the last identifier again."""
        with contextlib.suppress(*_ERRORS):
            last = "0-0"
            with contextlib.suppress(ResponseError):
                info = await self._client.xinfo_stream(self._place.stream)
                last = info["last-generated-id"].decode()
            if _parts(last) < _parts(self._last):
                self._receiver.missed(f"Redis has lost entries of stream {self._place.stream}")
                self._last = last


def _entries(found: Any) -> list[Any]:
    """Give the entries of the one stream that was asked for."""
    answer = list(found.items()) if isinstance(found, dict) else list(found or [])
    return list(answer[0][1]) if answer else []


def _parts(identifier: str) -> tuple[int, int]:
    first, _, second = identifier.partition("-")
    return int(first), int(second or 0)


def _arrived(place: Place, identifier: bytes, fields: dict[bytes, bytes] | None) -> Arrived:
    """Read an entry: one field is the body, the others headers; or all of them are the body."""
    headers = {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, value in (fields or {}).items()
    }
    body = (fields or {}).get(place.field.encode())
    if body is None:
        body = json.dumps(headers, ensure_ascii=False).encode()
    else:
        headers.pop(place.field, None)
    name = identifier.decode()
    more: dict[str, Any] = {"offset": name}
    if dead := by_headers(headers):
        more["deadLetter"] = dead
    return Arrived(place.stream, body, _parts(name)[0] / 1000, None, headers, more)
