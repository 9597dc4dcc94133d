"""Two pods never write to the same data: a service with volumes, and the controllers themselves."""

import pytest
from seatrial.api import names

from tests.support.builders import a_run, a_service, a_test

HELD = "seatrial.dev/held-by-a-test"
SPEC = {
    "services": [a_service("db", volumes=[{"path": "/data"}])],
    "tests": [a_test(scenario=[{"expect": ["true"]}])],
}


class Database:
    """The workload of service db, and its pods."""

    def __init__(self, api, namespace):
        self._api = api
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/db"

    def pods(self):
        return self._api.items(self._pods, f"{names.LABEL_SERVICE}=db")

    def uids(self):
        return [each["metadata"]["uid"] for each in self.pods()]

    def hold(self, pod):
        """Keep a pod that is deleted, as a kubelet does until its processes have ended."""
        self._api.patch(f"{self._pods}/{pod['metadata']['name']}", finalizers(HELD))

    def let_go(self, pod):
        self._api.patch(f"{self._pods}/{pod['metadata']['name']}", finalizers())

    def delete(self, pod):
        self._api.send("DELETE", f"{self._pods}/{pod['metadata']['name']}")

    def change(self, spec):
        self._api.patch(self._path, {"spec": spec})

    def wait_until_looked_at(self):
        """Wait until its controller has acted on the newest spec, with all that is there."""

        def looked_at():
            item = self._api.get(self._path)
            seen = (item.get("status") or {}).get("observedGeneration")
            return bool(seen == item["metadata"]["generation"])

        self._api.wait_until(looked_at, "the controller has looked at db")

    def successor_of(self, pod):
        """Give the pod that has taken another's place, once it is the only one."""
        uid = pod["metadata"]["uid"]
        there = "db has one pod, and another one"
        self._api.wait_until(lambda: len(self.uids()) == 1 and uid not in self.uids(), there)
        [successor] = self.pods()
        return successor


def finalizers(*held):
    return {"metadata": {"finalizers": list(held)}}


@pytest.fixture
def database(api, operator, conductors, request):
    name = request.node.originalname.replace("_", "-")[:40]
    conductors.hold.add(name)
    api.apply(a_run(name, **SPEC))
    status = api.wait_for("shop", name, lambda status: "namespace" in status)
    found = Database(api, status["namespace"])
    api.wait_until(lambda: len(found.pods()) == 1, "db has its pod")
    yield found
    for pod in found.pods():
        found.let_go(pod)
    conductors.hold.clear()


def test_a_successor_is_made_when_its_predecessor_is_gone(database):
    [first] = database.pods()
    database.hold(first)
    database.delete(first)
    database.change({"minReadySeconds": 1})
    database.wait_until_looked_at()
    assert database.uids() == [first["metadata"]["uid"]]

    database.let_go(first)
    assert database.successor_of(first)["metadata"]["name"] == first["metadata"]["name"]


def test_a_service_away_and_back_waits_for_its_pod_too(database):
    [first] = database.pods()
    database.hold(first)
    for replicas in (0, 1):
        database.change({"replicas": replicas})
        database.wait_until_looked_at()
    assert database.uids() == [first["metadata"]["uid"]]

    database.let_go(first)
    database.successor_of(first)


def test_a_template_is_rolled_out_though_the_pod_is_not_ready(database):
    [first] = database.pods()
    database.change({"template": {"metadata": {"annotations": {"rolled": "out"}}}})

    second = database.successor_of(first)
    assert second["metadata"]["annotations"]["rolled"] == "out"
