"""The CustomResourceDefinition, generated from the models: structural, with CEL rules."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from seatrial.api import names
from seatrial.api.duration import format_duration
from seatrial.api.fields import Model, Rule
from seatrial.api.spec import MUTABLE, RunSpec
from seatrial.api.status import RunStatus

Schema = dict[str, Any]

# Messages of rules that only Seatrial evaluates; for the reference, not for the API server.
OWN_RULES = "x-seatrial-rules"
# What a structural schema may hold, in the order in which people like to read it.
_KEYWORDS = (
    *("description", "type", "format", "enum", "default", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("required", "properties", "additionalProperties", "items"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-int-or-string"),
    *("x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations", OWN_RULES),
)


class _Generate(GenerateJsonSchema):
    """JSON Schema of the models, with their rules, before it is made structural."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        # An optional field is one that may be left out, not one that may be null.
        return self.generate_inner(schema["schema"])

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        result = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        rules = model.__rules__ if issubclass(model, Model) else ()
        if validations := _validations(rules):
            result["x-kubernetes-validations"] = validations
        if own := [rule.message for rule in rules if not rule.cel]:
            result[OWN_RULES] = own
        return result


def spec_schema() -> Schema:
    """Give the structural schema of ``spec``, and in ``OWN_RULES`` what it cannot say."""
    return _structural(RunSpec)


def status_schema() -> Schema:
    """Give the structural schema of ``status``; without defaults of fields: nobody decided them."""
    schema = _structural(RunStatus)
    return schema | {"properties": _without("default", schema["properties"])}


def custom_resource_definition() -> Schema:
    """Give the CustomResourceDefinition as JSON."""
    spec = _without(OWN_RULES, spec_schema())
    abort = Rule("abort cannot be withdrawn", "!oldSelf.abort || self.abort", field="abort")
    spec["x-kubernetes-validations"] += _validations([abort])
    root = {
        "description": "A throwaway copy of a system, tests that run against it while it is broken"
        " on purpose, and a verdict that comes with proof.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": names.API_VERSION},
            "kind": {"type": "string", "description": names.KIND},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status_schema(),
        },
        "x-kubernetes-validations": _validations([_immutable()]),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
                "categories": [names.CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def _columns() -> list[Schema]:
    columns = [
        ("Verdict", "string", ".status.verdict", 0),
        ("Phase", "string", ".status.phase", 0),
        ("Passed", "integer", ".status.summary.passed", 0),
        ("Failed", "integer", ".status.summary.failed", 0),
        ("Duration", "string", ".status.duration", 0),
        ("Age", "date", ".metadata.creationTimestamp", 0),
        ("Faults", "string", ".status.summary.faults", 1),
        ("Probes", "string", ".status.summary.probes", 1),
        ("Environment", "string", ".status.namespace", 1),
        ("Message", "string", ".status.message", 1),
    ]
    return [
        {"name": name, "type": kind, "jsonPath": path, "priority": priority}
        for name, kind, path, priority in columns
    ]


def _immutable() -> Rule:
    """Fix the spec, apart from what may change, from the moment the run has left the queue."""
    fixed = [
        info.alias or name
        for name, info in RunSpec.model_fields.items()
        if info.alias not in MUTABLE
    ]
    same = " && ".join(
        f"has(self.spec.{name}) == has(oldSelf.spec.{name})"
        f" && (!has(self.spec.{name}) || self.spec.{name} == oldSelf.spec.{name})"
        for name in fixed
    )
    waiting = "!has(oldSelf.status.phase) || oldSelf.status.phase == 'Queued'"
    return Rule(
        f"spec cannot change once the run has started, except {', '.join(MUTABLE)};"
        " make a new run instead",
        f"{waiting} || ({same})",
        field="spec",
    )


def _validations(rules: list[Rule] | tuple[Rule, ...]) -> list[Schema]:
    return [
        {"rule": rule.cel, "message": rule.message}
        | ({"messageExpression": f'"{rule.message}: " + {rule.names}[0]'} if rule.names else {})
        | ({"fieldPath": f".{rule.field}"} if rule.field else {})
        for rule in rules
        if rule.cel
    ]


def _structural(model: type[Model]) -> Schema:
    full = model.model_json_schema(schema_generator=_Generate, mode="validation")
    schema: Schema = _inlined(full, full.get("$defs", {}))
    return schema


def _inlined(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Put definitions in place of references, and drop what Kubernetes does not take."""
    if reference := schema.get("$ref"):
        definition = definitions[reference.rpartition("/")[2]]
        # What the field says of itself comes before what its model says of all of its kind.
        schema = {**definition, **{key: schema[key] for key in schema if key != "$ref"}}
    schema = dict(schema)
    # Keys of maps with a pattern: the API server cannot check keys, ``plan.validation`` does.
    if patterns := schema.pop("patternProperties", None):
        (schema["additionalProperties"],) = patterns.values()
    for key in ("properties",):
        if key in schema:
            schema[key] = {name: _inlined(each, definitions) for name, each in schema[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _inlined(schema[key], definitions)
    if not isinstance(schema.get("additionalProperties"), dict):
        schema.pop("additionalProperties", None)
    if schema.get("default") in (None, [], {}):
        schema.pop("default", None)
    if description := schema.get("description"):
        schema["description"] = inspect.cleandoc(description).replace("\n", " ")
    return {key: schema[key] for key in _KEYWORDS if key in schema}


def _without(keyword: str, schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without(keyword, each) for key, each in schema.items() if key != keyword}
    return schema
