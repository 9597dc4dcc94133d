"""The reference pages, generated from the schema, the verdicts and the reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator

from seatrial.api import names
from seatrial.api.conditions import ConditionType
from seatrial.api.reasons import Reason
from seatrial.api.schema import OWN_RULES, Schema, spec_schema, status_schema
from seatrial.api.spec import MUTABLE
from seatrial.api.verdict import Phase, Verdict

_NOTE = (
    "<!-- Generated from operator/seatrial/api by `make generate`; change the models instead. -->"
)
_PHASES = {
    Phase.QUEUED: "Waits for its turn: for its group, for the cluster's limit, or for resume.",
    Phase.PROVISIONING: "The namespace and the system under test are being made.",
    Phase.RUNNING: "The gate is open: tests and faults are at work.",
    Phase.COLLECTING: "The verdict stands; logs and the report are being gathered.",
    Phase.CLEANING: "The namespace is kept for a while, or is being deleted.",
    Phase.FINISHED: "Nothing is left to be done.",
}
_VERDICTS = {
    Verdict.ABORTED: "Someone stopped the run, or a newer run of its group took its place.",
    Verdict.FAILED: "A test failed, or the system did not recover from a fault in time.",
    Verdict.ERROR: "It was not the system under test: a bad spec, an image that cannot be pulled,"
    " a lost node, a phase out of time.",
    Verdict.INCONCLUSIVE: "The tests held, but something is not proven: a fault that had no effect"
    " or met no traffic, results that were lost, tests that were all skipped.",
    Verdict.PASSED: "Every test held; every fault took effect, met traffic, was undone, and the"
    " system recovered.",
}


def resource_page() -> str:
    """Describe every field of the resource, in Markdown."""
    lines = [
        f"# {names.KIND}",
        "",
        _NOTE,
        "",
        f"`apiVersion: {names.API_VERSION}`, short name `{names.SHORT_NAME}`.",
        "`kubectl explain itr.spec` shows the same in a terminal.",
        "",
        "Durations are written like `500ms`, `30s`, `1m30s` or `2h`.",
        "Once a run has left the queue its spec is fixed, except "
        + ", ".join(f"`{name}`" for name in MUTABLE)
        + "; `abort` cannot be withdrawn.",
        "",
        *_object("spec", spec_schema()),
        *_object("status", status_schema()),
    ]
    return "\n".join(lines).rstrip() + "\n"


def outcomes_page() -> str:
    """Describe phases, verdicts, conditions and reasons, in Markdown."""
    lines = ["# Verdicts, conditions and reasons", "", _NOTE, ""]
    lines += ["## Phases", "", "`status.phase` is for display; wait for conditions.", ""]
    lines += _table("phase", "meaning", [(phase, _PHASES[phase]) for phase in Phase])
    lines += ["## Verdicts", "", "When several apply, the first of this table wins.", ""]
    lines += _table("verdict", "meaning", [(verdict, _VERDICTS[verdict]) for verdict in Verdict])
    lines += ["## Conditions", ""]
    lines += _table("condition", "True when", [(each, each.meaning) for each in ConditionType])
    lines += ["## Reasons", ""]
    for reason in Reason:
        lines += [f"### {reason}", "", reason.meaning, f"**What to do:** {reason.remedy}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> list[str]:
    return [
        f"| {left} | {right} |",
        "| --- | --- |",
        *(f"| `{name}` | {text} |" for name, text in rows),
        "",
    ]


def _object(path: str, schema: Schema) -> Iterator[str]:
    """Describe an object and then, one after another, the objects in it."""
    yield f"## {path}"
    yield ""
    yield schema.get("description", "")
    yield ""
    rules = [each["message"] for each in schema.get("x-kubernetes-validations", ())]
    rules += schema.get(OWN_RULES, ())
    if rules:
        yield "Rules, in the words of the refusal:"
        yield ""
        yield from (f"- {message}" for message in rules)
        yield ""
    fields = schema.get("properties", {})
    required = schema.get("required", ())
    if fields:
        yield "| field | type | default | description |"
        yield "| --- | --- | --- | --- |"
    for name, field in fields.items():
        yield _row(name, field, required=name in required)
    yield ""
    for name, field in fields.items():
        inner, suffix = field, ""
        while "items" in inner or "additionalProperties" in inner:
            suffix += "[]" if "items" in inner else ".*"
            inner = inner.get("items") or inner["additionalProperties"]
        if inner.get("properties"):
            yield from _object(f"{path}.{name}{suffix}", inner)


def _row(name: str, field: Schema, *, required: bool) -> str:
    default = "required" if required else ""
    if "default" in field:
        default = f"`{json.dumps(field['default']).strip(chr(34))}`"
    text = field.get("description", "")
    if "properties" not in field:  # else its section says it
        for rule in field.get("x-kubernetes-validations", ()):
            text += f" {rule['message'][:1].upper()}{rule['message'][1:]}."
    cells = (f"`{name}`", _type(field), default, text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(field: Schema) -> str:
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "ms|s|m|h" in field.get("pattern", ""):
        return "duration"
    if "items" in field:
        by_name = ", by name" if field.get("x-kubernetes-list-type") == "map" else ""
        bounds = _bounds(field, "minItems", "maxItems", "")
        return f"list{bounds} of {_type(field['items'])}{by_name}"
    if "additionalProperties" in field:
        bounds = _bounds(field, "minProperties", "maxProperties", "")
        return f"map{bounds} of {_type(field['additionalProperties'])}"
    if field.get("x-kubernetes-int-or-string"):
        return "integer or text"
    match field.get("type"):
        case "string":
            return "text" + _bounds(field, "minLength", "maxLength", " characters")
        case "boolean":
            return "true or false"
        case "integer":
            return "integer" + _bounds(field, "minimum", "maximum", "")
        case None:
            return "any JSON"
        case kind:
            return str(kind)


def _bounds(field: Schema, least: str, most: str, unit: str) -> str:
    low, high = field.get(least), field.get(most)
    if low is not None and high is not None and (unit == "" or low > 1):
        return f" ({low} to {high}{unit})"
    if high is not None:
        return f" (at most {high}{unit})"
    return f" (at least {low}{unit})" if low is not None else ""
