"""
NATS, by nats-py: subjects, and streams of JetStream.

The server keeps nothing of a subject: what is published while the connection is lost is lost for
the tester, which is told. A stream is read by a consumer without a name, from the sequence number
that the stream had when the subscription began.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Sequence
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

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
    host_and_port,
)

_PORT = 4222
_MOST = 1000  # messages asked for at once
_POLL_S = 1.0
_LOOK_S = 0.1
_UNUSED_S = 60.0
_GONE_S = 0.1
_ERRORS = (nats.errors.Error, OSError)


# Without a handler of the user's its warnings would go to stderr: what matters is in the results.
logging.getLogger("nats").addHandler(logging.NullHandler())


class Nats:
    """``nats://[USER:PASSWORD@|TOKEN@]HOST:PORT``, ``tls://``."""

    def __init__(self, url: str, secure: ssl.SSLContext | None = None) -> None:
        self._url = url.replace("nats://", "tls://", 1) if secure else url
        self._secure = secure
        self._shown = f"NATS at {address(url)}"
        self._client = Client()
        self._begun = False
        self._tasks: list[asyncio.Task[None]] = []
        self._subjects: list[Receiver] = []
        self._streams: list[_StreamReader] = []
        self._last_error: Exception | None = None

    async def start(self) -> None:
        """Connect; from then on the client connects again by itself."""
        await self._see_whether_it_listens()
        self._begun = True
        try:
            await self._client.connect(
                self._url,
                name="seatrial",
                connect_timeout=int(CONNECT_S / 2),
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                allow_reconnect=False,
                tls=self._secure,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
            )
        except (*_ERRORS, TimeoutError) as error:
            raise self._why(self._last_error or error) from error
        # NB: with these from the beginning it would try for ever to connect the first time.
        self._client.options["allow_reconnect"] = True
        self._client.options["max_reconnect_attempts"] = -1
        self._client.options["reconnect_time_wait"] = 0.1

    async def subscribe(self, place: Place, receiver: Receiver) -> None:
        """Subscribe to a subject, or begin to read a stream."""
        try:
            if place.stream:
                reader = _StreamReader(self._client, self._shown, place, receiver)
                await reader.begin()
                self._streams.append(reader)
                self._tasks.append(asyncio.get_running_loop().create_task(reader.follow()))
                return

            async def on_message(message: Msg) -> None:
                receiver.deliver([_arrived(message)])

            # Nothing is dropped on the tester's side, however fast it comes.
            await self._client.subscribe(
                place.subject, cb=on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
            )
            await self._settle()
            self._subjects.append(receiver)
        except (*_ERRORS, TimeoutError, ValueError) as error:
            raise self._why(error) from error

    async def publish(self, place: Place, messages: Sequence[Outgoing]) -> None:
        """Publish; of a stream, wait until it has stored the messages."""
        try:
            if place.stream:
                await self._store(place, messages)
                return
            for message in messages:
                await self._client.publish(
                    place.subject,
                    message.body,
                    reply=message.properties.get("replyTo", ""),
                    headers=dict(message.headers) or None,
                )
            await self._settle()
        except (*_ERRORS, TimeoutError, ValueError) as error:
            raise self._why(error, place) from error

    async def _settle(self) -> None:
        """
        Wait until the server has dealt with all that was sent.

        NB: twice. The ping of ``flush`` overtakes what its client has yet to write (nats-py
        2.16: ``_send_ping`` writes past ``_pending``), so that the first answer proves nothing:
        of 1,000 subscriptions some were not there yet. By then all is written, and the second
        ping follows it.
        """
        await self._client.flush()
        await self._client.flush()

    async def _store(self, place: Place, messages: Sequence[Outgoing]) -> None:
        stream = self._client.jetstream()
        subject = place.subject or place.stream
        for message in messages[:1]:  # the first tells whether the stream takes them
            await stream.publish(
                subject, message.body, stream=place.stream, headers=dict(message.headers) or None
            )
        stored = [
            await stream.publish_async(
                subject, message.body, stream=place.stream, headers=dict(message.headers) or None
            )
            for message in messages[1:]
        ]
        await asyncio.gather(*stored)

    async def backlog(self, place: Place) -> int:
        """Count what a consumer of a stream has not acknowledged."""
        if not (place.stream and place.group):
            raise BrokerError(f"{self._shown}: say stream and group, not {place}", permanent=True)
        try:
            info = await self._client.jetstream().consumer_info(place.stream, place.group)
        except nats.js.errors.NotFoundError as error:
            text = f"{self._shown} has no stream {place.stream!r} with a consumer {place.group!r}"
            raise BrokerError(text) from error
        except (*_ERRORS, TimeoutError, ValueError) as error:
            raise self._why(error, place) from error
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def close(self) -> None:
        """Disconnect; consumers without a name go by themselves."""
        await end(self._tasks)
        for reader in self._streams:
            await reader.close()
        if self._begun:
            # NB: after a handshake that failed it would wait for ever for the end of a connection
            # that is gone.
            seconds = None if self._client.is_connected else _GONE_S
            with contextlib.suppress(*_ERRORS, TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._client.close()
            # It closes its connection with the next turn of the loop, which may be about to end.
            await asyncio.sleep(0)

    async def _see_whether_it_listens(self) -> None:
        host, port = host_and_port(self._url, _PORT)
        try:
            async with asyncio.timeout(CONNECT_S / 2):
                reader, writer = await asyncio.open_connection(host, port)
                info = await reader.readline() if self._secure else b""
        except (OSError, TimeoutError) as error:
            raise self._why(error) from error
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        # NB: where the server asks for no TLS the client would go on without, password and all.
        if self._secure and not _asks_for_tls(info):
            text = f"{self._shown} does not ask for TLS: is it nats:// there?"
            raise BrokerError(text, permanent=True)

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error

    async def _on_disconnected(self) -> None:
        for receiver in self._subjects:
            receiver.waiting(f"{self._shown} is not connected", away=True)
        for reader in self._streams:
            reader.renew()

    async def _on_reconnected(self) -> None:
        for receiver in self._subjects:
            receiver.waiting("")
            receiver.missed(
                "the connection to NATS was lost for a while, and NATS keeps no message of a"
                " subject: some may have been missed"
            )

    def _why(self, error: BaseException, place: Place | None = None) -> BrokerError:
        text = str(error).removeprefix("nats: ").strip("'") or type(error).__name__
        user = credentials(self._url)[0]
        match error:
            case ssl.SSLError():  # some of them are a ValueError as well
                return BrokerError(f"{self._shown} cannot be reached: {because(error)}")
            case nats.js.errors.NoStreamResponseError():
                stored = place and (place.subject or place.stream)
                return BrokerError(f"{self._shown}: no stream takes subject {stored!r}")
            case nats.js.errors.ServiceUnavailableError() | nats.errors.NoRespondersError():
                return BrokerError(f"{self._shown} has no JetStream", permanent=True)
            case nats.js.errors.APIError():
                return BrokerError(f"{self._shown}: {error.description or text}", permanent=True)
            case nats.errors.MaxPayloadError():
                text = f"{self._shown}: the message is larger than it takes"
                return BrokerError(text, permanent=True)
            case nats.errors.BadSubjectError() | ValueError():
                return BrokerError(f"{self._shown}: {text}", permanent=True)
            case _ if "authorization" in text.lower() or "authentication" in text.lower():
                who = f"user {user!r}: wrong user name or password" if user else "to talk to nobody"
                return BrokerError(f"{self._shown} refuses {who}", permanent=True)
            case TimeoutError():
                return BrokerError(f"{self._shown} did not answer in time")
            case _ if "INFO" in text:  # what a server begins with
                return BrokerError(f"{self._shown}: no NATS answers there: {text}")
            case _:
                return BrokerError(f"{self._shown} cannot be reached: {because(error)}")


def _asks_for_tls(info: bytes) -> bool:
    """Tell it from the first line that a server sends: ``INFO {"tls_required": true, ...}``."""
    try:
        return bool(json.loads(info.partition(b" ")[2])["tls_required"])
    except (ValueError, KeyError, TypeError):
        return False


class _StreamReader:
    """
    Follows a stream; makes its consumer anew when the server has lost it, or lost the connection.

    Nothing is acknowledged: what the server wrote to a connection that broke counts as delivered,
    and only a new consumer gives it again.
    """

    def __init__(self, client: Client, shown: str, place: Place, receiver: Receiver) -> None:
        self._client = client
        self._stream = client.jetstream(timeout=2.0)
        self._shown = shown
        self._place = place
        self._receiver = receiver
        self._next: int | None = None
        self._given = 0  # messages by the consumer, as the server counts them
        self._subscription: Any = None
        self._renew = False

    async def begin(self) -> None:
        """Note where the stream ends; one that does not exist yet is read from its beginning."""
        try:
            info = await self._client.jetstream().stream_info(self._place.stream)
        except nats.js.errors.NotFoundError:
            self._no_stream()
            return
        self._next = 1 if self._place.earlier else info.state.last_seq + 1
        await self._consume()

    def renew(self) -> None:
        """Read with a new consumer, from where messages were delivered last: a connection broke."""
        self._renew = True
        self._receiver.waiting(f"{self._shown} is not connected", away=True)

    async def follow(self) -> None:
        """Deliver until cancelled."""
        while True:
            if self._renew:
                self._renew = False
                await self._leave()
            try:
                if self._subscription is None:
                    await self._open()
                messages = await self._subscription.fetch(_MOST, timeout=_POLL_S)
            except nats.js.errors.NotFoundError:
                self._subscription = None
                self._no_stream()
                await asyncio.sleep(_LOOK_S)
            except nats.js.errors.APIError as error:
                self._receiver.broken(f"{self._shown}: {error.description or error}")
                return
            except (*_ERRORS, TimeoutError):
                await self._look_after()
            else:
                self._deliver(messages)
                self._can_come()

    async def close(self) -> None:
        """Remove the consumer."""
        if self._subscription is not None:
            with contextlib.suppress(*_ERRORS, TimeoutError):
                info = await self._subscription.consumer_info()
                await self._stream.delete_consumer(self._place.stream, info.name)

    def _deliver(self, messages: Sequence[Msg]) -> None:
        batch = []
        for message in messages:
            sequence = message.metadata.sequence
            if sequence.consumer != self._given + 1:
                # What came between was lost with a connection, and this came by the next one.
                self._renew = True
                break
            self._given = sequence.consumer
            if self._next is None or sequence.stream >= self._next:
                batch.append(_arrived(message))
                self._next = sequence.stream + 1
        self._receiver.deliver(batch)

    def _no_stream(self) -> None:
        self._receiver.waiting(f"{self._shown} has no stream {self._place.stream!r} yet")

    def _can_come(self) -> None:
        if not self._renew:
            self._receiver.waiting("")

    async def _look_after(self) -> None:
        """After a while without messages: see that the consumer is still there."""
        if not self._client.is_connected:
            self._receiver.waiting(f"{self._shown} is not connected", away=True)
            await asyncio.sleep(_LOOK_S)
            return
        try:
            await self._subscription.consumer_info()
            self._can_come()
        except (*_ERRORS, TimeoutError, AttributeError):
            self._subscription = None
            await asyncio.sleep(_LOOK_S)

    async def _leave(self) -> None:
        if self._subscription is not None:
            with contextlib.suppress(*_ERRORS):
                await self._subscription.unsubscribe()
            self._subscription = None

    async def _open(self) -> None:
        info = await self._stream.stream_info(self._place.stream)
        if self._next is None:
            self._next = 1
        elif info.state.last_seq + 1 < self._next:
            self._receiver.missed(f"stream {self._place.stream} was made anew, or lost its end")
            self._next = 1
        await self._consume()

    async def _consume(self) -> None:
        assert self._next is not None
        self._subscription = await self._stream.pull_subscribe(
            self._place.subject,
            stream=self._place.stream,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._next,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=_UNUSED_S,
            ),
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        self._given = 0


def _arrived(message: Msg) -> Arrived:
    headers: dict[str, Any] = dict(message.headers or {})
    more: dict[str, Any] = {}
    at = 0.0
    if message.reply and message.reply.startswith("$JS.ACK."):
        metadata = message.metadata
        at = metadata.timestamp.timestamp()
        more["offset"] = metadata.sequence.stream
    elif message.reply:
        more["properties"] = {"replyTo": message.reply}
    if dead := by_headers(headers):
        more["deadLetter"] = dead
    return Arrived(message.subject, message.data, at, None, headers, more)
