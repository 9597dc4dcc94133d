"""One real API server with controllers, the chart installed, for the tests of the operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from seatrial.api import names

from localcluster.controlplane import ControlPlane
from tests.support.chart import CHART, NAMESPACE, RELEASE, given, helm
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
