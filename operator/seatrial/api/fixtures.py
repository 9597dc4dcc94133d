"""Files with data that steps load."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seatrial.api.fields import FixtureFile, Model, ObjectName, Rule

FixtureText = Annotated[str, Field(max_length=131072)]


class Fixtures(Model):
    """Files with data, for steps of kind data."""

    __rules__ = (
        Rule(
            "give at least one of: configMap, content",
            check=lambda self: self.config_map is not None or bool(self.content),
        ),
    )

    config_map: ObjectName | None = Field(
        None,
        description="ConfigMap beside the run, with files (*.csv, *.json, *.yaml, *.sql), labelled"
        " seatrial.dev/readable-by=runs.",
    )
    content: dict[FixtureFile, FixtureText] = Field(
        default_factory=dict, max_length=32, description="Files by name, without folders."
    )
