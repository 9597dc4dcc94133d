"""Real API servers: with controllers and the chart for the operator, bare for the command line."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from seatrial.api import names
from seatrial.api.errors import SeatrialError
from seatrial.cli import main
from seatrial.cli.arguments import build_parser
from seatrial.cli.client import Cluster, connect, runs_path

from localcluster.controlplane import ControlPlane
from tests.support.chart import CHART, NAMESPACE, RELEASE, given, helm
from tests.support.cli_runs import PATIENCE_S, ROOT, RUN
from tests.support.kube_api import KubeApi
from tests.support.operator_process import OperatorProcess, write_kubeconfig
from tests.support.played_conductors import Conductors

DELEGATED = [
    {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "NetworkChaos",
        "resource": "networkchaos",
    },
    {
        "apiVersion": "litmuschaos.io/v1alpha1",
        "kind": "ChaosEngine",
        "resource": "chaosengines",
    },
]
ACCOUNT = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/seatrial-operator"


@pytest.fixture(scope="session")
def whole_plane() -> Iterator[ControlPlane]:
    """Give an API server with the controller manager, and the chart's objects."""
    with ControlPlane(controllers=True) as plane:
        helm(
            "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace",
            *given(
                runs={"podSecurityLevels": ["restricted", "baseline"]},
                faults={"delegated": DELEGATED},
            ),
            kubeconfig=plane.kubeconfig,
        )  # fmt: skip
        yield plane


@pytest.fixture(scope="session")
def api(whole_plane: ControlPlane) -> KubeApi:
    """Give the administrator's view; runs go into namespace shop."""
    api = KubeApi(whole_plane.kubeconfig)
    api.namespace("shop")
    served = f"/apis/{names.API_VERSION}/{names.PLURAL}"
    api.wait_until(lambda: api.get(served) is not None, "runs are served")
    return api


@pytest.fixture(scope="session")
def token(api: KubeApi) -> str:
    """Give a token of the account that the chart makes, with the rights it has and no other."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = api.send("POST", f"{ACCOUNT}/token", request)
    return str(answer["status"]["token"])


@pytest.fixture
def operator(api: KubeApi, token: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    """Run an operator."""
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", api.url, token, api.ca)
    process = OperatorProcess(tmp_path, kubeconfig, NAMESPACE, "operator-1")
    process.start()
    yield process
    process.kill()
    print(process.log.read_text()[-8000:])


@pytest.fixture
def conductors(api: KubeApi) -> Iterator[Conductors]:
    """Play all conductors; a run whose name begins with ``failing`` fails."""
    with Conductors(api, fails=("failing",)) as conductors:
        yield conductors


# For the command line tool ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane) -> Cluster:
    options = build_parser().parse_args(["--kubeconfig", str(plane.kubeconfig), "list"])
    cluster = connect(options)
    crd = yaml.safe_load((ROOT / "crds" / "seatrial.dev_integrationtestruns.yaml").read_text())
    cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    give_up = time.monotonic() + PATIENCE_S
    while True:  # a definition is served a moment after it is established
        try:
            cluster.get(runs_path("default"))
        except SeatrialError:
            assert time.monotonic() < give_up
        else:
            return cluster


@pytest.fixture
def seatrial(plane: ControlPlane, cluster: Cluster, monkeypatch, capsys) -> Callable[..., Any]:
    """Run a command in this process; gives its exit status and what it printed."""
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        if arguments[0] == "run" and "--wait-timeout" not in arguments:
            arguments += ("--wait-timeout", f"{PATIENCE_S}s")
        status = main(["--kubeconfig", str(plane.kubeconfig), *arguments])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def file(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A file with a ConfigMap and a run that no other test has; gives path and name."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    (tmp_path / "run.yaml").write_text(RUN.replace("NAME", name))
    return str(tmp_path / "run.yaml"), name
