"""What a user writes: the spec of an IntegrationTestRun, as pydantic models."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from seatrial.api.fields import (
    BY_NAME,
    CEL,
    UNIQUE,
    Argument,
    Budget,
    EnvName,
    FileGlob,
    FilePath,
    Grace,
    Identifier,
    Image,
    IntOrPercent,
    LongRetention,
    Model,
    Name,
    ObjectName,
    Offset,
    PortName,
    Quantity,
    RelaxedObject,
    Retention,
    Rule,
    ShortText,
    TestName,
    Text,
    Wait,
    one_of,
)
from seatrial.api.scenario import HttpRequest, Step

Port = Annotated[int, Field(ge=1, le=65535)]
FileContent = Annotated[str, Field(max_length=131072)]


class PodSecurity(StrEnum):
    """Pod Security level of the run's namespace."""

    RESTRICTED = "restricted"
    BASELINE = "baseline"


class PortSpec(Model):
    """A port of a service."""

    name: PortName = Field(description="Name of the port, such as http.")
    port: Port = Field(description="Port that clients use.")
    target_port: Port | None = Field(None, description="Port of the container. Default: port.")
    protocol: Literal["TCP", "UDP"] = Field("TCP", description="TCP or UDP.")


class ObjectReference(Model):
    """A ConfigMap or Secret of the run's own namespace, labelled seatrial.dev/readable-by=runs."""

    __rules__ = (one_of("configMap", "secret", required=True),)

    config_map: ObjectName | None = Field(None, description="Name of a ConfigMap.")
    secret: ObjectName | None = Field(None, description="Name of a Secret.")


class HttpGet(Model):
    """An HTTP check: any status from 200 to 399 is success."""

    path: Annotated[str, Field(max_length=1024)] = Field("/", description="Path to GET.")
    port: Port = Field(description="Port of the container.")


class PortCheck(Model):
    """A check of one port."""

    port: Port = Field(description="Port of the container.")


class ExecCheck(Model):
    """A command in the container: exit status 0 is success."""

    command: list[Argument] = Field(
        min_length=1, max_length=64, description="Command and arguments."
    )


class Probe(Model):
    """A Kubernetes probe; its period is one second unless told otherwise."""

    __rules__ = (one_of("httpGet", "tcpSocket", "grpc", "exec", required=True),)

    http_get: HttpGet | None = Field(None, description="Check by an HTTP GET.")
    tcp_socket: PortCheck | None = Field(None, description="Check that the port accepts.")
    grpc: PortCheck | None = Field(None, description="Check by the gRPC health protocol.")
    exec: ExecCheck | None = Field(None, description="Check by a command in the container.")
    initial_delay_seconds: int = Field(0, ge=0, le=600, description="Wait before the first check.")
    period_seconds: int = Field(1, ge=1, le=300, description="Time between checks.")
    timeout_seconds: int = Field(1, ge=1, le=300, description="Longest time of a check.")
    failure_threshold: int = Field(3, ge=1, le=1000, description="Failures in a row that count.")


class Resources(Model):
    """CPU and memory, as in a Pod."""

    class Amounts(Model):
        """Amounts of CPU and memory."""

        cpu: Quantity | None = Field(None, description="CPU cores, such as 250m.")
        memory: Quantity | None = Field(None, description="Memory, such as 128Mi.")

    requests: Amounts | None = Field(None, description="Reserved for the container.")
    limits: Amounts | None = Field(None, description="The most the container may use.")


class Manifests(Model):
    """Plain Kubernetes YAML: allow-listed, namespaced kinds; the namespace is set for you."""

    __rules__ = (one_of("inline", "configMap", required=True),)

    inline: Annotated[str, Field(min_length=1, max_length=131072)] | None = Field(
        None, description="YAML documents, separated by ---."
    )
    config_map: ObjectName | None = Field(
        None,
        description="ConfigMap in the run's namespace, labelled seatrial.dev/readable-by=runs;"
        " every key ending in .yaml, .yml or .json is read, in order of name.",
    )


# What belongs to image, and not to manifests.
_SHORT_FORM = (
    *("ports", "env", "envFrom", "files", "command", "args", "replicas", "resources"),
    *("readinessProbe", "livenessProbe", "startupProbe", "runAsUser"),
)


class Service(Model):
    """A part of the system under test."""

    __rules__ = (
        one_of("image", "manifests", required=True),
        Rule(
            "a service made from manifests takes nothing but name and dependsOn beside them",
            "!has(self.manifests) || !("
            + " || ".join(f"has(self.{name})" for name in _SHORT_FORM)
            + ")",
            lambda self: not self.manifests or not any(map(self.given, _SHORT_FORM)),
        ),
        Rule(
            "must not begin with seatrial-, which is kept for Seatrial's own objects",
            "!self.name.startsWith('seatrial-')",
            lambda self: not self.name.startswith("seatrial-"),
            field="name",
        ),
        Rule(
            "two ports have the same number and protocol",
            "!has(self.ports) || self.ports.all(p, self.ports.exists_one(q,"
            " q.port == p.port && q.protocol == p.protocol))",
            lambda self: (
                len({(p.port, p.protocol) for p in self.ports or ()}) == len(self.ports or ())
            ),
            field="ports",
        ),
        Rule(
            "a service cannot depend on itself",
            "!has(self.dependsOn) || !(self.name in self.dependsOn)",
            lambda self: self.name not in (self.depends_on or ()),
            field="dependsOn",
        ),
    )

    name: Name = Field(description="Name of the service and its host name for the others.")
    image: Image | None = Field(None, description="Container image.")
    manifests: Manifests | None = Field(
        None, description="Plain Kubernetes YAML in place of image."
    )
    ports: list[PortSpec] | None = Field(
        None,
        max_length=16,
        json_schema_extra=BY_NAME,
        description="Ports that the others can reach.",
    )
    env: dict[EnvName, Text] | None = Field(
        None, max_length=128, description="Environment variables; $(OTHER) is expanded."
    )
    env_from: list[ObjectReference] | None = Field(
        None, max_length=8, description="Environment variables from ConfigMaps and Secrets."
    )
    files: dict[FilePath, FileContent] | None = Field(
        None, max_length=32, description="Files in the container by absolute path."
    )
    command: list[Argument] | None = Field(
        None, max_length=64, description="Command in place of the image's ENTRYPOINT."
    )
    args: list[Argument] | None = Field(
        None, max_length=64, description="Arguments in place of the image's CMD."
    )
    replicas: int | None = Field(None, ge=0, le=20, description="Number of pods. Default 1.")
    resources: Resources | None = Field(
        None, description="CPU and memory. Default: the namespace's LimitRange."
    )
    readiness_probe: Probe | None = Field(
        None, description="When a pod counts as ready. Default: its first TCP port accepts."
    )
    liveness_probe: Probe | None = Field(None, description="When a container is restarted.")
    startup_probe: Probe | None = Field(None, description="When the other probes begin.")
    run_as_user: int | None = Field(
        None, ge=1, le=4294967294, description="User ID, where the image names no numeric one."
    )
    depends_on: list[Name] | None = Field(
        None,
        max_length=16,
        json_schema_extra=UNIQUE,
        description="Services that must be ready before this one is started.",
    )


class Target(Model):
    """What a fault hits."""

    service: Name = Field(description="Name of a service of this run.")
    pods: IntOrPercent | None = Field(
        None, description="How many pods: a number, a percentage such as 50%, or all. Default 1."
    )


class Kill(Model):
    """Deletes pods without grace; their controller replaces them."""

    grace_period: Grace = Field(
        timedelta(0), description="Time for the pod to end by itself. Default: none."
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
    kill: Kill | None = Field(None, description="Delete pods without grace. Write {}.")
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


class Pytest(Model):
    """A pytest suite from a ConfigMap, run by the real pytest."""

    config_map: ObjectName = Field(
        description="ConfigMap in the run's namespace, labelled seatrial.dev/readable-by=runs;"
        " its keys are the files of the suite."
    )
    args: list[Argument] = Field(
        default_factory=list, max_length=64, description="Arguments of pytest: -m, -k, -n, ..."
    )
    env: dict[EnvName, Text] = Field(
        default_factory=dict, max_length=64, description="Environment variables."
    )
    env_from: list[ObjectReference] = Field(
        default_factory=list, max_length=8, description="Variables from ConfigMaps and Secrets."
    )
    image: Image | None = Field(
        None, description="Image with seatrial[runner] and what the suite imports. Default: ours."
    )
    parallelism: int = Field(1, ge=1, le=20, description="Shards: pods that share the tests.")
    resources: Resources | None = Field(None, description="CPU and memory of each pod.")


class Container(Model):
    """Any image as a test: it passes with exit status 0 and no failure in its JUnit files."""

    image: Image = Field(description="Container image.")
    command: list[Argument] | None = Field(
        None, max_length=64, description="Command in place of the image's ENTRYPOINT."
    )
    args: list[Argument] | None = Field(
        None, max_length=64, description="Arguments in place of the image's CMD."
    )
    env: dict[EnvName, Text] = Field(
        default_factory=dict, max_length=64, description="Environment variables."
    )
    env_from: list[ObjectReference] = Field(
        default_factory=list, max_length=8, description="Variables from ConfigMaps and Secrets."
    )
    files: dict[FilePath, FileContent] | None = Field(
        None, max_length=32, description="Files in the container by absolute path."
    )
    junit: FileGlob | None = Field(
        None, description="JUnit XML files to collect, such as /results/*.xml."
    )
    run_as_user: int | None = Field(
        None, ge=1, le=4294967294, description="User ID, where the image names no numeric one."
    )
    resources: Resources | None = Field(None, description="CPU and memory of the pod.")


class Test(Model):
    """One test of the run; tests run in the order given, one after another by default."""

    __test__ = False  # not a pytest class
    __rules__ = (
        one_of("scenario", "pytest", "container", required=True),
        # CEL does not see a field that may hold any JSON.
        Rule(
            "matrix goes with scenario; pytest and container have their own ways",
            check=lambda self: not self.matrix or self.scenario is not None,
        ),
    )

    name: TestName = Field(description="Name of the test, unique in the run.")
    timeout: Budget = Field(
        timedelta(minutes=5), description="Longest time of one attempt. Default 5m."
    )
    retries: int = Field(
        0, ge=0, le=5, description="Further attempts after a failure; a later pass is flaky."
    )
    matrix: dict[
        Identifier,
        Annotated[list[Annotated[JsonValue, RelaxedObject]], Field(min_length=1, max_length=32)],
    ] = Field(
        default_factory=dict,
        max_length=4,
        description="Runs the scenario once for each combination: {sku: [A1, B2]}.",
    )
    scenario: list[Step] | None = Field(
        None, min_length=1, max_length=64, description="Steps, in order."
    )
    pytest: Pytest | None = Field(None, description="A pytest suite.")
    container: Container | None = Field(None, description="Any image that tests.")


class Timeouts(Model):
    """Longest time of each phase."""

    provisioning: Budget = Field(
        timedelta(minutes=5), description="Until every service is ready. Default 5m."
    )
    tests: Budget = Field(timedelta(minutes=30), description="All tests. Default 30m.")
    collecting: Budget = Field(
        timedelta(minutes=1), description="Logs and report, after the verdict. Default 1m."
    )
    cleanup: Budget = Field(
        timedelta(minutes=5),
        description="Until a namespace that will not go is reported. Default 5m.",
    )


class KeepEnvironment(Model):
    """How long the run's namespace stays after the verdict."""

    on_success: Retention = Field(timedelta(0), description="After Passed. Default: not at all.")
    on_failure: Retention = Field(
        timedelta(0), description="After any other verdict. Default: not at all."
    )


class Concurrency(Model):
    """Runs that must not run at the same time."""

    group: ShortText = Field(description="Only one run of a group, in a namespace, runs at a time.")
    policy: Literal["Queue", "Replace"] = Field(
        "Queue", description="Queue waits for the running one; Replace aborts it."
    )


# What can be changed while a run runs; all else is fixed once it has left the queue.
MUTABLE = ("suspend", "abort", "priority", "keepEnvironment", "ttlAfterFinished")


class RunSpec(Model):
    """The system under test, what goes wrong, and what must hold."""

    # Which name is wrong is said by ``seatrial.api.rules``; CEL would pay too much for saying it.
    __rules__ = (
        Rule(
            "dependsOn names a service that is not in spec.services",
            "!has(self.services) || self.services.all(s, !has(s.dependsOn) || s.dependsOn.all(d,"
            " self.services.exists(o, o.name == d)))",
        ),
        Rule(
            "a fault's target.service is not in spec.services",
            "!has(self.faults) || self.faults.all(f, has(self.services) &&"
            " self.services.exists(s, s.name == f.target.service))",
        ),
        Rule(
            "a fault's when.test is not in spec.tests",
            "!has(self.faults) || self.faults.all(f, !has(f.when) || !has(f.when.test) ||"
            " self.tests.exists(t, t.name == f.when.test))",
        ),
    )

    timeout: Budget = Field(
        timedelta(minutes=30), description="Whole run, without time in the queue. Default 30m."
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="Longest time of each phase.")
    suspend: bool = Field(
        False, description="Hold the run: in the queue, or before its next test if it has started."
    )
    abort: bool = Field(False, description="End the run now, undo its faults, verdict Aborted.")
    priority: int = Field(0, ge=-1000, le=1000, description="Higher leaves the queue first.")
    concurrency: Concurrency | None = Field(
        None, description="Runs that must not run at the same time."
    )
    pod_security: PodSecurity = Field(
        PodSecurity.RESTRICTED,
        strict=False,  # a text, as JSON has it
        description="Pod Security level of the run's namespace; baseline for images that run as"
        " root, where the cluster's operator allows it.",
    )
    services: list[Service] = Field(
        default_factory=list,
        max_length=32,
        json_schema_extra=BY_NAME,
        description="The system under test.",
    )
    faults: list[Fault] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=BY_NAME,
        description="What goes wrong on purpose.",
    )
    tests: list[Test] = Field(
        min_length=1, max_length=64, json_schema_extra=BY_NAME, description="What must hold."
    )
    parallelism: int = Field(
        1, ge=1, le=16, description="How many tests run at the same time. Default 1: in order."
    )
    keep_environment: KeepEnvironment = Field(
        default_factory=KeepEnvironment,
        description="How long the run's namespace stays after the verdict.",
    )
    ttl_after_finished: LongRetention | None = Field(
        None, description="Delete the run itself this long after its end. Default: keep it."
    )
