"""``metrics``: a value that a service exposes to Prometheus, or that a Prometheus server knows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from seatrial.api.fields import (
    HeaderName,
    LabelValue,
    Model,
    Name,
    PortName,
    Rule,
    Text,
    UriPath,
    Wait,
    one_of,
)


class MetricQuery(Model):
    """One look at metrics. Texts may hold templates."""

    __rules__ = (
        one_of("service", "url", required=True),
        one_of("name", "query", required=True),
        Rule(
            "labels go with name: a query says it itself",
            "!has(self.query) || !has(self.labels)",
            lambda self: not self.query or self.labels is None,
        ),
        Rule(
            "port goes with service",
            "!has(self.port) || has(self.service)",
            lambda self: not self.port or self.service,
        ),
    )

    service: Name | None = Field(
        None, description="Service to ask; with name, each of its pods if the run's cluster knows."
    )
    port: PortName | None = Field(None, description="Port by name. Default: the service's first.")
    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None, description="URL of the exposition, or of a Prometheus server."
    )
    path: UriPath | None = Field(None, description="Default /metrics.")
    name: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="Name of a sample, such as http_requests_total."
    )
    labels: dict[HeaderName, LabelValue] | None = Field(
        None, max_length=16, description="Only samples with these labels; their sum is the value."
    )
    of: Literal["value", "change", "rate"] = Field(
        "value",
        description="value: as it is; change: since the scenario began; rate: the same by second.",
    )
    query: Text | None = Field(
        None, min_length=1, description="PromQL, for a Prometheus server at the URL or service."
    )
    timeout: Wait | None = Field(None, description="Longest time. Default 10s.")
