"""The CRD and the reference are what the models say, bounded and described everywhere."""

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter
from seatrial.api import names
from seatrial.api.conditions import ConditionType
from seatrial.api.duration import PATTERN, format_duration
from seatrial.api.fields import Wait
from seatrial.api.generate import generated_files, main
from seatrial.api.reasons import Reason
from seatrial.api.run import parse_run
from seatrial.api.schema import custom_resource_definition, spec_schema, status_schema
from seatrial.plan.conditions import Type
from seatrial_runner.scenario.expressions import evaluate

from tests.support.builders import a_fault, a_run

ROOT = Path(__file__).parents[2]
GENERATED = generated_files()
CRD = custom_resource_definition()
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema, path):
    """Go through every node of a schema with its path."""
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from nodes(each, f"{path}.{name}")
    for key, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if key in schema:
            yield from nodes(schema[key], path + suffix)


NODES = [*nodes(spec_schema(), "spec"), *nodes(status_schema(), "status")]


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_generated_files_are_up_to_date(name):
    assert (ROOT / name).read_text() == GENERATED[name]


def test_check_fails_when_a_file_is_out_of_date(tmp_path, capsys):
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0

    (tmp_path / "crds/seatrial.dev_integrationtestruns.yaml").write_text("changed")

    assert main(["--root", str(tmp_path), "--check"]) == 1
    assert "crds/seatrial.dev_integrationtestruns.yaml" in capsys.readouterr().err


def test_the_crd_is_smaller_than_150_kb():
    # As JSON: what kubectl sends, and keeps in annotations, of at most 256 KiB together. The file
    # is twice that, of indentation. Why not less: docs/decisions/0020.
    crd = yaml.safe_load(GENERATED["crds/seatrial.dev_integrationtestruns.yaml"])
    assert len(json.dumps(crd, separators=(",", ":"))) < 150_000


def test_every_field_has_a_description():
    assert [
        path for path, node in NODES if path[-1] not in "]*" and not node.get("description")
    ] == []


def test_everything_is_bounded():
    def unbounded(node):
        match node.get("type"):
            case "string":
                bounds = {"maxLength", "enum"}
                return node.get("format") != "date-time" and not bounds & node.keys()
            case "array":
                return "maxItems" not in node
            case "integer":
                return "minimum" not in node
            case "object":
                return "properties" not in node and node.get("maxProperties") is None
        return False

    # An object without fields can hold nothing.
    empty = ("spec.faults[].restart", "spec.faults[].when.manual")
    assert [path for path, node in NODES if unbounded(node) and path not in empty] == []


def test_the_schema_is_structural():
    for path, node in NODES:
        assert not node.keys() & {"$ref", "anyOf", "allOf", "oneOf", "uniqueItems", "title"}, path
        assert ("properties" in node) + ("additionalProperties" in node) <= 1, path
        known = "type" in node or "x-kubernetes-int-or-string" in node
        assert known or node["x-kubernetes-preserve-unknown-fields"], path
    assert "x-seatrial-rules" not in yaml.safe_dump(CRD)


def test_every_rule_says_what_is_wrong():
    for path, node in NODES:
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"], path
            assert "\n" not in rule["message"], path


@pytest.mark.parametrize("text", ["5mm", "30", "1d", "", "-5s", "1h ", "1.2.3s", "a\\"])
def test_what_is_no_duration_breaks_the_pattern_alone(text):
    found = {
        rule["rule"]
        for path, node in NODES
        if node.get("pattern") == PATTERN and ".answer" not in path  # see DelayInList
        for rule in node["x-kubernetes-validations"]
    }

    # The API server tells both, and of a rule that cannot be evaluated only that.
    assert not re.search(PATTERN, text)
    assert {evaluate(rule, {"self": text}) for rule in found} == {True}


@pytest.mark.parametrize(
    ("text", "good"), [("1h", True), ("1h1ms", False), ("0s", False), ("0.5s", True)]
)
def test_a_duration_is_held_to_its_bounds(text, good):
    rule = TypeAdapter(Wait).json_schema()["x-kubernetes-validations"][0]["rule"]

    assert evaluate(rule, {"self": text}) is good


def test_lists_of_things_with_names_are_maps_by_name():
    named = [
        path
        for path, node in NODES
        if node.get("type") == "array" and "name" in node["items"].get("required", ())
    ]

    assert "spec.services" in named
    by_path = dict(NODES)
    for path in named:
        if path.endswith((".targets", ".multipart")):
            continue  # a fault may hit a pod and a Deployment of one name; a form, two files
        assert by_path[path]["x-kubernetes-list-map-keys"] == ["name"], path


def test_defaults_of_the_schema_are_the_models_own():
    spec = parse_run(a_run(faults=[a_fault()])).spec.model_dump(by_alias=True, mode="json")
    seen = 0
    for path, node in NODES:
        optional = "[" in path or path.startswith("spec.concurrency")
        if "default" not in node or not path.startswith("spec.") or optional:
            continue
        value = spec
        for part in path.split(".")[1:]:
            value = value[part]
        assert value == node["default"], path
        seen += 1
    assert seen >= 8
    assert format_duration(parse_run(a_run()).spec.tests[0].timeout) == "5m"


def test_the_status_has_one_default_because_nobody_has_decided_the_rest():
    defaults = {path: node.get("default") for path, node in NODES if path.startswith("status")}

    # A run that nobody has looked at; so have the CRDs of Flux.
    assert defaults.pop("status") == {"observedGeneration": -1}
    assert set(defaults.values()) == {None}


def test_columns_and_names_are_those_people_know():
    columns = [each["name"] for each in VERSION["additionalPrinterColumns"]]

    assert columns[:6] == ["Verdict", "Phase", "Passed", "Failed", "Duration", "Age"]
    assert CRD["spec"]["names"]["shortNames"] == ["itr"]
    assert CRD["spec"]["names"]["categories"] == ["seatrial"]
    assert CRD["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"
    assert VERSION["subresources"] == {"status": {}}


def test_every_column_shows_a_field_that_exists():
    for column in VERSION["additionalPrinterColumns"]:
        node = SCHEMA
        for part in column["jsonPath"].strip(".").split("."):
            if part == "metadata":
                break
            node = node["properties"][part]


def test_the_reference_names_every_field_condition_and_reason():
    resource, outcomes = (
        GENERATED[f"docs/reference/{n}.md"] for n in ("integrationtestrun", "verdicts")
    )

    for path, _ in NODES:
        field = path.rpartition(".")[2].strip("[]*")
        assert not field or f"`{field}`" in resource or f"## {field}" in resource, path
    for word in [*ConditionType, *Reason]:
        assert word in outcomes


def test_conditions_are_those_the_operator_writes():
    assert {each.value for each in ConditionType} == {each.value for each in Type}
