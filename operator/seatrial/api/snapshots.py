"""Snapshots: values that are compared with what was stored of an earlier run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seatrial.api.fields import CEL, HeaderName, Model, ObjectName, Rule, ShortText
from seatrial.api.flow import AnyJson

SnapshotPath = Annotated[str, Field(min_length=1, max_length=256)]


class Snapshot(Model):
    """A value that must be as it was stored."""

    value: CEL = Field(description="CEL expression whose value is compared: response.json.")
    name: ShortText | None = Field(
        None, description="What it is stored under, with the test's name. Default: the step's name."
    )
    ignore: list[SnapshotPath] = Field(
        default_factory=list,
        max_length=32,
        description="Parts that may change: id, items[*].at, **.etag.",
    )


class Snapshots(Model):
    """What is stored, for a run."""

    __rules__ = (
        Rule(
            "give at least one of: configMap, content",
            check=lambda self: self.config_map is not None or bool(self.content),
        ),
    )

    config_map: ObjectName | None = Field(
        None,
        description="ConfigMap beside the run, with files that pytest wrote (*.json), labelled"
        " seatrial.dev/readable-by=runs.",
    )
    content: dict[HeaderName, AnyJson] = Field(
        default_factory=dict, max_length=256, description="Values by name: TEST/STEP."
    )
