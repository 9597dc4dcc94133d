"""
The steps of a declarative test, as pydantic models.

The engine (``seatrial_runner.scenario``) reads the same shape as plain JSON, because the pods do
not import pydantic: what the operator hands over was validated here.
"""

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
    TestName,
    Text,
    Wait,
    one_of,
)

HTTP_VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
ACTIONS = ("http", "fault", "set", "parallel")

Url = Annotated[str, Field(min_length=1, max_length=2048)]


class BasicAuth(Model):
    """User name and password of HTTP basic authentication."""

    username: ShortText = Field(description="User name.")
    password: ShortText = Field(description="Password.")


class HttpRequest(Model):
    """One HTTP request. Every text may hold ``{{ captured }}`` values."""

    __rules__ = (
        one_of(*HTTP_VERBS, required=True),
        one_of("body", "form", required=False),
        # CEL does not see a field that may hold any JSON.
        Rule(
            "give at most one of: json, body, form",
            check=lambda self: self.json_ is None or (self.body is None and self.form is None),
        ),
    )

    get: Url | None = Field(None, description="URL to GET.")
    post: Url | None = Field(None, description="URL to POST to.")
    put: Url | None = Field(None, description="URL to PUT to.")
    patch: Url | None = Field(None, description="URL to PATCH.")
    delete: Url | None = Field(None, description="URL to DELETE.")
    head: Url | None = Field(None, description="URL to ask for with HEAD.")
    options: Url | None = Field(None, description="URL to ask for with OPTIONS.")
    headers: dict[HeaderName, Text] = Field(
        default_factory=dict, max_length=64, description="Request headers by name."
    )
    query: dict[HeaderName, Text] = Field(
        default_factory=dict, max_length=64, description="Query parameters, encoded for you."
    )
    json_: Annotated[JsonValue, RelaxedObject] = Field(
        None, alias="json", description="JSON body; sets Content-Type: application/json."
    )
    body: Annotated[str, Field(max_length=65536)] | None = Field(
        None, description="Body as text, sent as it is."
    )
    form: dict[HeaderName, Text] | None = Field(
        None, max_length=64, description="Form fields, sent URL-encoded."
    )
    basic_auth: BasicAuth | None = Field(None, description="HTTP basic authentication.")
    bearer: Text | None = Field(None, description="Token of an Authorization: Bearer header.")
    timeout: Wait | None = Field(
        None, description="Longest time for the whole exchange. Default 10s."
    )
    follow_redirects: bool = Field(False, description="Follow 3xx answers.")


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
        default_factory=lambda: ["response.status >= 500"],
        max_length=16,
        description="How it fails: CEL expressions. Default: response.status >= 500.",
    )
    no_response: bool = Field(
        False, description="No response at all: refused, reset or timed out, in place of expect."
    )
    within: Wait | None = Field(None, description="The failure must be there in this time.")


class Eventually(Model):
    """Repeats a step until its expectations hold."""

    within: Wait = Field(description="Give up after this time.")
    every: Wait | None = Field(
        None, description="Pause between tries. Default: 50ms, growing to 1s."
    )


_NOT_EMPTY = Rule(
    "a step needs something to do: http, fault, set or expect",
    "has(self.http) || has(self.fault) || has(self.set)"
    " || (has(self.expect) && size(self.expect) > 0)",
    lambda self: self.http or self.fault or self.set or self.expect,
)


_FAILS_ALONE = Rule(
    "expectFailure goes with http, and without expect, eventually and retries",
    "!has(self.expectFailure) || (has(self.http) && !has(self.eventually)"
    " && !(has(self.expect) && size(self.expect) > 0) && self.retries == 0)",
    lambda self: (
        self.expect_failure is None
        or (self.http and not self.eventually and not self.expect and self.retries == 0)
    ),
)


class LeafStep(Model):
    """One step: an action, what must hold after it, and what to remember of it."""

    __rules__ = (one_of("http", "fault", "set", required=False), _NOT_EMPTY, _FAILS_ALONE)

    name: ShortText | None = Field(None, description="Shown in results. Default: the action.")
    when: CEL | None = Field(None, description="Skip the step unless this CEL expression is true.")
    http: HttpRequest | None = Field(None, description="Send an HTTP request.")
    fault: FaultControl | None = Field(None, description="Start or stop a declared fault.")
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
    eventually: Eventually | None = Field(
        None, description="Repeat the step until its expectations hold, or time is out."
    )
    expect_failure: ExpectFailure | None = Field(
        None, description="The request must fail while a fault is in effect: graceful degradation."
    )
    retries: int = Field(
        0, ge=0, le=10, description="How often to repeat a failed step; a later pass is flaky."
    )


class Branch(Model):
    """Steps that run beside other branches."""

    name: ShortText | None = Field(None, description="Shown in results. Default: its number.")
    steps: list[LeafStep] = Field(
        min_length=1, max_length=16, description="Steps of the branch, in order."
    )


class Step(LeafStep):
    """One step of a scenario; unlike a step in a branch it may itself hold branches."""

    __rules__ = (
        one_of(*ACTIONS, required=False),
        _FAILS_ALONE,
        Rule(
            "a step needs something to do: http, fault, set, parallel or expect",
            "has(self.http) || has(self.fault) || has(self.set) || has(self.parallel)"
            " || (has(self.expect) && size(self.expect) > 0)",
            lambda self: self.http or self.fault or self.set or self.parallel or self.expect,
        ),
    )

    parallel: list[Branch] | None = Field(
        None,
        min_length=1,
        max_length=8,
        description="Branches that run at the same time; the step ends when all have ended.",
    )
