"""Envoy is beside the gateway when a fault needs it, and only then."""

import json

from seatrial.api import names

from tests.unit.test_gateway_of_a_run import FLAKY, SLOW, a_run_with, fault, listeners
from tests.unit.test_plan_objects import made


def pod(objects):
    return objects["Deployment", names.GATEWAY].body["spec"]["template"]["spec"]


def test_an_http_fault_brings_envoy_configured_for_it():
    objects = made(**a_run_with(fault(FLAKY, "fails"), fault(SLOW, "slow")))
    config = json.loads(objects["ConfigMap", names.GATEWAY].body["data"][names.ENVOY_CONFIG])
    (listener,) = listeners(objects)
    gateway, envoy = pod(objects)["containers"]

    assert (gateway["name"], envoy["name"]) == ("gateway", "envoy")
    assert [each["name"] for each in config["static_resources"]["listeners"]] == [
        str(listener["envoy"]["port"]),
        "switchboard",
    ]
    assert '"name": "fails"' in json.dumps(config)
    assert '"name": "slow"' not in json.dumps(config)
    assert pod(objects)["volumes"][0]["configMap"] == {"name": names.GATEWAY}
    (shared,) = gateway["volumeMounts"]
    assert shared in envoy["volumeMounts"]


def test_other_faults_of_the_network_need_no_envoy_and_no_volume():
    objects = made(**a_run_with(fault(SLOW)))

    assert ("ConfigMap", names.GATEWAY) not in objects
    assert [each["name"] for each in pod(objects)["containers"]] == ["gateway"]
    assert "volumes" not in pod(objects)
