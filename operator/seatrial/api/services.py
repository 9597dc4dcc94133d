"""The system under test, as a user writes it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from seatrial.api.fields import (
    BY_NAME,
    UNIQUE,
    Argument,
    Directory,
    EnvName,
    FilePath,
    Image,
    Model,
    Name,
    ObjectName,
    PortName,
    Quantity,
    Rule,
    Text,
    one_of,
)

Port = Annotated[int, Field(ge=1, le=65535)]
FileContent = Annotated[str, Field(max_length=131072)]


class PortSpec(Model):
    """A port of a service."""

    name: PortName = Field(description="Name of the port, such as http.")
    port: Port = Field(description="Port that clients use.")
    target_port: Port | None = Field(None, description="Port of the container. Default: port.")
    protocol: Literal["TCP", "UDP"] = Field("TCP", description="TCP or UDP.")


class ObjectReference(Model):
    """A ConfigMap or Secret beside the run, labelled seatrial.dev/readable-by=runs."""

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
        description="ConfigMap beside the run, labelled seatrial.dev/readable-by=runs;"
        " every key ending in .yaml, .yml or .json is read, in order of name.",
    )


class Preset(StrEnum):
    """A database or broker that Seatrial knows how to run."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    REDIS = "redis"
    RABBITMQ = "rabbitmq"
    KAFKA = "kafka"
    NATS = "nats"
    MOSQUITTO = "mosquitto"
    MONGODB = "mongodb"
    MINIO = "minio"


# What belongs to image, and not to manifests.
_SHORT_FORM = (
    *("ports", "env", "envFrom", "files", "command", "args", "replicas", "resources"),
    *("readinessProbe", "livenessProbe", "startupProbe", "runAsUser", "volumes"),
)
# What a preset decides by itself.
_OF_PRESET = ("ports", "command", "replicas")


def _any_of(fields: tuple[str, ...]) -> str:
    return " || ".join(f"has(self.{name})" for name in fields)


class Volume(Model):
    """A volume that outlives the pod, within the run."""

    path: Directory = Field(description="Directory in the container.")
    size: Quantity = Field("1Gi", description="Size asked for. Default 1Gi.")


class Service(Model):
    """A part of the system under test."""

    __rules__ = (
        Rule(
            "give one of: image, preset, manifests; only image and preset go together",
            "has(self.manifests) ? !has(self.image) && !has(self.preset)"
            " : has(self.image) || has(self.preset)",
            lambda self: bool(self.manifests) != bool(self.image or self.preset),
        ),
        Rule(
            "a service made from manifests takes nothing but name and dependsOn beside them",
            f"!has(self.manifests) || !({_any_of(_SHORT_FORM)})",
            lambda self: not self.manifests or not any(map(self.given, _SHORT_FORM)),
        ),
        Rule(
            f"a preset has its own {', '.join(_OF_PRESET[:-1])} and {_OF_PRESET[-1]}; leave them"
            " out, or write the service with image alone",
            f"!has(self.preset) || !({_any_of(_OF_PRESET)})",
            lambda self: not self.preset or not any(map(self.given, _OF_PRESET)),
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
        Rule(
            "volumes go with one replica: two pods would write to the same data",
            "!has(self.volumes) || !has(self.replicas) || self.replicas <= 1",
            lambda self: self.volumes is None or self.replicas is None or self.replicas <= 1,
            field="replicas",
        ),
    )

    name: Name = Field(description="Name of the service and its host name for the others.")
    preset: Preset | None = Field(
        None,
        strict=False,  # a text, as JSON has it
        description="A database or broker, ready to use: image, ports, readiness, credentials,"
        " volume. Those that depend on it get NAME_URL, NAME_HOST, ... in their environment.",
    )
    image: Image | None = Field(
        None, description="Container image; beside preset, in place of the preset's."
    )
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
        None,
        max_length=64,
        description="Arguments in place of the image's CMD; of a preset, after its own.",
    )
    replicas: int | None = Field(None, ge=0, le=20, description="Number of pods. Default 1.")
    resources: Resources | None = Field(
        None, description="CPU and memory. Default: the preset's, or the namespace's LimitRange."
    )
    readiness_probe: Probe | None = Field(
        None,
        description="When a pod counts as ready. Default: the preset's, or its first TCP port"
        " accepts.",
    )
    liveness_probe: Probe | None = Field(None, description="When a container is restarted.")
    startup_probe: Probe | None = Field(None, description="When the other probes begin.")
    run_as_user: int | None = Field(
        None, ge=1, le=4294967294, description="User ID, where the image names no numeric one."
    )
    volumes: list[Volume] | None = Field(
        None,
        min_length=1,
        max_length=4,
        description="Volumes that keep their data when the pod is replaced; for one replica."
        " A preset has one by itself: give its path to change the size.",
    )
    depends_on: list[Name] | None = Field(
        None,
        max_length=16,
        json_schema_extra=UNIQUE,
        description="Services that must be ready before this one is started.",
    )
