"""What a service stores outlives its pods, and two pods never share it."""

import json

import pytest
from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.plan.naming import volume_name
from seatrial.plan.objects import Mode

from tests.support.builders import a_fault, a_service, a_test
from tests.unit.test_plan_objects import made

DB = a_service("db", runAsUser=999, volumes=[{"path": "/data", "size": "2Gi"}, {"path": "/log"}])
STATEFUL_SET = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "db"},
    "spec": {
        "selector": {"matchLabels": {"app": "db"}},
        "template": {
            "metadata": {"labels": {"app": "db"}},
            "spec": {"containers": [{"name": "main", "image": "registry.example/db:1"}]},
        },
    },
}
RUN = {"services": [DB], "tests": [a_test(scenario=[{"expect": ["true"]}])]}


def workload(**run):
    return made(**{**RUN, **run})["StatefulSet", "db"].body["spec"]


def test_each_volume_is_a_claim_that_is_made_once():
    objects = made(**RUN)
    claims = [each for key, each in objects.items() if key[0] == "PersistentVolumeClaim"]

    assert [each.key.name for each in claims] == [volume_name("db", 0), volume_name("db", 1)]
    assert [each.body["spec"]["resources"]["requests"]["storage"] for each in claims] == [
        "2Gi", "1Gi"
    ]  # fmt: skip
    assert {each.mode for each in claims} == {Mode.CREATE}
    assert all(each.body["metadata"]["labels"][names.LABEL_SERVICE] == "db" for each in claims)


def test_two_pods_never_write_to_the_same_data():
    objects = made(**RUN)
    assert ("Deployment", "db") not in objects
    assert objects["StatefulSet", "db"].key.name == workload()["serviceName"] == "db"
    assert not {"strategy", "progressDeadlineSeconds", "volumeClaimTemplates"} & workload().keys()

    without = made(**{**RUN, "services": [a_service("db")]})
    assert ("StatefulSet", "db") not in without
    assert without["Deployment", "db"].body["spec"]["strategy"] == {"type": "RollingUpdate"}


@pytest.mark.parametrize(
    ("service", "kind"), [(DB, "StatefulSet"), (a_service("db"), "Deployment")]
)
def test_the_conductor_is_told_which_workload_to_watch(service, kind):
    data = made(**{**RUN, "services": [service]})["ConfigMap", names.RUN_CONFIGMAP].body["data"]
    [told] = json.loads(data[names.RUN_KEY])["services"]
    assert told["workloads"] == [{"kind": kind, "name": "db"}]


def test_a_stateful_set_of_another_service_cannot_have_its_name():
    stateful_set = a_service("other", manifests={"inline": json.dumps(STATEFUL_SET)})
    with pytest.raises(InvalidSpecError, match="service db has a StatefulSet of that name too"):
        made(**{**RUN, "services": [DB, stateful_set]})


def test_whoever_the_image_runs_as_may_write():
    pod = workload()["template"]["spec"]

    assert pod["securityContext"]["fsGroup"] == 999
    assert [(each["name"], each["mountPath"]) for each in pod["containers"][0]["volumeMounts"]] == [
        ("volume-0", "/data"), ("volume-1", "/log")
    ]  # fmt: skip


def test_an_outage_keeps_what_is_on_the_volume():
    outage = a_fault(target={"service": "db"}, outage={}, **{"for": "5s"})

    assert workload(faults=[outage])["replicas"] == 1
