"""``data``: makes rows, loads them, and removes what tests have left."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, WithJsonSchema

from seatrial.api.fields import Model, Name, Rule, Wait, one_of
from seatrial.api.steps.web import Tls

_ANY = {"type": "object", "maxProperties": 32, "x-kubernetes-preserve-unknown-fields": True}
Table = Annotated[str, Field(min_length=1, max_length=128)]
Entities = Annotated[
    dict[Table, JsonValue], Field(min_length=1, max_length=32), WithJsonSchema(_ANY)
]
Tags = Annotated[
    dict[Table, JsonValue],
    Field(min_length=1, max_length=8),
    WithJsonSchema({**_ANY, "minProperties": 1, "maxProperties": 8}),
]
Tables = Annotated[list[Table], Field(min_length=1, max_length=32)]


class CleanUp(Model):
    """What is removed; nothing of it may be left afterwards."""

    tables: Tables = Field(description="Tables, in any order.")
    by: Literal["truncate", "delete", "nothing"] = Field(
        "delete", description="nothing: only look whether they are empty."
    )
    where: Tags | None = Field(
        None, description="Only rows with these values, none of them null: {tag: '{{ run.id }}'}."
    )


class DataStep(Model):
    """Makes rows from a specification, or takes them as they are, and loads them."""

    __rules__ = (
        one_of("generate", "rows", "file", "clean", required=True),
        one_of("service", "url", required=False),
        Rule(
            "rows, file and clean need service or url",
            "has(self.generate) || has(self.service) || has(self.url)",
            lambda self: self.generate is not None or self.service or self.url,
        ),
        Rule(
            "tls goes with service or url",
            "!has(self.tls) || has(self.service) || has(self.url)",
            lambda self: self.tls is None or self.service or self.url,
        ),
        Rule(
            "seed goes with generate, or a file",
            "!has(self.seed) || has(self.generate) || has(self.file)",
            lambda self: self.seed is None or self.generate is not None or self.file is not None,
        ),
    )

    service: Name | None = Field(
        None, description="Service to load into: a SQL database, MongoDB, Redis."
    )
    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None, description="URL of the database, in place of service."
    )
    tls: Tls | None = Field(None, description="Speak TLS; {} trusts the system's authorities.")
    generate: Entities | None = Field(
        None, description="Entities by table, each with count, and fields or schema."
    )
    seed: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="The same gives the same data. Default: that of the run."
    )
    rows: Entities | None = Field(None, description="Rows by table, as lists of maps.")
    file: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None,
        description="File with rows by table or generate (.yaml, .json), rows of the table it is"
        " named after (.csv), or statements (.sql); in a run, of spec.fixtures.",
    )
    clean: CleanUp | None = Field(None, description="Remove rows, and see that none is left.")
    timeout: Wait | None = Field(None, description="Longest time for it. Default 5m.")
