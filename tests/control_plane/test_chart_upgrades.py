"""An older chart and its definition, upgraded to this one as the page on installing says."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from localcluster.controlplane import ControlPlane
from tests.support.chart import CHART, NAMESPACE, RELEASE, given, helm

Json = dict[str, Any]

PAGE = CHART.parent.parent / "docs" / "how-to" / "install.md"
CRD = "integrationtestruns.seatrial.dev"
NEW_FIELD = "taps"
# Values that an older chart did not have, and templates of this one cannot do without.
NEW_VALUES = ("faults", "presets", "metrics")


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


def older_chart(folder: Path) -> Path:
    """Make a chart as it may have been, with what matters to an upgrade."""
    chart = folder / "older"
    (chart / "templates").mkdir(parents=True)
    (chart / "files").mkdir()
    about = yaml.safe_load((CHART / "Chart.yaml").read_text()) | {"version": "0.0.1"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for each in NEW_VALUES:
        del values[each]
    values["runs"]["maxTimeout"] = "1h"  # a default that has been raised since
    (chart / "values.yaml").write_text(yaml.safe_dump(values))
    shutil.copy(CHART / "templates" / "crds.yaml", chart / "templates")
    definition = yaml.safe_load((CHART / "files" / "integrationtestruns.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"][NEW_FIELD]
    schema.pop("x-kubernetes-validations")  # they name every field
    (chart / "files" / "integrationtestruns.yaml").write_text(yaml.safe_dump(definition))
    return chart


def documented() -> list[str]:
    """Give the arguments of helm in the command of the page, but for waiting: nothing runs here."""
    lines = [each for each in PAGE.read_text().splitlines() if each.startswith("$ helm upgrade ")]
    assert len(lines) == 1
    words = shlex.split(lines[0])[2:]
    return [str(CHART) if each == "helm/seatrial" else each for each in words if each != "--wait"]


def installed(plane: ControlPlane) -> tuple[Json, Json]:
    """Give the variables of the operator's Deployment, and the fields of a run's spec."""
    config.load_kube_config(str(plane.kubeconfig))
    deployment = client.AppsV1Api().read_namespaced_deployment("seatrial-operator", NAMESPACE)
    (container,) = deployment.spec.template.spec.containers
    definition = client.ApiextensionsV1Api().read_custom_resource_definition(CRD)
    schema = definition.spec.versions[0].schema.open_apiv3_schema
    return {each.name: each.value for each in container.env}, schema.properties["spec"].properties


def test_an_older_installation_is_upgraded_as_documented(plane, tmp_path):
    helm(
        "install", RELEASE, str(older_chart(tmp_path)), "--namespace", NAMESPACE,
        "--create-namespace", *given(runs={"maxConcurrent": 3}), kubeconfig=plane.kubeconfig,
    )  # fmt: skip

    helm(*documented(), kubeconfig=plane.kubeconfig)

    variables, fields = installed(plane)
    assert variables["SEATRIAL_MAX_CONCURRENT_RUNS"] == "3", "what was set stays"
    assert variables["SEATRIAL_MAX_TIMEOUT"] == "4h", "what was not set is the new chart's"
    assert "kill" in variables["SEATRIAL_FAULT_KINDS"].split(","), "what is new has its default"
    assert NEW_FIELD in fields
