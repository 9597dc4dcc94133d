"""
Field types with their bounds, and the CEL rules a model carries into the CRD.

Every text, list and map that a user can write is bounded, because the API server prices CEL rules
by the largest input the schema admits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from seatrial.api.duration import MAX_LENGTH, PATTERN, format_duration, parse_duration


@dataclass(frozen=True)
class Rule:
    """
    One ``x-kubernetes-validations`` entry of a model.

    ``check`` says the same in Python for validation without a cluster; None where pydantic or
    ``plan`` already covers it.
    """

    cel: str
    message: str
    exclusive: tuple[str, ...] = ()
    required: bool = False


def rule(cel: str, message: str) -> Rule:
    """Make a rule that only the API server evaluates; ``plan`` repeats it in Python if needed."""
    return Rule(cel, message)


def one_of(fields: tuple[str, ...], *, required: bool) -> Rule:
    """Make a rule that at most one (or exactly one) of the fields, by JSON name, is set."""
    # NB: has() of a keyword-like field needs no escape here; our field names are no CEL keywords.
    count = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in fields)
    names = ", ".join(fields)
    if required:
        return Rule(f"({count}) == 1", f"give exactly one of: {names}", fields, required=True)
    return Rule(f"({count}) <= 1", f"give at most one of: {names}", fields)


class Model(BaseModel):
    """Base of every part of the resource: camelCase outside, unknown fields refused, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    __rules__: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _exclusive_fields(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for each in cls.__rules__:
                given = [name for name in each.exclusive if value.get(name) is not None]
                if each.exclusive and (len(given) > 1 or (each.required and not given)):
                    raise ValueError(each.message)
        return value


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a duration: write it like 500ms, 30s, 1m30s or 2h")
    return parse_duration(value)


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": MAX_LENGTH}),
]
# A DNS label that may name a Service (RFC 1035), with room for a suffix of ours.
Name = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
ObjectName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
]
TestName = Annotated[
    str, Field(min_length=1, max_length=50, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
CEL = Annotated[str, Field(min_length=1, max_length=1024)]
ShortText = Annotated[str, Field(min_length=1, max_length=128)]
Text = Annotated[str, Field(max_length=4096)]
Image = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")]
Argument = Annotated[str, Field(max_length=4096)]
EnvName = Annotated[str, Field(pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=128)]
# Resource quantities; the API server parses them again when the pods are made.
Quantity = Annotated[
    str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")
]
IntOrPercent = Annotated[
    int | str,
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 8}),
]
# JSON of any shape; the schema cannot look inside.
RelaxedObject = WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})
