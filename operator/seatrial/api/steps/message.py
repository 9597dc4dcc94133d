"""``message``: messages that a step publishes to a broker, or waits for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from seatrial.api.fields import (
    CEL,
    Grace,
    HeaderName,
    Model,
    RelaxedObject,
    Rule,
    ShortText,
    Text,
    Wait,
    one_of,
)
from seatrial.api.steps.web import Tls

# By scheme of the broker's URL, which fields say where its messages are; some go together.
ADDRESSES: dict[str, tuple[str, ...]] = {
    "kafka": ("topic",),
    "amqp": ("queue", "exchange", "routingKey"),
    "nats": ("subject", "stream"),
    "redis": ("stream",),
    "mqtt": ("topic",),
}
# The same broker over TLS.
TLS_SCHEMES = {"amqps": "amqp", "tls": "nats", "rediss": "redis", "mqtts": "mqtt"}

_PUBLISHED = ("key", "headers", "text", "base64", "partition", "properties", "retain")
_RECEIVED = (
    "where", "within", "atLeast", "settle", "unique", "ordered", "earlier", "consume", "group",
    "subscribe", "backlog",
)  # fmt: skip


def _any(names: tuple[str, ...]) -> str:
    return " || ".join(f"has(self.{name})" for name in names)


_SEVERAL = ("unique", "ordered", "settle")
_JUDGED = ("where", "within", "count", "atLeast", *_SEVERAL)
_NOT_COUNTED = (*_JUDGED, "earlier", "consume", "subscribe")

ROUTED = Rule(
    "routingKey goes with exchange",
    "!has(self.routingKey) || has(self.exchange)",
    lambda self: self.routing_key is None or self.exchange is not None,
)

Place = Annotated[str, Field(min_length=1, max_length=512)]
# Name of a service, or the URL of a broker.
Broker = Annotated[str, Field(min_length=1, max_length=2048)]
Count = Annotated[int, Field(ge=0, le=100000)]


class Ordered(Model):
    """Messages come in the order of a value."""

    by: CEL = Field(description="What must not fall, such as message.json.sequence.")
    within: CEL | None = Field(
        None, description="Only among messages that are equal in this: message.key."
    )


class Message(Model):
    """Publishes to a broker, or waits for what it delivers. Texts may hold ``{{ values }}``."""

    __rules__ = (
        one_of("from", "to", required=True),
        Rule(
            "say where: one of topic, queue, exchange, or subject and stream",
            "(has(self.topic) ? 1 : 0) + (has(self.queue) ? 1 : 0) + (has(self.exchange) ? 1 : 0)"
            " + (has(self.subject) || has(self.stream) ? 1 : 0) == 1",
            lambda self: (
                sum(map(self.given, ("topic", "queue", "exchange")))
                + (self.given("subject") or self.given("stream"))
                == 1
            ),
        ),
        ROUTED,
        Rule(
            f"{', '.join(_PUBLISHED)} and json go with to",
            f"has(self.to) || !({_any(_PUBLISHED)})",
            lambda self: (
                self.to is not None
                or not (any(map(self.given, _PUBLISHED)) or self.json_ is not None)
            ),
        ),
        Rule(
            f"{', '.join(_RECEIVED)} and schema go with from",
            f"has(self.from) || !({_any(_RECEIVED)})",
            lambda self: (
                self.from_ is not None
                or not (any(map(self.given, _RECEIVED)) or self.schema_ is not None)
            ),
        ),
        Rule(
            "give at most one of: json, text, base64",
            check=lambda self: sum(map(self.given, ("json", "text", "base64"))) <= 1,
        ),
        one_of("count", "atLeast", required=False),
        Rule(
            "settle goes with count, atLeast, unique or ordered: a single message ends the wait",
            check=lambda self: (
                not self.given("settle")
                or any(map(self.given, ("count", "atLeast", "unique", "ordered")))
            ),
        ),
        Rule(
            "count: 0 waits for messages that must not come: it goes with from, and with neither"
            " unique, ordered nor settle",
            f"!has(self.count) || self.count > 0 || (has(self.from) && !({_any(_SEVERAL)}))",
            lambda self: (
                self.count != 0
                or (self.given("from") and not any(map(self.given, _SEVERAL)))
            ),
        ),
        Rule(
            "subscribe only opens the subscription: nothing can be said of its messages yet",
            f"!has(self.subscribe) || !({_any(_JUDGED)})",
            lambda self: (
                self.subscribe is None or not any(map(self.given, (*_JUDGED, "schema")))
            ),
        ),
        Rule(
            "backlog asks how many messages wait, and reads none: it goes with a queue or a group,"
            " and expect says how many",
            "!has(self.backlog)"
            f" || ((has(self.queue) || has(self.group)) && !({_any(_NOT_COUNTED)}))",
            lambda self: (
                self.backlog is None
                or ((self.given("queue") or self.given("group"))
                    and not any(map(self.given, (*_NOT_COUNTED, "schema"))))
            ),
        ),
    )  # fmt: skip

    from_: Broker | None = Field(
        None, alias="from", description="Wait for messages of this service, or of the broker's URL."
    )
    to: Broker | None = Field(
        None, description="Publish to the broker of this service, or to the broker's URL."
    )
    topic: Place | None = Field(
        None, description="Kafka or MQTT topic; of MQTT with + and # to receive."
    )
    queue: Place | None = Field(
        None,
        description="RabbitMQ queue. Received messages are taken out of it; refused while it has"
        " other consumers, unless consume is true.",
    )
    exchange: Place | None = Field(
        None,
        description="RabbitMQ exchange. To receive, a temporary queue is bound to it, so that"
        " nobody misses a message.",
    )
    routing_key: Annotated[str, Field(max_length=255)] | None = Field(
        None, description="With exchange; to receive, the binding key. Default: # (everything)."
    )
    subject: Place | None = Field(
        None, description="NATS subject; with * and > to receive. With stream: only this subject."
    )
    stream: Place | None = Field(None, description="JetStream stream, or key of a Redis stream.")
    subscribe: bool | None = Field(
        None, description="Only open the subscription; for what an earlier step had to name."
    )
    where: CEL | None = Field(
        None, description="Which messages are meant: message.json.orderId == order."
    )
    within: Wait | None = Field(
        None, description="Longest time to wait. Default: 10s, or 2s with count: 0."
    )
    count: Count | None = Field(
        None,
        description="How many messages there must be, no more and no less; 0: none may come."
        " With to: how many to publish, {{ number }} from 1.",
    )
    at_least: Annotated[int, Field(ge=1, le=100000)] | None = Field(
        None, description="How many messages there must be."
    )
    settle: Grace | None = Field(
        None,
        description="How long to go on listening. Default: 250ms; atLeast alone: 0s.",
    )
    unique: CEL | None = Field(
        None, description="No two messages may be equal in this: message.json.id."
    )
    ordered: Ordered | None = Field(None, description="The messages must come in order.")
    schema_: Annotated[JsonValue, RelaxedObject] = Field(
        None, alias="schema", description="JSON Schema that each message must meet."
    )
    earlier: bool | None = Field(
        None, description="Also messages that were there before the scenario: kept or retained."
    )
    consume: bool | None = Field(
        None, description="Take messages out of a queue although others consume it as well."
    )
    group: ShortText | None = Field(
        None,
        description="Read a Redis stream as one more consumer of this group. With backlog: the"
        " group of consumers, or JetStream's consumer.",
    )
    backlog: bool | None = Field(
        None,
        description="Only ask how many messages wait in a queue, or for a group: expect backlog"
        " == 0.",
    )
    key: Text | None = Field(None, description="Key of a Kafka message.")
    headers: dict[HeaderName, Text] | None = Field(
        None, max_length=64, description="Headers; of MQTT user properties, of Redis more fields."
    )
    json_: Annotated[JsonValue, RelaxedObject] = Field(
        None, alias="json", description="Publish this as JSON."
    )
    text: Annotated[str, Field(max_length=65536)] | None = Field(
        None, description="Publish this text."
    )
    base64: Annotated[str, Field(max_length=65536)] | None = Field(
        None, description="Publish these bytes, written in base64."
    )
    partition: Annotated[int, Field(ge=0, le=100000)] | None = Field(
        None, description="Kafka partition. Default: by the key."
    )
    retain: bool | None = Field(None, description="Have the MQTT broker keep it for later ones.")
    properties: dict[HeaderName, Text] | None = Field(
        None,
        max_length=8,
        description="contentType, correlationId, replyTo, messageId, type, expiration (ms).",
    )
    qos: Annotated[int, Field(ge=0, le=2)] | None = Field(
        None, description="MQTT quality of service. Default: 1."
    )
    tls: Tls | None = Field(None, description="Speak TLS; {} trusts the system's authorities.")
    field: ShortText | None = Field(
        None, description="Field of a Redis stream's entry with the message. Default: data."
    )
