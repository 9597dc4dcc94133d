"""
Field types with their bounds, and the CEL rules a model carries into the CRD.

Every text, list and map that a user can write is bounded, because the API server prices CEL rules
by the largest input the schema admits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from seatrial.api.duration import MAX_LENGTH, PATTERN, TooLongError, format_duration, parse_duration


@dataclass(frozen=True)
class Rule:
    """
    What a schema of types and bounds cannot say of a model.

    The API server evaluates ``cel``, ``seatrial.api.rules`` the same in ``check``. One of them may
    be missing: CEL cannot see fields of any JSON, and Python says in more detail which reference
    is broken.
    """

    message: str
    cel: str | None = None
    check: Callable[[Any], bool] | None = None
    field: str = ""  # JSON name of the field to point at; else the whole object
    names: str = ""  # CEL that lists the names that are wrong; the first of them is told


def one_of(*fields: str, required: bool) -> Rule:
    """Make a rule that at most one, or exactly one, of the fields is set; fields by JSON name."""
    count = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in fields)
    names = ", ".join(fields)

    def given(model: Model) -> int:
        return sum(model.given(name) for name in fields)

    if required:
        return Rule(
            f"give exactly one of: {names}", f"({count}) == 1", lambda self: given(self) == 1
        )
    return Rule(f"give at most one of: {names}", f"({count}) <= 1", lambda self: given(self) <= 1)


class Model(BaseModel):
    """Base of every part of the resource: camelCase outside, unknown fields refused, immutable."""

    # Strict, because the API server does not take "1" for 1 either.
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, strict=True
    )

    __rules__: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def attribute(cls, name: str) -> str:
        """Name the Python attribute of a field given by its JSON name."""
        return _attributes(cls)[name]

    def given(self, name: str) -> bool:
        """Tell, as CEL's ``has`` does, whether an optional field has a value; by JSON name."""
        return getattr(self, self.attribute(name)) is not None


@cache
def _attributes(model: type[Model]) -> dict[str, str]:
    """Give the Python attributes of a model by JSON name; rules ask for them at every step."""
    return {info.alias or key: key for key, info in model.model_fields.items()}


# A list that is a map by name: the API server refuses a second entry of the same name, and
# server-side apply merges entry by entry.
BY_NAME: dict[str, Any] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}
UNIQUE: dict[str, Any] = {"x-kubernetes-list-type": "set"}


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a duration: write it like 500ms, 30s, 1m30s or 2h")
    try:
        return parse_duration(value)
    except TooLongError:
        return timedelta.max  # beyond every bound; which one is it, is said there


_IS_NO_DURATION = f"!self.matches(r'{PATTERN}')"


@dataclass(frozen=True)
class Within:
    """
    Bounds of a duration; the schema says them in CEL.

    The API server evaluates that also of a text that breaks the pattern, and then tells two things
    of one field: the second is that CEL cannot read it. ``guarded`` spares that, at a price that
    lists within lists of steps cannot pay: the budget of a rule is multiplied with their bounds.
    """

    most: str
    positive: bool = True
    guarded: bool = True

    @property
    def message(self) -> str:
        """What is allowed, for people."""
        return f"must be {'more than 0s and ' if self.positive else ''}at most {self.most}"

    def check(self, value: timedelta) -> timedelta:
        """Give the value back if it is within the bounds."""
        if value > parse_duration(self.most) or (self.positive and not value):
            given = "" if value == timedelta.max else f", not {format_duration(value)}"
            raise ValueError(f"{self.message}{given}")
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        least = " && duration(self) > duration('0s')" if self.positive else ""
        guard = f"{_IS_NO_DURATION} || " if self.guarded else ""
        cel = f"{guard}duration(self) <= duration('{self.most}'){least}"
        validation = {"rule": cel, "message": self.message}
        return {**handler(schema), "x-kubernetes-validations": [validation]}


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": MAX_LENGTH}),
]
Budget = Annotated[Duration, Within("24h")]  # of a phase, a test, the run
Wait = Annotated[Duration, Within("1h")]  # within a phase
Offset = Annotated[Duration, Within("24h", positive=False)]
Delay = Annotated[Duration, Within("10m")]  # of one request, packet or connection
DelayInList = Annotated[Duration, Within("10m", guarded=False)]  # in a list of a step's
Grace = Annotated[Duration, Within("10m", positive=False)]
Retention = Annotated[Duration, Within("168h", positive=False)]
LongRetention = Annotated[Duration, Within("8760h", positive=False)]

_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
_WORD = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_OBJECT = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"
_IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]*$"
_NO_SPACE = r"^[^\s]+$"
_VARIABLE = r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"
_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
_ABSOLUTE_FILE = r"^/[^:]*[^:/]$"
_ABSOLUTE = r"^/[^:]+$"
_DIRECTORY = r"^/([^:]*[^:/])$"
_KEY = r"^[-._a-zA-Z0-9]+$"
_LABEL_KEY = r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$"
_DNS_NAME = r"^[a-z0-9_]([-._a-z0-9]*[a-z0-9])?$"
_SHARE = r"^([0-9]|[1-9][0-9])(\.[0-9]{1,3})?%$|^100%$"
_URI_PATH = r"^/[^\s]*$"
_BARE_PATH = r"^/[^\s?#]*$"
_METHOD = r"^[A-Z][A-Z-]*$"
_GRPC_METHOD = r"^[A-Za-z_][A-Za-z0-9_.]*/[A-Za-z_][A-Za-z0-9_]*$"
_PROTO_FILE = r"^[A-Za-z0-9_][A-Za-z0-9_./-]*\.proto$"
_FIXTURE_FILE = r"^[A-Za-z0-9][A-Za-z0-9._-]*\.(csv|json|yaml|yml|sql)$"
_HOST_PORT = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?:[0-9]{1,5}$"

_REFERENCE = r"^[A-Za-z]+(/.+)?$"
_SINCE = r"^(start|all|[0-9][0-9hms.]*)$"

# What a pattern means, for messages.
PATTERNS = {
    _LABEL: "It must be lower-case letters, digits and -, begin with a letter, and not end in -.",
    _WORD: "It must be lower-case letters, digits and -, and neither begin nor end in -.",
    _OBJECT: "It must be the name of a Kubernetes object: lower-case letters, digits, - and dots.",
    _IDENTIFIER: "It must be letters, digits and _, and not begin with a digit.",
    _NO_SPACE: "It must be an image reference without spaces, such as registry.example/app:1.0.",
    _VARIABLE: "It must be letters, digits, _, - and dots, and not begin with a digit.",
    _QUANTITY: "It must be an amount such as 250m, 1.5 or 128Mi.",
    _ABSOLUTE_FILE: "It must be the absolute path of a file, such as /etc/app/config.yaml.",
    _DIRECTORY: "It must be the absolute path of a directory, such as /var/lib/data.",
    _ABSOLUTE: "It must be an absolute path, such as /results/*.xml.",
    _KEY: "It must be letters, digits, -, _ and dots.",
    _LABEL_KEY: "It must be the key of a label, such as role or example.com/role.",
    _DNS_NAME: "It must be a host name in lower-case letters, such as api.example.com.",
    _SHARE: "It must be a share such as 50%, 0.1% or 100%.",
    _URI_PATH: "It must begin with / and have no spaces, such as /orders.",
    _BARE_PATH: "It must begin with / and have no spaces, no ? and no #, such as /orders.",
    _METHOD: "It must be a method in capitals, such as PROPFIND.",
    _GRPC_METHOD: "It must be a service and a method, such as shop.Orders/Get.",
    _PROTO_FILE: "It must be the name of a file, such as shop/orders.proto.",
    _FIXTURE_FILE: "It must be the name of a .csv, .json, .yaml or .sql file, without folders.",
    _HOST_PORT: "It must be HOST:PORT, such as db:5432.",
    _REFERENCE: "It must be KIND/NAME, such as deployment/orders, or a KIND alone.",
    _SINCE: "It must be start, all, or a duration such as 30s.",
}

# A DNS label that may name a Service (RFC 1035), with room for a suffix of ours.
Name = Annotated[str, Field(min_length=1, max_length=50, pattern=_LABEL)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=_OBJECT)]
TestName = Annotated[str, Field(min_length=1, max_length=50, pattern=_WORD)]
PortName = Annotated[str, Field(min_length=1, max_length=15, pattern=_WORD)]
Identifier = Annotated[str, Field(pattern=_IDENTIFIER, max_length=63)]
CEL = Annotated[str, Field(min_length=1, max_length=1024)]
ShortText = Annotated[str, Field(min_length=1, max_length=128)]
Text = Annotated[str, Field(max_length=4096)]
HeaderName = Annotated[str, Field(min_length=1, max_length=256)]
Image = Annotated[str, Field(min_length=1, max_length=512, pattern=_NO_SPACE)]
Argument = Annotated[str, Field(max_length=4096)]
EnvName = Annotated[str, Field(pattern=_VARIABLE, max_length=128)]
FilePath = Annotated[str, Field(pattern=_ABSOLUTE_FILE, max_length=512)]
Directory = Annotated[str, Field(pattern=_DIRECTORY, max_length=512)]
FileGlob = Annotated[str, Field(pattern=_ABSOLUTE, max_length=256)]
ConfigKey = Annotated[str, Field(min_length=1, max_length=253, pattern=_KEY)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=_LABEL_KEY)]
DnsName = Annotated[str, Field(min_length=1, max_length=253, pattern=_DNS_NAME)]
LabelValue = Annotated[str, Field(max_length=63)]
Share = Annotated[str, Field(max_length=7, pattern=_SHARE)]
HttpMethod = Annotated[str, Field(min_length=1, max_length=32, pattern=_METHOD)]
GrpcMethod = Annotated[str, Field(min_length=3, max_length=256, pattern=_GRPC_METHOD)]
ProtoFile = Annotated[str, Field(min_length=1, max_length=128, pattern=_PROTO_FILE)]
FixtureFile = Annotated[str, Field(max_length=128, pattern=_FIXTURE_FILE)]
UriPath = Annotated[str, Field(max_length=512, pattern=_URI_PATH)]
# Without its query, which Envoy does not look at.
BarePath = Annotated[str, Field(max_length=512, pattern=_BARE_PATH)]
HostPort = Annotated[str, Field(min_length=3, max_length=260, pattern=_HOST_PORT)]
# An object of Kubernetes; what is behind the slash may be a template.
Reference = Annotated[str, Field(min_length=1, max_length=300, pattern=_REFERENCE)]
Since = Annotated[str, Field(max_length=32, pattern=_SINCE)]
# Resource quantities; the API server parses them again when the pods are made.
Quantity = Annotated[str, Field(max_length=32, pattern=_QUANTITY)]
_PERCENT = r"^([1-9][0-9]?%|100%|all)$"


def _int_or_percent(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 20:
        return value
    if isinstance(value, str) and re.fullmatch(_PERCENT, value):
        return value
    raise ValueError(f"{str(value)[:40]} is not a number from 1 to 20, 1% to 100%, or all")


IntOrPercent = Annotated[
    int | str,
    PlainValidator(_int_or_percent),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "minimum": 1,
            "maximum": 20,
            "maxLength": 4,
            "pattern": _PERCENT,
        }
    ),
]
# JSON of any shape; the schema cannot look inside.
RelaxedObject = WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})
