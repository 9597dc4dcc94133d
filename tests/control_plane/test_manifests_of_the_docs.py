"""Pods of manifests that a page or an example shows are let in by `restricted` Pod Security."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.documented import ROOT, runs_of
from tests.support.kube_api import KubeApi

Json = dict[str, Any]


def shown() -> list[tuple[str, Json]]:
    """Give the runs with manifests of their own, by where they are."""
    runs = [("break-something.md", run) for run in runs_of("break-something.md")]
    for file in sorted(ROOT.glob("examples/*/run.yaml")):
        runs += [(file.parent.name, run) for run in yaml.safe_load_all(file.read_text()) if run]
    return runs


def templates(run: Json) -> list[Json]:
    """Give the pod templates in a run's inline manifests, where the run asks for nothing else."""
    spec = run.get("spec", {})
    if spec.get("podSecurity", "restricted") != "restricted":
        return []
    texts = [each.get("manifests", {}).get("inline", "") for each in spec.get("services", [])]
    objects = [one for text in texts for one in yaml.safe_load_all(text) if one]
    return [one["spec"]["template"] for one in objects if "template" in one.get("spec", {})]


PODS = [(where, pod) for where, run in shown() for pod in templates(run)]


@pytest.fixture(scope="module")
def namespace(api: KubeApi) -> str:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": "as-shown", "labels": labels}
    api.send("POST", "/api/v1/namespaces", {"metadata": metadata})
    account = "/api/v1/namespaces/as-shown/serviceaccounts/default"
    api.wait_until(lambda: api.get(account) is not None, "the account that pods need")
    return "as-shown"


@pytest.mark.parametrize(("where", "pod"), PODS, ids=[where for where, _ in PODS])
def test_the_pods_of_a_manifest_that_is_shown_are_let_in(
    where: str, pod: Json, api: KubeApi, namespace: str
) -> None:
    body = {**pod, "metadata": {**pod["metadata"], "generateName": "shown-"}}
    path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict"
    assert api.send("POST", path, body)["spec"]["containers"]


def test_there_are_manifests_to_look_at() -> None:
    assert {"break-something.md", "service-discovery"} <= {where for where, _ in PODS}
