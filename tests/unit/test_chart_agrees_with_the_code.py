"""What the chart says twice, or says of the code, is the same everywhere."""

import json
import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from seatrial.api.spec import MUTABLE
from seatrial.app.settings import read_settings

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "helm" / "seatrial"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
DEPLOYMENT = (CHART / "templates" / "deployment.yaml").read_text()
# Maps whose keys are the user's: nothing of them has a default.
FREE = {"global", "affinity"}


def settings_of(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, each in schema.get("properties", {}).items():
        yield f"{path}{name}", each
        yield from settings_of(each, f"{path}{name}.")


def test_the_chart_installs_the_same_definition_as_kubectl():
    installed = (CHART / "files" / "integrationtestruns.yaml").read_text()
    assert installed == (ROOT / "crds" / "seatrial.dev_integrationtestruns.yaml").read_text()


def test_the_chart_fixes_what_the_definition_fixes():
    policy = (CHART / "templates" / "runpolicy.yaml").read_text()
    mutable = re.search(r'name: mutable\n +expression: "(.*)"\n', policy)[1].replace("\\", "")
    assert tuple(json.loads(mutable)) == MUTABLE


def test_the_chart_the_operator_and_the_package_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == package["version"]


def test_every_default_is_in_the_schema():
    def unknown(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
        for name, value in values.items():
            known = schema.get("properties", {}).get(name)
            if known is None and schema.get("additionalProperties") in (None, False):
                yield f"{path}{name}"
            elif known is not None and isinstance(value, dict):
                yield from unknown(value, known, f"{path}{name}.")

    assert list(unknown(VALUES, SCHEMA)) == []


@pytest.mark.parametrize(
    ("path", "schema"), [pytest.param(*each, id=each[0]) for each in settings_of(SCHEMA)]
)
def test_every_value_is_described_and_bounded(path, schema):
    assert schema["description"].endswith("."), f"{path} has no sentence"
    if schema.get("type") == "object" and path not in FREE:
        assert schema["additionalProperties"] is not True, f"{path} takes anything"


def test_no_object_of_the_schema_takes_what_it_does_not_know():
    objects = [SCHEMA, *(each for _, each in settings_of(SCHEMA) if "properties" in each)]
    assert all(each["additionalProperties"] is False for each in objects)


def test_the_reference_of_the_values_is_up_to_date():
    reference = runpy.run_path(str(ROOT / "helm" / "reference.py"))
    assert (ROOT / "docs" / "reference" / "helm-values.md").read_text() == reference["page"]()


class Asked(dict[str, str]):
    """An environment that remembers what was asked of it."""

    def __init__(self, **variables: str) -> None:
        super().__init__(variables)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def test_the_deployment_sets_every_setting_of_the_operator_and_no_other():
    environ = Asked(SEATRIAL_RUNNER_IMAGE="runner:1", SEATRIAL_NAMESPACE="seatrial-system")
    read_settings(environ)
    assert set(re.findall(r"SEATRIAL_[A-Z_]+", DEPLOYMENT)) == environ.names
