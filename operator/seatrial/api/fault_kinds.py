"""What a fault does: a model per kind, in the order of ``families.KINDS``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from seatrial.api.fields import (
    BarePath,
    ConfigKey,
    Delay,
    Directory,
    DnsName,
    Grace,
    HeaderName,
    Model,
    ObjectName,
    Quantity,
    RelaxedObject,
    Rule,
    Share,
    ShortText,
    Text,
    one_of,
)

Direction = Literal["both", "request", "response"]


# Through the API server --------------------------------------------------------------------------


class Kill(Model):
    """Deletes pods with the least grace there is; their controller replaces them."""

    grace_period: Grace = Field(
        timedelta(seconds=1),
        description="Time for the pod to end by itself. Default: 1s, and less counts as 1s.",
    )


class Restart(Model):
    """Restarts the workload as kubectl rollout restart does."""


class Evict(Model):
    """Evicts pods as a node drain does: disruption budgets are kept, pods end in order."""


class Scale(Model):
    """Changes the number of pods, and back when the fault ends."""

    replicas: int = Field(ge=0, le=20, description="Number of pods while the fault lasts.")


class Outage(Model):
    """Takes all pods away and brings them back; what is on volumes is kept."""


class NoEndpoints(Model):
    """Cuts the Service off from its pods, which go on running."""


class Configuration(Model):
    """Changes or removes a ConfigMap or Secret, and brings it back."""

    __rules__ = (
        one_of("configMap", "secret", required=True),
        one_of("remove", "set", "expireCertificate", required=True),
    )

    class Remove(Model):
        """What is taken away."""

        keys: list[ConfigKey] = Field(
            default_factory=list, max_length=32, description="These keys. Default: the object."
        )

    class ExpireCertificate(Model):
        """Puts an expired copy of a certificate in place of it, signed by the same key."""

        key: ConfigKey = Field("tls.crt", description="Key of the PEM certificate.")

    config_map: ObjectName | None = Field(None, description="ConfigMap in the run's namespace.")
    secret: ObjectName | None = Field(None, description="Secret in the run's namespace.")
    remove: Remove | None = Field(None, description="Take keys, or the object, away.")
    set: dict[ConfigKey, Text] | None = Field(
        None, min_length=1, max_length=32, description="Give keys other values."
    )
    expire_certificate: ExpireCertificate | None = Field(
        None, description="Replace a certificate by one that has expired."
    )
    restart: bool = Field(
        False,
        description="Restart the target's workloads after the change, and after its end: what is"
        " read at start takes effect only then.",
    )


# Through the gateway, layer 4 --------------------------------------------------------------------


class Latency(Model):
    """Delays bytes on their way."""

    delay: Delay = Field(description="Delay of each piece of data, each way.")
    jitter: Delay | None = Field(
        None, description="Spread: half the width of uniform, the deviation of normal."
    )
    distribution: Literal["uniform", "normal", "pareto"] = Field(
        "uniform", description="How the jitter is spread."
    )
    direction: Direction = Field("both", description="Which way. Default: both.")


class Blackhole(Model):
    """Lets bytes vanish; connections stay open. What was held back is never delivered."""

    direction: Direction = Field("both", description="Which way. Default: both.")


class Refuse(Model):
    """Refuses new connections; open ones go on."""


class Reset(Model):
    """Resets connections, open ones and new ones."""

    after: Delay | None = Field(
        None, description="Life of a connection before it is reset. Default: at once."
    )


class Bandwidth(Model):
    """Limits the rate of each connection."""

    rate: Quantity = Field(description="Bytes per second, such as 64Ki.")
    direction: Direction = Field("both", description="Which way. Default: both.")


class SlowClose(Model):
    """Delays the end of connections: the peer's close arrives late."""

    delay: Delay = Field(description="Delay of the close.")


class ConnectionLimit(Model):
    """Admits so many connections at a time; more wait, as behind a full accept queue."""

    connections: int = Field(ge=0, le=10000, description="Connections open at a time.")


class Corrupt(Model):
    """Changes bytes on their way."""

    share: Share = Field("1%", description="Share of bytes that are changed.")
    direction: Direction = Field("response", description="Which way. Default: response.")


class Partition(Model):
    """Parts the target from the services in target.from, live connections included."""

    direction: Literal["both", "toTarget", "fromTarget"] = Field(
        "both",
        description="both; toTarget: what the others ask of the target; fromTarget: what the"
        " target asks of the others.",
    )


# Through the gateway, HTTP and gRPC --------------------------------------------------------------


class HttpMatch(Model):
    """Which requests are met."""

    __rules__ = (one_of("path", "pathPrefix", required=False),)

    methods: list[ShortText] = Field(
        default_factory=list, max_length=8, description="Methods, such as POST. Default: all."
    )
    path: BarePath | None = Field(None, description="Path, exactly, without its query.")
    path_prefix: BarePath | None = Field(None, description="Beginning of the path.")
    headers: dict[HeaderName, ShortText] = Field(
        default_factory=dict, max_length=8, description="Headers with their exact values."
    )


class HttpAbort(Model):
    """Answers instead of the service."""

    __rules__ = (one_of("status", "grpcStatus", required=True),)

    status: int | None = Field(None, ge=200, le=599, description="HTTP status.")
    grpc_status: int | None = Field(None, ge=0, le=16, description="gRPC status code.")


class HttpBody(Model):
    """Changes the body of responses."""

    __rules__ = (one_of("replace", "truncate", "contentType", required=True),)

    replace: Text | None = Field(None, description="This text instead, such as {} or <html>.")
    truncate: int | None = Field(
        None, ge=0, le=1048576, description="So many bytes; content-length says the full length."
    )
    content_type: ShortText | None = Field(None, description="Another content-type header.")


class Http(Model):
    """Disturbs HTTP and gRPC requests."""

    __rules__ = (one_of("abort", "delay", "rate", "body", required=True),)

    match: HttpMatch = Field(default_factory=HttpMatch, description="Which requests. Default: all.")
    share: Share = Field("100%", description="Share of these requests. Default: 100%.")
    abort: HttpAbort | None = Field(None, description="Answer instead of the service.")
    delay: Delay | None = Field(None, description="Delay the request.")
    rate: Quantity | None = Field(
        None, description="Bytes per second of the response, at least 1Ki."
    )
    body: HttpBody | None = Field(None, description="Change the response.")


# In the target's pod -----------------------------------------------------------------------------


class Packets(Model):
    """Disturbs packets of the pod, in and out."""

    __rules__ = (
        Rule(
            "give at least one of: loss, duplicate, reorder, corrupt, delay",
            "has(self.loss) || has(self.duplicate) || has(self.reorder) || has(self.corrupt)"
            " || has(self.delay)",
            lambda self: any(map(self.given, ("loss", "duplicate", "reorder", "corrupt", "delay"))),
        ),
        Rule(
            "jitter goes with delay",
            "!has(self.jitter) || has(self.delay)",
            lambda self: self.jitter is None or self.delay is not None,
        ),
    )

    loss: Share | None = Field(None, description="Share of packets lost.")
    duplicate: Share | None = Field(None, description="Share of packets sent twice.")
    reorder: Share | None = Field(None, description="Share of packets overtaken by later ones.")
    corrupt: Share | None = Field(None, description="Share of packets with a changed byte.")
    delay: Delay | None = Field(None, description="Delay of each packet.")
    jitter: Delay | None = Field(None, description="Half the width of the delay's spread.")


class Dns(Model):
    """Disturbs name resolution in the pod."""

    __rules__ = (one_of("nxdomain", "timeout", "address", required=True),)

    class Answer(Model):
        """Nothing to say."""

    names: list[DnsName] = Field(
        default_factory=list,
        max_length=32,
        description="Names, as asked for or below them. Default: all.",
    )
    nxdomain: Answer | None = Field(None, description="No such name. Write {}.")
    timeout: Answer | None = Field(None, description="No answer. Write {}.")
    address: ShortText | None = Field(None, description="This IP address instead.")


class Freeze(Model):
    """Stops the processes of the pod's main container, as SIGSTOP does."""


class Cpu(Model):
    """Takes CPU time within the pod's limits."""

    workers: int = Field(1, ge=1, le=64, description="Processes that compute without end.")
    load: Share = Field("100%", description="Share of the time that each computes.")


class Memory(Model):
    """Takes memory within the limits of the pod's main container."""

    size: Quantity = Field(description="How much, such as 256Mi.")


class Disk(Model):
    """Fills a volume."""

    path: Directory = Field(description="Directory on the volume, as the main container sees it.")
    leave: Quantity = Field("0", description="How much stays free. Default: nothing.")


# By another tool ---------------------------------------------------------------------------------


class Resource(Model):
    """A fault of Chaos Mesh or Litmus: applied, waited for, and removed."""

    manifest: Annotated[dict[str, JsonValue], RelaxedObject] = Field(
        description="The object, of apiVersion chaos-mesh.org/... or litmuschaos.io/..."
    )
