"""The step ``webhook``: an endpoint that services call back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from seatrial.api.fields import (
    CEL,
    DelayInList,
    HeaderName,
    Model,
    RelaxedObject,
    Rule,
    TestName,
    Text,
    Wait,
    one_of,
)


class WebhookAnswer(Model):
    """What a caller gets. Texts may use {{ request.json }} and the like, of the call."""

    __rules__ = (
        Rule(
            "give at most one of: json, body",
            check=lambda self: self.json_ is None or self.body is None,
        ),
    )

    status: int = Field(200, ge=200, le=599, description="Status.")
    headers: dict[HeaderName, Text] = Field(
        default_factory=dict, max_length=32, description="Headers by name."
    )
    json_: Annotated[JsonValue, RelaxedObject] = Field(None, alias="json", description="As JSON.")
    body: Annotated[str, Field(max_length=65536)] | None = Field(None, description="As text.")
    delay: DelayInList | None = Field(None, description="Answer so much later.")


class WebhookStep(Model):
    """
    An endpoint, open from before the first step: its URL is webhooks['NAME'].

    Each call is taken by one step that waits. A step that only gives an answer waits for nothing.
    """

    __rules__ = (one_of("answer", "answers", required=False),)

    name: TestName = Field(description="Name of the endpoint, and the path of its URL.")
    answer: WebhookAnswer | None = Field(
        None, description="How it answers from now on. At first: 200, empty."
    )
    answers: list[WebhookAnswer] | None = Field(
        None, min_length=1, max_length=32, description="Answers in order; the last one stays."
    )
    where: list[CEL] = Field(
        default_factory=list,
        max_length=16,
        description="What must be true of a call, such as request.json.id == order.",
    )
    count: int | None = Field(
        None, ge=0, le=1000, description="Such calls to wait for. Default 1; 0: none may come."
    )
    within: Wait | None = Field(None, description="Longest time to wait. Default 10s.")
