"""``sql``: a statement, a script, or the end of a transaction."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, WithJsonSchema

from seatrial.api.fields import (
    Identifier,
    Model,
    Name,
    RelaxedObject,
    Rule,
    Wait,
    one_of,
)
from seatrial.api.steps.web import Tls

Url = Annotated[str, Field(min_length=1, max_length=2048)]
Statement = Annotated[str, Field(min_length=1, max_length=65536)]
# A map, or a list of maps: the statement is then carried out for each.
Params = Annotated[
    dict[Identifier, JsonValue] | list[dict[Identifier, JsonValue]],
    WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True}),
]
MAX_PARAMS = 256
MAX_BATCH = 1000


Isolation = Literal["readUncommitted", "readCommitted", "repeatableRead", "serializable"]


def _within_bounds(params: dict[str, JsonValue] | list[dict[str, JsonValue]] | None) -> bool:
    if isinstance(params, list):
        return 1 <= len(params) <= MAX_BATCH and all(map(_within_bounds, params))
    return params is None or len(params) <= MAX_PARAMS


class SqlQuery(Model):
    """One statement that is asked again and again, by itself: of a probe, or of recovery."""

    __rules__ = (
        one_of("service", "url", required=True),
        Rule(
            f"params: at most {MAX_PARAMS} values",
            check=lambda self: _within_bounds(self.params),
        ),
    )

    service: Name | None = Field(None, description="Service of the database.")
    url: Url | None = Field(None, description="URL of the database, in place of service.")
    query: Statement = Field(description="One statement, with :name for values; never filled in.")
    params: Annotated[dict[Identifier, JsonValue], RelaxedObject] | None = Field(
        None, description="Values by name."
    )
    tls: Tls | None = Field(None, description="Speak TLS; {} trusts the system's authorities.")
    timeout: Wait | None = Field(None, description="Longest time for it. Default 10s.")
    max_rows: int = Field(
        1000, ge=1, le=10000, description="A query that gives more rows fails: limit it."
    )


class SqlStep(Model):
    """Works with PostgreSQL, MySQL, MariaDB or SQLite."""

    __rules__ = (
        one_of("query", "script", "commit", "rollback", required=True),
        one_of("service", "url", required=False),
        Rule(
            "query and script need service or url",
            "!(has(self.query) || has(self.script)) || has(self.service) || has(self.url)",
            lambda self: not (self.query or self.script) or self.service or self.url,
        ),
        Rule(
            "commit and rollback name the transaction, and stand alone",
            "!(has(self.commit) || has(self.rollback))"
            " || !(has(self.service) || has(self.url) || has(self.transaction) || has(self.tls))",
            lambda self: (
                not (self.commit or self.rollback)
                or not (self.service or self.url or self.transaction or self.tls)
            ),
        ),
        Rule(
            "isolation goes with transaction",
            "!has(self.isolation) || has(self.transaction)",
            lambda self: self.isolation is None or self.transaction,
        ),
        # CEL does not see a field that may hold any JSON.
        Rule("params go with query", check=lambda self: self.params is None or self.query),
        Rule(
            f"params: at most {MAX_PARAMS} values, and 1 to {MAX_BATCH} entries in a list",
            check=lambda self: _within_bounds(self.params),
        ),
    )

    service: Name | None = Field(None, description="Service of the database.")
    url: Url | None = Field(None, description="URL of the database, in place of service.")
    query: Statement | None = Field(
        None, description="One statement, with :name for values; never filled in."
    )
    params: Params | None = Field(
        None, description="Values by name; or a list of such maps: once for each, rows not given."
    )
    script: Statement | None = Field(None, description="Several statements, without params.")
    transaction: Identifier | None = Field(
        None, description="Transaction to be part of; the first step to name it begins it."
    )
    isolation: Isolation | None = Field(
        None, description="Of a transaction that begins. Default: the database's."
    )
    commit: Identifier | None = Field(None, description="Commit this transaction.")
    rollback: Identifier | None = Field(None, description="Roll this transaction back.")
    tls: Tls | None = Field(None, description="Speak TLS; {} trusts the system's authorities.")
    timeout: Wait | None = Field(None, description="Longest time for it. Default 10s.")
    max_rows: int = Field(
        1000, ge=1, le=10000, description="A query that gives more rows fails: limit it."
    )
