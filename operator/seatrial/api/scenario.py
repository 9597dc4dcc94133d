"""
The steps of a declarative test, as pydantic models.

The engine (``seatrial_runner.scenario``) reads the same shape as plain JSON, because the pods do
not import pydantic: what the operator hands over was validated here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field, WithJsonSchema

from seatrial.api.fields import (
    BY_NAME,
    CEL,
    Identifier,
    Model,
    Rule,
    ShortText,
    TestName,
    Wait,
    one_of,
)
from seatrial.api.flow import Always, Eventually, ForEach, Input, Repeat, ScenarioCall
from seatrial.api.snapshots import Snapshot
from seatrial.api.steps.data import DataStep
from seatrial.api.steps.exec import Exec
from seatrial.api.steps.graphql import GraphqlStep
from seatrial.api.steps.grpc import GrpcStep
from seatrial.api.steps.http import HTTP_VERBS, HttpRequest
from seatrial.api.steps.kubernetes import KubernetesStep
from seatrial.api.steps.logs import LogQuery
from seatrial.api.steps.message import Message
from seatrial.api.steps.metrics import MetricQuery
from seatrial.api.steps.mongo import MongoStep
from seatrial.api.steps.redis import RedisStep
from seatrial.api.steps.sql import SqlStep
from seatrial.api.steps.webhook import WebhookStep
from seatrial.api.steps.websocket import WebSocketStep

__all__ = [
    "ACTIONS",
    "HTTP_VERBS",
    "MAX_DEPTH",
    "MAX_STEPS",
    "ExpectFailure",
    "HttpRequest",
    "Scenario",
    "Step",
    "Steps",
]

# What a step can do; one of them, or none if it only expects something.
ACTIONS = (
    "http",
    "fault",
    "message",
    "set",
    "steps",
    "parallel",
    "scenario",
    "sql",
    "graphql",
    "grpc",
    "websocket",
    "webhook",
    "exec",
    "kubernetes",
    "logs",
    "metrics",
    "redis",
    "mongo",
    "data",
)
# Those that show a response, which may be one of failure.
RESPONDING = ("http", "graphql", "grpc", "websocket")
# Those whose other side can answer with an error that a step may expect.
ANSWERING = ("sql", "redis", "mongo")
REPETITIONS = ("eventually", "always", "repeat", "forEach")
MAX_DEPTH = 4  # of steps inside of steps
MAX_STEPS = 1000  # of a run, those inside of steps included


class FaultControl(Model):
    """Starts or stops a fault declared with ``when: {manual: {}}``."""

    __rules__ = (one_of("start", "stop", required=True),)

    start: TestName | None = Field(
        None, description="Start this fault and wait until it is in effect."
    )
    stop: TestName | None = Field(None, description="Stop this fault and wait until it is undone.")


class ExpectFailure(Model):
    """The request must fail, in this way, because of a fault that is in effect."""

    during: TestName = Field(description="Fault that must be in effect when the request is sent.")
    expect: list[CEL] = Field(
        default_factory=list,
        max_length=16,
        description="How it fails: CEL expressions. Default: response.status >= 500; of graphql"
        " errors too, of grpc a code that is not OK.",
    )
    no_response: bool = Field(
        False, description="No response at all: refused, reset or timed out, in place of expect."
    )
    within: Wait | None = Field(None, description="The failure must be there in this time.")


_ONE_ACTION = replace(
    one_of(*ACTIONS, required=False), message="a step does one thing: make a step of each action"
)


_NOT_EMPTY = Rule(
    "a step needs something to do: an action such as http, or expect",
    " || ".join(f"has(self.{action})" for action in ACTIONS)
    + " || has(self.snapshot) || (has(self.expect) && size(self.expect) > 0)",
    lambda self: any(map(self.given, ACTIONS)) or self.snapshot or self.expect,
)


_FAILS_ALONE = Rule(
    f"expectFailure goes with {', '.join(RESPONDING)}, and without expect, eventually and retries",
    f"!has(self.expectFailure) || (({' || '.join(f'has(self.{kind})' for kind in RESPONDING)})"
    " && !has(self.eventually)"
    " && !(has(self.expect) && size(self.expect) > 0) && self.retries == 0)",
    lambda self: (
        self.expect_failure is None
        or (
            any(map(self.given, RESPONDING))
            and not self.eventually
            and not self.expect
            and self.retries == 0
        )
    ),
)

_ONE_REPETITION = replace(
    one_of(*REPETITIONS, required=False),
    message=f"a step has at most one of: {', '.join(REPETITIONS)}; put it into a group (steps)"
    " with the other",
)


_ERROR_EXPECTED = Rule(
    f"expectError goes with one of {', '.join(ANSWERING)}, and without expect and expectFailure",
    f"!has(self.expectError) || (({' || '.join(f'has(self.{kind})' for kind in ANSWERING)})"
    " && !has(self.expectFailure) && !(has(self.expect) && size(self.expect) > 0))",
    lambda self: (
        self.expect_error is None
        or (any(map(self.given, ANSWERING)) and not self.expect and not self.expect_failure)
    ),
)


class Step(Model):
    """One step: an action, what must hold after it, and what to remember of it."""

    __rules__ = (_ONE_ACTION, _NOT_EMPTY, _FAILS_ALONE, _ERROR_EXPECTED, _ONE_REPETITION)

    name: ShortText | None = Field(None, description="Shown in results. Default: the action.")
    when: CEL | None = Field(None, description="Skip the step unless this CEL expression is true.")
    http: HttpRequest | None = Field(None, description="Send an HTTP request.")
    graphql: GraphqlStep | None = Field(None, description="Send a GraphQL operation.")
    grpc: GrpcStep | None = Field(None, description="Make a gRPC call.")
    websocket: WebSocketStep | None = Field(
        None, description="Open a WebSocket, send, receive, close."
    )
    webhook: WebhookStep | None = Field(
        None, description="An endpoint that services call back: answer, wait for calls."
    )
    fault: FaultControl | None = Field(None, description="Start or stop a declared fault.")
    exec: Exec | None = Field(None, description="Run a command in a pod of the run.")
    kubernetes: KubernetesStep | None = Field(
        None, description="Look at objects of the run's namespace, wait for them, change them."
    )
    logs: LogQuery | None = Field(None, description="Find lines in the logs of a service.")
    metrics: MetricQuery | None = Field(None, description="Read a metric, or ask Prometheus.")
    message: Message | None = Field(
        None, description="Publish messages to a broker, or wait for them."
    )
    sql: SqlStep | None = Field(None, description="Ask or change a SQL database.")
    redis: RedisStep | None = Field(None, description="Send commands to Redis.")
    mongo: MongoStep | None = Field(None, description="Ask or change a MongoDB database.")
    data: DataStep | None = Field(None, description="Make data, load it, remove it.")
    set: dict[Identifier, CEL] | None = Field(
        None, min_length=1, max_length=32, description="Compute values with CEL and name them."
    )
    expect: list[CEL] = Field(
        default_factory=list,
        max_length=32,
        description="CEL expressions that must be true, such as response.status == 201.",
    )
    capture: dict[Identifier, CEL] = Field(
        default_factory=dict,
        max_length=32,
        description="Values to remember, by name: {order: response.json.id}.",
    )
    snapshot: Snapshot | None = Field(
        None, description="Compare a value with what was stored of it."
    )
    eventually: Eventually | None = Field(
        None, description="Repeat the step until its expectations hold, or time is out."
    )
    always: Always | None = Field(
        None, description="Repeat the step for a time: its expectations must hold each time."
    )
    repeat: Repeat | None = Field(None, description="Do the step several times.")
    for_each: ForEach | None = Field(None, description="Do the step for each element of a list.")
    expect_failure: ExpectFailure | None = Field(
        None, description="The request must fail while a fault is in effect: graceful degradation."
    )
    expect_error: list[CEL] | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="It must be answered with an error like this: error.name == 'deadlock'.",
    )
    retries: int = Field(
        0, ge=0, le=10, description="How often to repeat a failed step; a later pass is flaky."
    )
    steps: Steps | None = Field(
        None, description="A group: steps in order, with one name, condition or repetition."
    )
    scenario: ScenarioCall | None = Field(None, description="Run a scenario of spec.scenarios.")
    parallel: list[Branch] | None = Field(
        None,
        min_length=1,
        max_length=8,
        description="Branches that run at the same time; the step ends when all have ended.",
    )


# A structural schema has no way to say "and so on": what is inside of a step is checked by the
# operator, before anything is created, and by ``seatrial validate``.
Steps = Annotated[
    list[Step],
    Field(min_length=1, max_length=32),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "maxItems": 32,
            "items": {
                "type": "object",
                "maxProperties": 24,
                "x-kubernetes-preserve-unknown-fields": True,
            },
        }
    ),
]


class Branch(Model):
    """Steps that run beside other branches."""

    name: ShortText | None = Field(None, description="Shown in results. Default: its number.")
    steps: Steps = Field(description="Steps of the branch, in order; as in scenario.")


class Scenario(Model):
    """Steps with a name, that tests and other scenarios call."""

    name: TestName = Field(description="Name of the scenario, unique in the run.")
    inputs: dict[Identifier, Input] = Field(
        default_factory=dict, max_length=32, description="Values it is given, by name."
    )
    steps: Steps = Field(
        description="Steps, in order. They see the inputs, not the caller's names."
    )
    outputs: dict[Identifier, CEL] = Field(
        default_factory=dict, max_length=32, description="Values it gives: {order: order.id}."
    )


Scenarios = Annotated[list[Scenario], Field(max_length=32, json_schema_extra=BY_NAME)]
