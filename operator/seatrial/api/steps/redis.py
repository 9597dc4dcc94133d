"""``redis``: a command, or several in one message."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema

from seatrial.api.fields import Identifier, Model, Name, Rule, Wait, one_of
from seatrial.api.steps.web import Tls

MAX_WORDS = 1024
MAX_TEXT = 65536

# A text that is split as a shell would, or a list of words: to the schema, either.
Command = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    | Annotated[
        list[Annotated[str, Field(max_length=MAX_TEXT)] | int | float],
        Field(min_length=1, max_length=MAX_WORDS),
    ],
    WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True}),
]


class RedisStep(Model):
    """Sends commands to Redis, Valkey, or what speaks as they do."""

    __rules__ = (
        # CEL does not see a field that may hold any JSON.
        Rule(
            "give exactly one of: command, pipeline",
            check=lambda self: (self.command is None) != (self.pipeline is None),
        ),
        one_of("service", "url", required=True),
        Rule(
            "transaction goes with pipeline",
            check=lambda self: not self.transaction or self.pipeline,
        ),
    )

    service: Name | None = Field(None, description="Service of the store.")
    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None, description="URL of the store, in place of service."
    )
    command: Command | None = Field(
        None, description="A command: SET a {{ b }}, or as a list, [SET, a, '{{ b }}']."
    )
    pipeline: Annotated[list[Command], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Commands sent in one message; result is the list of their results."
    )
    transaction: bool = Field(False, description="Carry out all of the pipeline, or nothing.")
    session: Identifier | None = Field(
        None, description="Steps that name it share a connection, as WATCH and MULTI need."
    )
    tls: Tls | None = Field(None, description="Speak TLS; {} trusts the system's authorities.")
    timeout: Wait | None = Field(None, description="Longest time for it. Default 10s.")
