"""What goes wrong on purpose, as a user writes it: kind, target, moment, end, recovery."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from seatrial.api import families
from seatrial.api import fault_kinds as kinds
from seatrial.api.fields import (
    CEL,
    UNIQUE,
    IntOrPercent,
    LabelKey,
    LabelValue,
    Model,
    Name,
    Offset,
    PortName,
    Rule,
    Share,
    TestName,
    Wait,
    one_of,
)
from seatrial.api.scenario import HttpRequest
from seatrial.api.steps.sql import SqlQuery


def _has(*fields: str) -> str:
    return "(" + " || ".join(f"has(self.{field})" for field in fields) + ")"


def _any(fault: Fault, fields: tuple[str, ...]) -> bool:
    return any(fault.given(field) for field in fields)


class Target(Model):
    """What a fault hits."""

    service: Name = Field(description="Name of a service of this run.")
    pods: IntOrPercent | None = Field(
        None,
        description="How many pods: a number, a share such as 50%, rounded up, or all. Default 1.",
    )
    pod_labels: dict[LabelKey, LabelValue] | None = Field(
        None,
        min_length=1,
        max_length=8,
        description="Only pods with these labels, such as the leader: {role: primary}.",
    )
    port: PortName | None = Field(
        None, description="Only this port of the service, by name. Default: all TCP ports."
    )
    from_: list[Name] | None = Field(
        None,
        alias="from",
        min_length=1,
        max_length=16,
        json_schema_extra=UNIQUE,
        description="Only traffic of these services; tests stands for the run's tests.",
    )
    connections: Share | None = Field(
        None, description="Share of connections that are hit. Default: 100%."
    )


class Manual(Model):
    """Nothing to say: a test starts the fault."""


class When(Model):
    """When a fault begins."""

    __rules__ = (
        one_of("test", "fault", "manual", required=False),
        Rule(
            "every and times go together",
            "has(self.every) == has(self.times)",
            lambda self: (self.every is None) == (self.times is None),
        ),
        Rule(
            "after goes without manual: the test decides when",
            "!has(self.manual) || !has(self.after)",
            lambda self: self.manual is None or self.after is None,
        ),
    )

    after: Offset | None = Field(
        None,
        description="Offset: from the gate's opening, from the start of the named test, or from"
        " the end of the named fault.",
    )
    test: TestName | None = Field(
        None, description="Begins with this test, and ends with it at the latest."
    )
    fault: TestName | None = Field(None, description="Begins when this fault has been undone.")
    manual: Manual | None = Field(None, description="Begins when a test asks for it. Write {}.")
    every: Wait | None = Field(
        None, description="Repeat: from one beginning to the next; never before it is over."
    )
    times: int | None = Field(None, ge=2, le=1000, description="How often it happens.")


class Recovery(Model):
    """When the system counts as well again after a fault."""

    class Until(Model):
        """A check that must hold."""

        __rules__ = (one_of("http", "sql", required=True),)

        http: HttpRequest | None = Field(None, description="Request to send.")
        sql: SqlQuery | None = Field(None, description="Statement that a database must answer.")
        expect: list[CEL] = Field(
            default_factory=list,
            max_length=16,
            description="CEL expressions that must be true, over response or rows. Default with"
            " http: response.status < 400; with sql: that it is answered.",
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
        one_of(*families.KINDS, required=True),
        # __for__ is how CEL writes a field that is named like one of its keywords.
        Rule(
            "for is missing: how long the fault lasts",
            f"has(self.__for__) || !{_has(*families.LASTING)}",
            lambda self: self.for_ is not None or not _any(self, families.LASTING),
        ),
        Rule(
            "kill, restart and evict are momentary: they have no for",
            f"!has(self.__for__) || !{_has(*families.MOMENTARY)}",
            lambda self: self.for_ is None or not _any(self, families.MOMENTARY),
        ),
        Rule(
            "target is missing: the service that is hit",
            "has(self.target) || has(self.resource)",
            lambda self: self.target is not None or self.resource is not None,
        ),
        Rule(
            "target.pods and target.podLabels go with kill, evict and faults inside pods",
            "!has(self.target) || !(has(self.target.pods) || has(self.target.podLabels))"
            f" || {_has('kill', 'evict', *families.POD)}",
            lambda self: (
                self.target is None
                or (self.target.pods is None and self.target.pod_labels is None)
                or _any(self, ("kill", "evict", *families.POD))
            ),
        ),
        Rule(
            "target.from goes with network and http faults",
            f"!has(self.target) || !has(self.target.from) || {_has(*families.GATEWAY)}",
            lambda self: (
                self.target is None or self.target.from_ is None or _any(self, families.GATEWAY)
            ),
        ),
        Rule(
            "target.port goes with network and http faults",
            f"!has(self.target) || !has(self.target.port) || {_has(*families.GATEWAY)}",
            lambda self: (
                self.target is None or self.target.port is None or _any(self, families.GATEWAY)
            ),
        ),
        Rule(
            "target.connections goes with network faults; http has a share of its own",
            f"!has(self.target) || !has(self.target.connections) || {_has(*families.NETWORK)}",
            lambda self: (
                self.target is None
                or self.target.connections is None
                or _any(self, families.NETWORK)
            ),
        ),
        Rule(
            "partition needs target.from: the services on the other side",
            "!has(self.partition) || (has(self.target) && has(self.target.from))",
            lambda self: (
                self.partition is None
                or (self.target is not None and self.target.from_ is not None)
            ),
        ),
        Rule(
            "target.from names the target itself",
            "!has(self.target) || !has(self.target.from)"
            " || !(self.target.service in self.target.from)",
            lambda self: (
                self.target is None or self.target.service not in (self.target.from_ or ())
            ),
        ),
    )

    name: TestName = Field(description="Name of the fault, unique in the run.")
    target: Target | None = Field(None, description="What the fault hits.")
    kill: kinds.Kill | None = Field(
        None, description="Delete pods with the least grace there is, a second. Write {}."
    )
    restart: kinds.Restart | None = Field(None, description="Restart the workload. Write {}.")
    evict: kinds.Evict | None = Field(None, description="Evict pods, as a drain does. Write {}.")
    scale: kinds.Scale | None = Field(None, description="Change the number of pods.")
    outage: kinds.Outage | None = Field(
        None, description="Take all pods away; volumes are kept. Write {}."
    )
    no_endpoints: kinds.NoEndpoints | None = Field(
        None, description="Cut the Service off from its pods. Write {}."
    )
    configuration: kinds.Configuration | None = Field(
        None, description="Change or remove a ConfigMap or Secret."
    )
    latency: kinds.Latency | None = Field(None, description="Delay bytes.")
    blackhole: kinds.Blackhole | None = Field(None, description="Let bytes vanish. Write {}.")
    refuse: kinds.Refuse | None = Field(None, description="Refuse connections. Write {}.")
    reset: kinds.Reset | None = Field(None, description="Reset connections. Write {}.")
    bandwidth: kinds.Bandwidth | None = Field(None, description="Limit the rate.")
    slow_close: kinds.SlowClose | None = Field(None, description="Delay the end of connections.")
    connection_limit: kinds.ConnectionLimit | None = Field(
        None, description="Limit the connections open at a time."
    )
    corrupt: kinds.Corrupt | None = Field(None, description="Change bytes. Write {}.")
    partition: kinds.Partition | None = Field(
        None, description="Part the target from the services in target.from. Write {}."
    )
    http: kinds.Http | None = Field(None, description="Disturb HTTP and gRPC requests.")
    packets: kinds.Packets | None = Field(
        None, description="Disturb packets of the pod; needs podSecurity: privileged."
    )
    dns: kinds.Dns | None = Field(
        None, description="Disturb name resolution; needs podSecurity: privileged."
    )
    freeze: kinds.Freeze | None = Field(
        None, description="Stop the processes. Write {}. Needs podSecurity: privileged."
    )
    cpu: kinds.Cpu | None = Field(None, description="Take CPU time; needs podSecurity: privileged.")
    memory: kinds.Memory | None = Field(
        None, description="Take memory; needs podSecurity: privileged."
    )
    disk: kinds.Disk | None = Field(
        None, description="Fill a volume; needs podSecurity: privileged."
    )
    resource: kinds.Resource | None = Field(
        None, description="A fault of Chaos Mesh or Litmus, where the cluster allows it."
    )
    for_: Wait | None = Field(
        None, alias="for", description="How long the fault lasts, at most 1h."
    )
    seed: Annotated[int, Field(ge=0, le=2147483647)] | None = Field(
        None,
        description="Of what is left to chance; the same seed chooses alike."
        " Default: from the run's seed or UID; status.faults[].seed has it.",
    )
    when: When = Field(
        default_factory=When, description="When it begins. Default: when the gate opens."
    )
    recovery: Recovery = Field(
        default_factory=Recovery, description="When the system counts as well again."
    )

    @property
    def kind(self) -> str:
        """Name of the one kind that is given, as in the resource: ``noEndpoints``."""
        return next(name for name in families.KINDS if self.given(name))
