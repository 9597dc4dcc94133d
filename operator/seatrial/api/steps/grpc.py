"""The step ``grpc``: one call, of any of the four kinds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from seatrial.api.fields import (
    GrpcMethod,
    HeaderName,
    Identifier,
    Model,
    ProtoFile,
    RelaxedObject,
    Rule,
    Text,
    Wait,
    one_of,
)
from seatrial.api.steps.web import OAuth2, Receive, Tls

Target = Annotated[str, Field(min_length=3, max_length=260)]


class GrpcStep(Model):
    """
    One gRPC call, by the server's reflection or by ``.proto`` files; nothing is generated.

    A status that is not OK is an answer: expect it as response.code.
    With ``stream`` the call stays open for the steps that follow, which name it.
    """

    __rules__ = (
        one_of("bearer", "oauth2", required=False),
        Rule(
            "give target and method, or the name of a stream that is open",
            "has(self.target) == has(self.method) && (has(self.target) || has(self.stream))",
            lambda self: (
                (self.target is None) == (self.method is None)
                and (self.target is not None or self.stream is not None)
            ),
        ),
        Rule(
            "end and cancel go with stream",
            "has(self.stream) || !(self.end || self.cancel)",
            lambda self: self.stream is not None or not (self.end or self.cancel),
        ),
        Rule(
            "a stream that is open needs something to do: message, messages, receive, end, cancel",
            check=lambda self: (
                self.target is not None
                or any(map(self.given, ("message", "messages", "receive")))
                or self.end
                or self.cancel
            ),
        ),
        Rule(
            "metadata, bearer, oauth2, tls and protos go with target",
            check=lambda self: (
                self.target is not None
                or not (
                    self.metadata or any(map(self.given, ("bearer", "oauth2", "tls", "protos")))
                )
            ),
        ),
        Rule(
            "give message, or messages for a stream, not both",
            check=lambda self: self.message is None or self.messages is None,
        ),
    )

    target: Target | None = Field(None, description="HOST:PORT.")
    method: GrpcMethod | None = Field(
        None, description="Method with its service, such as shop.Orders/Get."
    )
    stream: Identifier | None = Field(
        None, description="Keep the call open under this name, or go on with the one of this name."
    )
    message: Annotated[JsonValue, RelaxedObject] = Field(
        None, description="The message to send, as JSON. Default: an empty one."
    )
    messages: list[Annotated[JsonValue, RelaxedObject]] | None = Field(
        None, max_length=1000, description="Messages of a stream to the server, in order."
    )
    metadata: dict[HeaderName, Text] = Field(
        default_factory=dict, max_length=64, description="Metadata; of names in -bin, base64."
    )
    bearer: Text | None = Field(None, description="Token of an authorization: Bearer entry.")
    oauth2: OAuth2 | None = Field(None, description="A token by OAuth 2 client credentials.")
    tls: Tls | None = Field(None, description="Speak TLS; {} trusts the system's authorities.")
    protos: dict[ProtoFile, Annotated[str, Field(max_length=65536)]] | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="Files by name, in place of the server's reflection.",
    )
    receive: Receive | None = Field(
        None,
        description="Leave a stream from the server before its end. With stream: messages to wait"
        " for, one if it says no more.",
    )
    end: bool = Field(
        False, description="No more messages to the server; wait for its status, or for receive."
    )
    cancel: bool = Field(False, description="Leave the call; the server is told.")
    timeout: Wait | None = Field(
        None, description="Deadline: past it the code is DEADLINE_EXCEEDED. Default 10s."
    )
