"""
MQTT 5, by paho-mqtt: what aiomqtt stands on, which does not say whether a message was sent again.

Each subscription is a client of its own, with a session that the broker keeps while the
connection is lost: with quality of service 1 or 2, what is published meanwhile waits in it.
paho's network loop has a thread of its own; its callbacks come from there.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

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
    host_and_port,
)

_SESSION_S = 300
_KEEPALIVE_S = 15
_REFUSED = {"Bad user name or password", "Not authorized"}
_CLOSED = "closed"
_MOST_CLOSED = 2  # times without an answer
# By the name in a step, those that MQTT has.
_PROPERTIES = {
    "contentType": "ContentType",
    "correlationId": "CorrelationData",
    "replyTo": "ResponseTopic",
}


class Mqtt:
    """``mqtt://[USER:PASSWORD@]HOST:PORT``, ``mqtts://``."""

    def __init__(self, url: str, secure: ssl.SSLContext | None = None) -> None:
        self._url = url
        self._secure = secure
        self._shown = f"MQTT at {address(url)}"
        self._publisher: _Session | None = None
        self._publishing = asyncio.Lock()  # a session waits for one publisher's messages at a time
        self._sessions: list[_Session] = []

    async def start(self) -> None:
        """Connect."""
        self._publisher = await self._session()

    async def subscribe(self, place: Place, receiver: Receiver) -> None:
        """Subscribe, and wait until the broker has granted it."""
        session = await self._session()
        await session.subscribe(place, receiver)

    async def publish(self, place: Place, messages: Sequence[Outgoing]) -> None:
        """Publish; with quality of service 1 or 2, wait until the broker has the messages."""
        if any(sign in place.topic for sign in "+#"):
            text = f"topic {place.topic} has + or #: only who receives can use them"
            raise BrokerError(text, permanent=True)
        async with self._publishing:
            if self._publisher is None:
                self._publisher = await self._session()
            await self._publisher.publish(place, messages)

    async def backlog(self, place: Place) -> int:
        """Refuse: the protocol has no such thing."""
        text = f"{self._shown} does not tell how many messages wait ({place})"
        raise BrokerError(text, permanent=True)

    async def close(self) -> None:
        """End the sessions."""
        for session in self._sessions:
            session.end()
        # paho joins its thread.
        await asyncio.gather(*(asyncio.to_thread(each.join) for each in self._sessions))

    async def _session(self) -> _Session:
        session = _Session(self._url, self._shown, self._secure)
        self._sessions.append(session)
        await session.connect()
        return session


class _Session:
    """One client. Every callback of paho comes from its thread."""

    def __init__(self, url: str, shown: str, secure: ssl.SSLContext | None) -> None:
        self._url = url
        self._secure = secure
        self._shown = shown
        self._loop = asyncio.get_running_loop()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"seatrial-{os.urandom(8).hex()}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        user, password = credentials(url)
        if user:
            self._client.username_pw_set(user, password)
        if secure is not None:
            self._client.tls_set_context(secure)
        self._client.reconnect_delay_set(1, 2)
        self._client.max_inflight_messages_set(1000)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._connected: asyncio.Future[str] = self._loop.create_future()
        self._granted: asyncio.Future[str] = self._loop.create_future()
        self._closed_unanswered = 0
        self._lock = threading.Lock()
        self._unconfirmed: set[int] = set()
        self._confirmed: set[int] = set()
        self._all_confirmed: asyncio.Future[str] | None = None
        self._refusals: list[str] = []
        self._place = Place()
        self._receiver: Receiver | None = None
        # Packets recorded last, and perhaps not acknowledged when a connection broke.
        self._recorded: deque[tuple[int, int]] = deque(maxlen=200)

    async def connect(self) -> None:
        """Connect; from then on paho connects again by itself."""
        host, port = host_and_port(self._url, 8883 if self._secure else 1883)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_S
        properties.ReceiveMaximum = 65535
        try:
            async with asyncio.timeout(CONNECT_S / 2):
                await asyncio.to_thread(
                    self._client.connect,
                    host,
                    port,
                    _KEEPALIVE_S,
                    # Its name is new, so there is no session to begin with. NB: mosquitto stores
                    # no session that began with a clean start.
                    clean_start=False,
                    properties=properties,
                )
                self._client.loop_start()
                problem = await self._connected
        except TimeoutError as error:
            raise BrokerError(f"{self._shown} did not answer in time") from error
        except (OSError, ValueError) as error:
            why = because(error)
            if self._secure and isinstance(error, ConnectionResetError):
                why += ": does it speak TLS?"
            raise BrokerError(f"{self._shown} cannot be reached: {why}") from error
        if problem in _REFUSED:
            self._client.disconnect()
            user = credentials(self._url)[0]
            who = f"user {user!r}: wrong user name or password" if user else "clients without user"
            raise BrokerError(f"{self._shown} refuses {who}", permanent=True)
        if problem == _CLOSED:
            self._client.disconnect()
            hint = "MQTT over TLS" if self._secure else "MQTT, and without TLS"
            text = f"{self._shown} closes the connection without an answer: does it speak {hint}?"
            raise BrokerError(text)
        if problem:
            self._client.disconnect()
            raise BrokerError(f"{self._shown} refuses the connection: {problem}")

    async def subscribe(self, place: Place, receiver: Receiver) -> None:
        """Subscribe."""
        self._place, self._receiver = place, receiver
        try:
            code, _ = self._client.subscribe(place.topic, options=self._options())
        except ValueError as error:
            raise BrokerError(f"{self._shown}: topic {place.topic}: {error}", True) from error
        _require(code, self._shown)
        if problem := await self._granted:
            raise BrokerError(f"{self._shown} refuses topic {place.topic}: {problem}", True)

    async def publish(self, place: Place, messages: Sequence[Outgoing]) -> None:
        """Publish, in order."""
        done: asyncio.Future[str] = self._loop.create_future()
        with self._lock:
            self._unconfirmed.clear()
            self._confirmed.clear()
            self._refusals.clear()
            self._all_confirmed = None
        for message in messages:
            properties = _outgoing_properties(message, self._shown)
            info = self._client.publish(
                place.topic, message.body, place.qos, message.retain, properties
            )
            _require(info.rc, self._shown)
            with self._lock:
                self._unconfirmed.add(info.mid)
        with self._lock:
            self._all_confirmed = done
            self._settle()
        if problem := await done:
            raise BrokerError(f"{self._shown} refuses topic {place.topic}: {problem}", True)

    def end(self) -> None:
        """Disconnect, and have the broker forget the session."""
        properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        self._client.disconnect(properties=properties)

    def join(self) -> None:
        """Wait for the thread."""
        self._client.loop_stop()
        # It lets go of us, so that its sockets are closed now and not by the garbage collector,
        # which may come to the sockets first.
        client = self._client
        client.on_connect = client.on_disconnect = client.on_subscribe = None
        client.on_message = client.on_publish = None

    def _options(self) -> SubscribeOptions:
        return SubscribeOptions(
            qos=self._place.qos,
            retainAsPublished=False,
            retainHandling=0 if self._place.earlier else 2,
        )

    def _on_connect(
        self,
        client: Client,
        userdata: object,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._receiver is not None:
            if reason.is_failure:
                self._receiver.waiting(f"{self._shown} refuses: {reason}", away=True)
                return
            if not flags.session_present:
                self._receiver.missed(
                    "the broker has forgotten the tester's session: what came while the connection"
                    " was lost was missed"
                )
                client.subscribe(self._place.topic, options=self._options())
            elif self._place.qos == 0:
                self._receiver.missed("the connection was lost, and with qos 0 nothing is kept")
            self._receiver.waiting("")
        self._set(self._connected, str(reason) if reason.is_failure else "")

    def _on_disconnect(
        self,
        client: Client,
        userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._receiver is not None:
            self._receiver.waiting(f"{self._shown} is not connected: {reason}", away=True)
        # NB: after an answer, of whatever kind, this changes nothing.
        self._closed_unanswered += 1
        if self._closed_unanswered == _MOST_CLOSED:
            self._set(self._connected, _CLOSED)

    def _on_subscribe(
        self,
        client: Client,
        userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        problem = next((str(each) for each in reasons if each.is_failure), "")
        if problem and self._granted.done() and self._receiver is not None:
            self._receiver.broken(f"{self._shown} refuses topic {self._place.topic}: {problem}")
        self._set(self._granted, problem)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        if message.qos:
            mark = message.mid, hash((message.topic, message.payload))
            if message.dup and mark in self._recorded:
                return  # recorded before, but the broker has not heard of it
            self._recorded.append(mark)
        receiver.deliver([_arrived(message)])

    def _on_publish(
        self,
        client: Client,
        userdata: object,
        mid: int,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        with self._lock:
            self._confirmed.add(mid)
            if reason.is_failure:
                self._refusals.append(str(reason))
            self._settle()

    def _settle(self) -> None:
        """Tell who publishes when all is confirmed; the caller holds the lock."""
        if self._all_confirmed is not None and self._unconfirmed <= self._confirmed:
            self._set(self._all_confirmed, self._refusals[0] if self._refusals else "")
            self._all_confirmed = None

    def _set(self, future: asyncio.Future[str], value: str) -> None:
        def set_once() -> None:
            if not future.done():
                future.set_result(value)

        _call(self._loop, set_once)


def _call(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    # A scenario that ends closes its loop before paho's thread has heard of it.
    if not loop.is_closed():
        loop.call_soon_threadsafe(work)


def _require(code: MQTTErrorCode, shown: str) -> None:
    if code not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
        raise BrokerError(f"{shown}: {code.name}")


def _outgoing_properties(message: Outgoing, shown: str) -> Properties | None:
    if not (message.headers or message.properties):
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if message.headers:
        properties.UserProperty = list(message.headers.items())
    for name, text in message.properties.items():
        if name not in _PROPERTIES:
            known = ", ".join(_PROPERTIES)
            raise BrokerError(f"properties of {shown} are {known}, not {name}", permanent=True)
        value = text.encode() if name == "correlationId" else text
        setattr(properties, _PROPERTIES[name], value)
    return properties


def _arrived(message: MQTTMessage) -> Arrived:
    given: Any = message.properties
    headers = dict(getattr(given, "UserProperty", ()))
    more: dict[str, Any] = {}
    if message.retain:
        more["retained"] = True
    if message.dup:
        more["redelivered"] = True
    properties = {}
    for name, field in _PROPERTIES.items():
        value = getattr(given, field, None)
        if value is not None:
            properties[name] = value.decode("utf-8", "replace") if field[0:4] == "Corr" else value
    if properties:
        more["properties"] = properties
    if dead := by_headers(headers):
        more["deadLetter"] = dead
    return Arrived(message.topic, bytes(message.payload), 0.0, None, headers, more)
