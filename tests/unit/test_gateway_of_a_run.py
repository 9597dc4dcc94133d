"""Services that a fault targets lead to the gateway, and from there to where they led before."""

import json

import pytest
from seatrial.api import families, names
from seatrial.plan.objects.accounts import conductor_roles

from tests.support.builders import a_fault, a_service, a_test
from tests.support.strategies import GATEWAY_KINDS
from tests.unit.test_plan_objects import SETTINGS, blueprint, made

ONE_STEP = [{"expect": ["true"]}]
SLOW = {"latency": {"delay": "1s"}, "for": "5s"}
FLAKY = {"http": {"abort": {"status": 503}}, "for": "5s"}
GATEWAY = {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY}
MANIFESTS = """
apiVersion: v1
kind: Service
metadata: {name: web, annotations: {team: a}}
spec:
  selector: {app: web}
  sessionAffinity: ClientIP
  internalTrafficPolicy: Local
  publishNotReadyAddresses: true
  ports:
  - {name: http, port: 80, targetPort: web, appProtocol: http}
  - {name: admin, port: 81, targetPort: 9000}
---
apiVersion: v1
kind: Service
metadata: {name: web-peers}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web:1}]}
"""


def a_run_with(*faults, **spec):
    services = [a_service("orders", replicas=2), a_service("payments"), a_service("db")]
    return {
        "services": services,
        "tests": [a_test(scenario=ONE_STEP)],
        "faults": list(faults),
        **spec,
    }


def fault(kind, name="f", **target):
    return a_fault(name, target={"service": "payments", **target}, **kind)


def services(objects):
    return {name: each.body["spec"] for (kind, name), each in objects.items() if kind == "Service"}


def listeners(objects):
    deployment = objects["Deployment", names.GATEWAY].body
    (container, *_) = deployment["spec"]["template"]["spec"]["containers"]
    environ = {each["name"]: each.get("value", "") for each in container["env"]}
    return json.loads(environ[names.ENV_GATEWAY])["listeners"]


def test_a_run_without_such_a_fault_has_no_gateway():
    objects = made(**a_run_with(a_fault()))

    assert [key for key in objects if "gateway" in key[1] or "direct" in key[1]] == []
    assert services(objects)["orders"]["selector"] == {names.LABEL_SERVICE: "orders"}


@pytest.mark.parametrize("kind", GATEWAY_KINDS, ids=lambda kind: next(iter(kind)))
def test_the_target_leads_to_the_gateway_and_nothing_else_does(kind):
    found = services(made(**a_run_with(fault(kind))))

    (port,) = found["payments"]["ports"]
    assert found["payments"]["selector"] == GATEWAY
    assert (port["name"], port["port"]) == ("http", 8080)
    assert port["targetPort"] == names.GATEWAY_FIRST_LISTEN
    direct = found["seatrial-direct-payments"]
    assert direct["selector"] == {names.LABEL_SERVICE: "payments"}
    assert direct["ports"] == [{**port, "targetPort": 8080}]
    assert found["orders"]["selector"] == {names.LABEL_SERVICE: "orders"}


def test_the_gateway_is_told_what_it_carries():
    assert listeners(made(**a_run_with(fault(SLOW)))) == [
        {
            "service": "payments",
            "portName": "http",
            "port": 8080,
            "listen": names.GATEWAY_FIRST_LISTEN,
            "upstreamHost": "seatrial-direct-payments",
            "envoy": None,
        }
    ]


def test_of_manifests_all_is_kept_but_where_the_service_leads():
    web = {"name": "shop", "manifests": {"inline": MANIFESTS}}
    run = a_run_with(fault(SLOW, service="shop"), services=[web])
    before = services(made(**{**run, "faults": []}))
    objects = made(**run)
    found = services(objects)

    assert objects["Service", "web"].body["metadata"]["annotations"] == {"team": "a"}
    assert found["web"]["selector"] == GATEWAY
    assert [each["targetPort"] for each in found["web"]["ports"]] == [20001, 20002]
    assert [each["appProtocol"] for each in found["web"]["ports"][:1]] == ["http"]
    assert found["web"]["sessionAffinity"] == "ClientIP"
    # Bound to its own node the gateway's pod, or its way to the others, would not be found.
    assert "internalTrafficPolicy" not in found["web"]
    direct = found["seatrial-direct-web"]
    assert direct == {
        key: value for key, value in before["web"].items() if key != "internalTrafficPolicy"
    }
    assert direct["ports"][0]["targetPort"] == "web"
    assert direct["publishNotReadyAddresses"] is True


def test_a_headless_service_beside_another_stays_as_it_is():
    web = {"name": "shop", "manifests": {"inline": MANIFESTS}}
    run = a_run_with(fault(SLOW, service="shop"), services=[web])

    assert services(made(**run))["web-peers"]["clusterIP"] == "None"
    assert "seatrial-direct-web-peers" not in services(made(**run))


@pytest.mark.parametrize(
    ("direction", "carried"),
    [("both", ["payments", "orders"]), ("fromTarget", ["payments", "orders"]),
     ("toTarget", ["payments"])],
)  # fmt: skip
def test_a_partition_also_carries_what_its_target_asks(direction, carried):
    partition = {"partition": {"direction": direction}, "for": "5s"}
    objects = made(**a_run_with(fault(partition, **{"from": ["orders", "tests"]})))

    assert [each["service"] for each in listeners(objects)] == carried


def test_services_behind_the_gateway_are_there_before_those_that_wait():
    run = a_run_with(
        fault(SLOW), services=[a_service("orders"), a_service("payments", dependsOn=["orders"])]
    )
    found = services(made(ready=(), **run))

    assert "payments" not in found
    assert found["seatrial-direct-payments"]["selector"] == {names.LABEL_SERVICE: "payments"}


def test_sources_that_an_http_fault_tells_apart_have_a_port_of_envoy_each():
    run = a_run_with(
        fault(FLAKY, "f", **{"from": ["orders"]}), fault(FLAKY, "g"), fault(SLOW, "h", service="db")
    )
    found = listeners(made(**run))

    assert found[0]["envoy"] == {
        "port": names.ENVOY_FIRST_LISTEN,
        "sources": {"orders": names.ENVOY_FIRST_LISTEN + 1},
    }
    assert found[1]["envoy"] is None


def test_the_gateway_has_no_rights_and_a_token_nobody_else_has():
    objects = made(**a_run_with(fault(SLOW)))
    deployment = objects["Deployment", names.GATEWAY].body["spec"]
    pod = deployment["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert deployment["template"]["metadata"]["labels"][names.LABEL_COMPONENT] == "gateway"
    assert objects["Secret", names.GATEWAY].random_keys == (names.TOKEN_KEY,)
    others = [each.body for key, each in objects.items() if key[1] != names.GATEWAY]
    assert f'"name": "{names.GATEWAY}"' not in json.dumps(others)


def test_the_conductor_knows_where_the_pods_are_without_the_gateway():
    objects = made(**a_run_with(fault(SLOW)))
    document = json.loads(objects["ConfigMap", names.RUN_CONFIGMAP].body["data"][names.RUN_KEY])

    assert document["gateway"] is True
    assert {each["name"]: each["direct"] for each in document["services"]} == {
        "orders": {}, "payments": {"payments": "seatrial-direct-payments"}, "db": {},
    }  # fmt: skip


def test_a_long_host_has_a_service_behind_it_of_its_own():
    long = names.direct_service("a" * 63)

    assert len(long) <= 63
    assert long != names.direct_service("a" * 62 + "b")


@pytest.mark.parametrize(
    ("fault_", "roles"),
    [
        (a_fault(), []),
        (a_fault(evict={}), ["evict"]),
        (a_fault(noEndpoints={}, **{"for": "5s"}), ["services"]),
        (a_fault(configuration={"configMap": "a", "remove": {}}, **{"for": "5s"}),
         ["configuration"]),
        (fault(SLOW), ["gateway"]),
    ],
)  # fmt: skip
def test_the_conductor_has_only_the_rights_that_its_faults_need(fault_, roles):
    run = a_run_with(fault_, services=[
        a_service("orders"),
        a_service("payments"),
        {"name": "config", "manifests": {"inline": "{apiVersion: v1, kind: ConfigMap,"
                                                   " metadata: {name: a}}"}},
    ])  # fmt: skip
    expected = ["seatrial-conductor", *(f"seatrial-conductor-{each}" for each in roles)]
    objects = made(**run)

    assert [name for kind, name in objects if kind == "RoleBinding"] == expected
    assert conductor_roles(blueprint(SETTINGS, **run).spec) == expected


def test_every_kind_that_needs_a_right_has_a_role():
    with_a_role = {kind for kinds in names.CONDUCTOR_ROLES.values() for kind in kinds}

    assert set(families.KINDS) - with_a_role == {"kill", "restart", "scale", "outage"}
