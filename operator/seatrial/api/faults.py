"""What goes wrong on purpose, as a user writes it."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from seatrial.api.fields import (
    CEL,
    Grace,
    IntOrPercent,
    Model,
    Name,
    Offset,
    Rule,
    TestName,
    Wait,
    one_of,
)
from seatrial.api.scenario import HttpRequest


class Target(Model):
    """What a fault hits."""

    service: Name = Field(description="Name of a service of this run.")
    pods: IntOrPercent | None = Field(
        None, description="How many pods: a number, a percentage such as 50%, or all. Default 1."
    )


class Kill(Model):
    """Deletes pods with the least grace there is; their controller replaces them."""

    grace_period: Grace = Field(
        timedelta(seconds=1),
        description="Time for the pod to end by itself. Default: 1s, the least there is.",
    )


class Restart(Model):
    """Restarts the workload as kubectl rollout restart does."""


class Scale(Model):
    """Changes the number of pods, and back when the fault ends."""

    replicas: int = Field(ge=0, le=20, description="Number of pods while the fault lasts.")


class Manual(Model):
    """Nothing to say: a test starts the fault."""


class When(Model):
    """When a fault begins."""

    __rules__ = (one_of("test", "manual", required=False),)

    after: Offset | None = Field(
        None, description="Offset: from the gate's opening, or from the start of the named test."
    )
    test: TestName | None = Field(
        None, description="Begins with this test, and ends with it at the latest."
    )
    manual: Manual | None = Field(None, description="Begins when a test asks for it. Write {}.")


class Recovery(Model):
    """When the system counts as well again after a fault."""

    class Until(Model):
        """A check that must hold."""

        http: HttpRequest = Field(description="Request to send.")
        expect: list[CEL] = Field(
            default_factory=lambda: ["response.status < 400"],
            max_length=16,
            description="CEL expressions that must be true. Default: response.status < 400.",
        )

    within: Wait = Field(
        timedelta(seconds=60), description="Longest time from the fault's end. Default 60s."
    )
    until: Until | None = Field(
        None, description="Check in addition to all pods of the target being ready."
    )


class Fault(Model):
    """Something that goes wrong on purpose, and is undone."""

    __rules__ = (
        one_of("kill", "restart", "scale", required=True),
        # __for__ is how CEL writes a field that is named like one of its keywords.
        Rule(
            "scale needs for: how long it lasts",
            "!has(self.scale) || has(self.__for__)",
            lambda self: not self.scale or self.for_ is not None,
        ),
        Rule(
            "for goes with scale; kill and restart are momentary",
            "!has(self.__for__) || has(self.scale)",
            lambda self: self.for_ is None or self.scale is not None,
        ),
        Rule(
            "target.pods goes with kill; restart and scale act on the whole workload",
            "!has(self.target.pods) || has(self.kill)",
            lambda self: self.target.pods is None or self.kill is not None,
        ),
    )

    name: TestName = Field(description="Name of the fault, unique in the run.")
    target: Target = Field(description="What the fault hits.")
    kill: Kill | None = Field(
        None, description="Delete pods with the least grace there is, a second. Write {}."
    )
    restart: Restart | None = Field(None, description="Restart the workload. Write {}.")
    scale: Scale | None = Field(None, description="Change the number of pods for a while.")
    for_: Wait | None = Field(
        None, alias="for", description="How long the fault lasts, at most 1h."
    )
    when: When = Field(
        default_factory=When, description="When it begins. Default: when the gate opens."
    )
    recovery: Recovery = Field(
        default_factory=Recovery, description="When the system counts as well again."
    )
