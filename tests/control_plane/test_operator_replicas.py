"""Two operators: one works, the other takes over; and one that ends in the middle comes back."""

import time
from itertools import count
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


class Replica:
    """One operator behind a proxy of its own, which counts what it writes."""

    def __init__(self, folder, api, token, identity):
        self.identity = identity
        self.proxy = CountingProxy(api.url, api.ca)
        self.proxy.__enter__()
        kubeconfig = write_kubeconfig(folder / f"{identity}.kubeconfig", self.proxy.url, token)
        self.process = OperatorProcess(folder, kubeconfig, NAMESPACE, identity)
        self.process.start()

    def close(self):
        self.process.kill()
        self.proxy.__exit__(None, None, None)
        print(self.process.log.read_text()[-4000:])


@pytest.fixture
def two(api, token, tmp_path):
    """Give the one that leads, and the one that stands by."""
    if api.get(LEASE):  # of a test before, whose operator was killed
        api.send("DELETE", LEASE)
    pair = [Replica(tmp_path, api, token, name) for name in ("operator-a", "operator-b")]

    def holder():
        lease = api.get(LEASE) or {"spec": {}}
        return lease["spec"].get("holderIdentity")

    api.wait_until(lambda: holder() in ("operator-a", "operator-b"), "one leads")
    yield pair if holder() == "operator-a" else list(reversed(pair))
    for each in pair:
        each.close()


@pytest.mark.parametrize("end", ["terminated", "killed", "frozen"])
def test_a_standby_takes_over_in_the_middle_of_a_run(api, two, conductors, end):
    """When the leader lets go of its Lease, when it can't, and when it comes back to life later."""
    leader, standby = two
    name = f"taken-over-{end}"
    conductors.steps[name] = 2  # it begins, and opens the gate
    api.apply(a_run(name, **PLAIN))
    api.wait_for("shop", name, lambda status: status.get("phase") == "Running")
    match end:
        case "terminated":
            assert leader.process.terminate() == 0
        case "killed":
            leader.process.kill()
        case "frozen":
            api.wait_until(lambda: is_quiet(leader.proxy), "nothing is on its way")
            leader.process.freeze()
    standby.process.wait_for_log('"leading"')
    written = len(leader.proxy.writes)
    if end == "frozen":
        # It finds a change of the first run, and a second one, before it hears that it has lost.
        api.apply(a_run(f"{name}-meanwhile", **PLAIN))
        api.edit_run("shop", name, priority=1)
        leader.process.thaw()
        assert leader.process.wait() == 1
    del conductors.steps[name]
    status = api.wait_for("shop", name, finished)
    assert status["verdict"] == "Passed"
    assert leader.proxy.writes[written:] == []
    assert standby.proxy.writes != []


def is_quiet(proxy):
    before = len(proxy.writes)
    time.sleep(1)
    return len(proxy.writes) == before


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
            kinds = set(writes_of_an_undisturbed_run(api, proxy, f"{kind}-undisturbed", spec))
            for point in count(1):
                name = f"{kind}-killed-{point:03}"
                proxy.writes.clear()

                def die(_, point=point, name=name):
                    # Those of runs before it, which may still be going on, name their own.
                    own = [each for each in proxy.writes if "-killed-" not in each or name in each]
                    if len(own) == point:
                        operator.kill()

                def is_over(name=name):
                    run = api.run("shop", name) or {"metadata": {}, "status": {}}
                    return finished(run.get("status") or {}) and not run["metadata"].get(
                        "finalizers"
                    )

                def names_itself(name=name):
                    status = (api.run("shop", name) or {}).get("status") or {}
                    space = status.get("namespace")
                    return finished(status) or (space and api.get(f"/api/v1/namespaces/{space}"))

                proxy.on_write = die
                api.apply(a_run(name, **{"services": [], **spec}))
                api.wait_until(
                    lambda is_over=is_over: not operator.running or is_over(),
                    f"it is killed at {point}",
                )
                proxy.on_write = lambda _: None
                if operator.running:
                    break  # it has no such write: no run is left to disturb
                operator.start()
                api.wait_until(names_itself, f"{name} has its namespace")
            # On a busy machine one write may say what were two, but each kind is there.
            assert point > len(kinds)
            for each in range(1, point + 1):
                status = api.wait_for("shop", f"{kind}-killed-{each:03}", finished)
                assert status["verdict"] == "Passed", each
            left = api.items("/api/v1/namespaces", names.LABEL_RUN_UID)
            assert [each["metadata"]["name"] for each in left if "killed" in str(each)] == []
            reports = api.items("/api/v1/namespaces/shop/configmaps", names.LABEL_RUN_UID)
            ours = [each for each in reports if f"{kind}-killed" in each["metadata"]["name"]]
            assert len(ours) == point
        finally:
            operator.kill()
            print(operator.log.read_text()[-5000:])


def writes_of_an_undisturbed_run(api, proxy, name, spec):
    """Let one run go through, to see which writes it takes."""
    proxy.writes.clear()
    api.apply(a_run(name, **{"services": [], **spec}))
    api.wait_for("shop", name, finished)
    api.wait_until(lambda: proxy.writes[-1].endswith(f"/{name}"), "its finalizer is gone")
    return list(proxy.writes)
