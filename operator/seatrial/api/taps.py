"""Taps: messages of the run that are kept for its report, whether a test waits for them or not."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seatrial.api.fields import Model, Rule, ShortText, TestName
from seatrial.api.steps.message import ROUTED, Broker, Message, Place
from seatrial.api.steps.web import Tls


class Tap(Model):
    """A place of a broker whose messages are kept for the report. Queues have no tap: no copy."""

    __rules__ = (
        Rule(
            "say where: one of topic, exchange, or subject and stream",
            "(has(self.topic) ? 1 : 0) + (has(self.exchange) ? 1 : 0)"
            " + (has(self.subject) || has(self.stream) ? 1 : 0) == 1",
            lambda self: (
                sum(map(self.given, ("topic", "exchange")))
                + (self.given("subject") or self.given("stream"))
                == 1
            ),
        ),
        ROUTED,
    )

    name: TestName = Field(description="Name of the tap, unique in the run.")
    from_: Broker = Field(alias="from", description="Service of the broker, or the broker's URL.")
    topic: Place | None = Field(None, description="Kafka or MQTT topic; of MQTT with + and #.")
    exchange: Place | None = Field(None, description="RabbitMQ exchange.")
    routing_key: Annotated[str, Field(max_length=255)] | None = Field(
        None, description="Binding key at the exchange. Default: # (everything)."
    )
    subject: Place | None = Field(None, description="NATS subject; with * and >.")
    stream: Place | None = Field(None, description="JetStream stream, or key of a Redis stream.")
    field: ShortText | None = Field(
        None, description="Field of a Redis stream's entry with the message. Default: data."
    )
    tls: Tls | None = Field(None, description="Speak TLS; {} trusts the system's authorities.")

    def as_step(self) -> Message:
        """Give the step that would subscribe to the same, from the first message that is kept."""
        given = self.model_dump(by_alias=True, exclude_unset=True, exclude={"name"})
        return Message.model_validate({**given, "subscribe": True, "earlier": True})
