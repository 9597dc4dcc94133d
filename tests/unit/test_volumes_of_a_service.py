"""What a service stores outlives its pods, and two pods never share it."""

from seatrial.api import names
from seatrial.plan.naming import volume_name
from seatrial.plan.objects import Mode

from tests.support.builders import a_fault, a_service, a_test
from tests.unit.test_plan_objects import made

DB = a_service("db", runAsUser=999, volumes=[{"path": "/data", "size": "2Gi"}, {"path": "/log"}])
RUN = {"services": [DB], "tests": [a_test(scenario=[{"expect": ["true"]}])]}


def deployment(**run):
    return made(**{**RUN, **run})["Deployment", "db"].body["spec"]


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
    assert deployment()["strategy"] == {"type": "Recreate"}
    without = deployment(services=[a_service("db")])
    assert without["strategy"] == {"type": "RollingUpdate"}


def test_whoever_the_image_runs_as_may_write():
    pod = deployment()["template"]["spec"]

    assert pod["securityContext"]["fsGroup"] == 999
    assert [(each["name"], each["mountPath"]) for each in pod["containers"][0]["volumeMounts"]] == [
        ("volume-0", "/data"), ("volume-1", "/log")
    ]  # fmt: skip


def test_an_outage_keeps_what_is_on_the_volume():
    outage = a_fault(target={"service": "db"}, outage={}, **{"for": "5s"})

    assert deployment(faults=[outage])["replicas"] == 1
