"""How steps are repeated, and how a scenario calls another: the parts of a step that steer it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from seatrial.api.fields import CEL, Identifier, Model, RelaxedObject, Rule, TestName, Wait, one_of

MAX_ROUNDS = 10_000  # of a repeat
AnyJson = Annotated[JsonValue, RelaxedObject]


class Eventually(Model):
    """Repeats a step until its expectations hold."""

    within: Wait = Field(description="Give up after this time.")
    every: Wait | None = Field(
        None, description="Pause between tries. Default: 50ms, growing to 1s."
    )


class Always(Model):
    """Repeats a step for a time; it must hold each time."""

    for_: Wait = Field(alias="for", description="How long it must hold.")
    every: Wait | None = Field(None, description="Pause between looks. Default: 200ms.")


class Repeat(Model):
    """Does a step several times, one after another."""

    __rules__ = (
        one_of("times", "until", "while", required=True),
        Rule(
            "atMost goes with until and while",
            "!has(self.atMost) || !has(self.times)",
            lambda self: self.at_most is None or self.times is None,
        ),
    )

    times: int | None = Field(None, ge=1, le=MAX_ROUNDS, description="How often.")
    until: CEL | None = Field(None, description="End when this is true after a round.")
    while_: CEL | None = Field(
        None, alias="while", description="End when this is not true before a round."
    )
    at_most: int | None = Field(
        None, ge=1, le=MAX_ROUNDS, description="Fail if it has not ended by then. Default 100."
    )
    every: Wait | None = Field(None, description="Pause between rounds. Default: none.")
    index: Identifier = Field("index", description="Name of the round's number, from 0.")


class ForEach(Model):
    """Does a step for each element of a list; what it captures anew becomes lists."""

    in_: CEL = Field(alias="in", description="CEL expression that gives a list: order.lines.")
    item: Identifier = Field("item", description="Name of the element.")
    index: Identifier = Field("index", description="Name of its number, from 0.")
    parallelism: int = Field(1, ge=1, le=16, description="How many at the same time. Default 1.")


class ScenarioCall(Model):
    """Runs a scenario of spec.scenarios; its outputs are then ``outputs``."""

    name: TestName = Field(description="Name of the scenario.")
    with_: dict[Identifier, AnyJson] = Field(
        default_factory=dict,
        alias="with",
        max_length=32,
        description="Inputs by name: {sku: A1, order: '{{ order }}'}.",
    )


class Input(Model):
    """A value that a scenario is given."""

    default: AnyJson = Field(None, description="Used where none is given. Default: it must be.")
