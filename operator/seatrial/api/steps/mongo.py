"""``mongo``: one operation on a collection, or a command."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, WithJsonSchema

from seatrial.api.fields import Model, Name, Rule, Wait, one_of

_ANY = {"type": "object", "maxProperties": 1024, "x-kubernetes-preserve-unknown-fields": True}
Document = Annotated[dict[str, JsonValue], Field(max_length=1024), WithJsonSchema(_ANY)]
Documents = Annotated[
    list[dict[str, JsonValue]],
    Field(min_length=1, max_length=1000),
    WithJsonSchema({"type": "array", "maxItems": 1000, "items": _ANY}),
]
MONGO_VERBS = (
    "find",
    "count",
    "aggregate",
    "insertOne",
    "insertMany",
    "updateOne",
    "updateMany",
    "deleteOne",
    "deleteMany",
    "command",
)


class MongoStep(Model):
    """Works with MongoDB, or what speaks as it does. Documents are extended JSON."""

    __rules__ = (
        one_of(*MONGO_VERBS, required=True),
        one_of("service", "url", required=True),
        Rule(
            "give collection, with all but command",
            "has(self.command) != has(self.collection)",
            lambda self: (self.command is None) == (self.collection is not None),
        ),
        Rule(
            "update goes with updateOne and updateMany",
            "has(self.update) == (has(self.updateOne) || has(self.updateMany))",
            lambda self: (
                (self.update is not None)
                == (self.update_one is not None or self.update_many is not None)
            ),
        ),
        Rule(
            "sort, projection and limit go with find",
            "has(self.find) || !(has(self.sort) || has(self.projection) || has(self.limit))",
            lambda self: (
                self.find is not None
                or not (self.given("sort") or self.given("projection") or self.given("limit"))
            ),
        ),
    )

    service: Name | None = Field(None, description="Service of the database.")
    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None, description="URL of the database, in place of service."
    )
    database: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        None, description="Its name. Default: that of the URL."
    )
    collection: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="Collection to work on."
    )
    find: Document | None = Field(None, description="Documents that match; {} for all.")
    sort: Document | None = Field(None, description="Order by fields: 1, or -1 for descending.")
    projection: Document | None = Field(None, description="Fields to give.")
    limit: Annotated[int, Field(ge=1, le=10000)] | None = Field(
        None, description="Give so many at most; more than 1000 fail otherwise."
    )
    count: Document | None = Field(None, description="How many match, in reply.count.")
    aggregate: Documents | None = Field(None, description="Stages of a pipeline.")
    insert_one: Document | None = Field(None, description="Insert it.")
    insert_many: Documents | None = Field(None, description="Insert them, in order.")
    update_one: Document | None = Field(None, description="Change the first that matches.")
    update_many: Document | None = Field(None, description="Change all that match.")
    update: Document | None = Field(None, description="How: {$set: {status: paid}}.")
    upsert: bool = Field(False, description="Insert what an update does not find.")
    delete_one: Document | None = Field(None, description="Delete the first that matches.")
    delete_many: Document | None = Field(None, description="Delete all that match.")
    command: Document | None = Field(None, description="A command of the database.")
    timeout: Wait | None = Field(None, description="Longest time for it. Default 10s.")
