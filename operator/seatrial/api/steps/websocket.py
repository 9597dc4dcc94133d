"""The step ``websocket``: opens a connection, sends, receives, closes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from seatrial.api.fields import (
    CEL,
    HeaderName,
    Identifier,
    Model,
    RelaxedObject,
    Rule,
    ShortText,
    Text,
    Wait,
    one_of,
)
from seatrial.api.steps.web import BasicAuth, OAuth2, Tls, Url


class WebSocketMessage(Model):
    """A message to send."""

    __rules__ = (
        one_of("text", "base64", required=False),
        Rule(
            "give exactly one of: text, json, base64",
            check=lambda self: (
                (self.text is not None) + (self.json_ is not None) + (self.base64 is not None) == 1
            ),
        ),
    )

    text: Annotated[str, Field(max_length=65536)] | None = Field(None, description="As text.")
    json_: Annotated[JsonValue, RelaxedObject] = Field(
        None, alias="json", description="As JSON, in a text message."
    )
    base64: Annotated[str, Field(max_length=65536)] | None = Field(
        None, description="As bytes, written in base64."
    )


class WebSocketReceive(Model):
    """What to wait for. Default: one message."""

    count: int | None = Field(None, ge=1, le=10000, description="So many messages.")
    until: CEL | None = Field(
        None, description="Until this is true: response.message is the last one that came."
    )
    for_: Wait | None = Field(None, alias="for", description="All that come in this time.")
    closed: bool = Field(False, description="Until the server closes the connection.")


class WebSocketClose(Model):
    """How to close the connection."""

    code: int = Field(1000, ge=1000, le=4999, description="Close code.")
    reason: ShortText | None = Field(None, description="Why.")


class WebSocketStep(Model):
    """
    A WebSocket: open it, send, receive, close, in this order.

    It stays open for the steps that follow, which name it.
    """

    __rules__ = (
        one_of("basicAuth", "bearer", "oauth2", required=False),
        Rule(
            "a websocket step needs something to do: url, send, receive or close",
            "has(self.url) || has(self.send) || has(self.receive) || has(self.close)",
            lambda self: any(map(self.given, ("url", "send", "receive", "close"))),
        ),
    )

    name: Identifier = Field("default", description="Name of the connection.")
    url: Url | None = Field(None, description="ws:// or wss://; opens the connection.")
    headers: dict[HeaderName, Text] = Field(
        default_factory=dict, max_length=64, description="Headers of the handshake."
    )
    subprotocols: list[ShortText] = Field(
        default_factory=list, max_length=16, description="Offered, the best first."
    )
    basic_auth: BasicAuth | None = Field(None, description="HTTP basic authentication.")
    bearer: Text | None = Field(None, description="Token of an Authorization: Bearer header.")
    oauth2: OAuth2 | None = Field(None, description="A token by OAuth 2 client credentials.")
    tls: Tls | None = Field(None, description="Own authorities and client certificates.")
    send: list[WebSocketMessage] | None = Field(
        None, min_length=1, max_length=64, description="Messages, in order."
    )
    receive: WebSocketReceive | None = Field(None, description="Messages to wait for.")
    close: WebSocketClose | None = Field(None, description="Close the connection.")
    timeout: Wait | None = Field(None, description="Longest time of the step. Default 10s.")
