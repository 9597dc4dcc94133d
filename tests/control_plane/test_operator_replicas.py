"""Two operators: one works, the other takes over; and one that ends in the middle comes back."""

from pathlib import Path

import pytest
import yaml
from seatrial.api import names

from tests.support.builders import a_run, a_test
from tests.support.chart import NAMESPACE
from tests.support.counting_proxy import CountingProxy
from tests.support.operator_process import OperatorProcess, write_kubeconfig

PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
EXAMPLES = Path(__file__).parents[2] / "examples"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/seatrial-operator"


def finished(status):
    return status.get("phase") == "Finished"


@pytest.fixture
def two(api, token, tmp_path):
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", api.url, token, api.ca)
    pair = [
        OperatorProcess(tmp_path, kubeconfig, NAMESPACE, identity)
        for identity in ("operator-a", "operator-b")
    ]
    for each in pair:
        each.start()
    yield pair
    for each in pair:
        each.kill()


def test_the_standby_takes_over_when_the_leader_ends(api, two, conductors):
    def holder():
        lease = api.get(LEASE) or {"spec": {}}
        return lease["spec"].get("holderIdentity")

    api.wait_until(lambda: holder() in ("operator-a", "operator-b"), "one leads")
    leader, standby = two if holder() == "operator-a" else reversed(two)
    assert leader.terminate() == 0  # it lets go of the Lease
    standby.wait_for_log('"leading"', within=10)
    api.apply(a_run("taken-over", **PLAIN))
    status = api.wait_for("shop", "taken-over", finished)
    assert status["verdict"] == "Passed"


def the_shop():
    """Read the shop's run, and what it refers to."""
    *others, run = yaml.safe_load_all((EXAMPLES / "shop/run.yaml").read_text())
    return others, run["spec"]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(lambda: ([], PLAIN), id="plain"),
        pytest.param(the_shop, id="shop", marks=pytest.mark.slow),
    ],
)
def test_an_operator_killed_after_any_write_comes_back_to_the_same_end(
    api, token, conductors, tmp_path, spec, request
):
    """One after another, each on a run of its own, killed after its first, second, ... write."""
    others, spec = spec()
    for each in others:
        api.send("POST", f"/api/v1/namespaces/shop/{each['kind'].lower()}s", each)
    kind = request.node.callspec.id
    with CountingProxy(api.url, api.ca) as proxy:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", proxy.url, token)
        operator = OperatorProcess(tmp_path, kubeconfig, NAMESPACE, f"operator-{kind}")
        operator.start()
        try:
            total = writes_of_an_undisturbed_run(api, proxy, f"{kind}-undisturbed", spec)
            for point in range(1, total + 1):
                proxy.writes.clear()

                def die(count, point=point):
                    if count == point:
                        operator.kill()

                proxy.on_write = die
                api.apply(a_run(f"{kind}-killed-{point}", **{"services": [], **spec}))
                api.wait_until(lambda: not operator.running, f"it is killed at {point}")
                proxy.on_write = lambda count: None
                operator.start()
            for point in range(1, total + 1):
                name = f"{kind}-killed-{point}"
                status = api.wait_for("shop", name, finished, within=90)
                assert status["verdict"] == "Passed", point
            left = api.items("/api/v1/namespaces", names.LABEL_RUN_UID)
            assert [each["metadata"]["name"] for each in left if "killed" in str(each)] == []
            reports = api.items("/api/v1/namespaces/shop/configmaps", names.LABEL_RUN_UID)
            ours = [each for each in reports if f"{kind}-killed" in each["metadata"]["name"]]
            assert len(ours) == total
        finally:
            operator.kill()
            print(operator.log.read_text()[-5000:])


def writes_of_an_undisturbed_run(api, proxy, name, spec):
    """Let one run go through, to see how many writes it takes."""
    proxy.writes.clear()
    api.apply(a_run(name, **{"services": [], **spec}))
    api.wait_for("shop", name, finished)
    api.wait_until(lambda: proxy.writes[-1].endswith(f"/{name}"), "its finalizer is gone")
    return len(proxy.writes)
