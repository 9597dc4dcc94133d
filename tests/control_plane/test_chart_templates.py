"""What the chart makes of its values, rendered by the real helm."""

import json
import re
from typing import Any

import pytest
import yaml
from seatrial.api import names
from seatrial.api.services import Preset
from seatrial.app.settings import read_settings
from seatrial.cluster.kinds import _BY_NAME
from seatrial.plan.settings import ClusterNetwork, FaultCeiling

from tests.support.chart import CHART, NAMESPACE, HelmError, helm, of_kind, only, render

OPTIONS = {
    "defaults": {},
    "high-availability": {"ha": {"enabled": True, "replicas": 3}},
    "everything": {
        "ha": {"enabled": True},
        "runs": {
            "podSecurityLevels": ["restricted", "baseline", "privileged"],
            "imagePullSecrets": ["pull"],
        },
        "faults": {
            "delegated": [
                {"apiVersion": "chaos-mesh.org/v1", "kind": "PodChaos", "resource": "podchaos"}
            ]
        },
        "metrics": {"port": 9090, "serviceMonitor": {"enabled": True, "labels": {"team": "a"}}},
        "networkPolicy": {
            "apiServer": {"ports": [6443], "cidrs": ["10.0.0.0/8"]},
            "dns": {"namespaces": ["openshift-dns"], "ports": [53, 5353], "cidrs": []},
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        },
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "serviceAccount": {"annotations": {"e": "f"}},
    },
    "nothing-optional": {
        "crds": {"create": False},
        "rbac": {"create": False, "aggregate": False},
        "serviceAccount": {"create": False, "name": "mine"},
        "admissionPolicy": {"create": False},
        "metrics": {"service": {"create": False}},
        "networkPolicy": {"enabled": False},
    },
}
every_option = pytest.mark.parametrize(
    "values", [pytest.param(values, id=name) for name, values in OPTIONS.items()]
)


@every_option
def test_the_chart_lints_without_a_warning(values, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    said = helm("lint", str(CHART), "--strict", "--kube-version", "1.36.0", "-f", str(file))
    assert "[WARNING]" not in said
    assert "[ERROR]" not in said


@every_option
def test_every_object_says_whose_it_is(values):
    for each in render(**values):
        if each["kind"] != "CustomResourceDefinition":
            assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "seatrial"


def rules_of(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    roles = of_kind(objects, "ClusterRole") + of_kind(objects, "Role")
    return [rule for role in roles for rule in role["rules"]]


@every_option
def test_no_right_is_given_by_a_star_or_leads_to_others(values):
    for rule in rules_of(render(**values)):
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"escalate", "impersonate"} & set(rule["verbs"])
        assert not {"clusterrolebindings", "roles", "nodes"} & set(rule["resources"])
        if "bind" in rule["verbs"]:
            assert rule["resourceNames"] == [
                names.CONDUCTOR,
                *names.CONDUCTOR_ROLES,
                *names.STEP_ROLES,
            ]
        if "clusterroles" in rule["resources"]:
            assert rule["verbs"] == ["bind"]


def test_the_operator_may_make_every_kind_that_runs_are_made_of():
    role = next(
        each
        for each in of_kind(render(), "ClusterRole")
        if each["metadata"]["name"] == "seatrial-operator"
    )
    may_create = {
        (group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if "create" in rule["verbs"]
    }
    made = {
        ("" if "/" not in kind.api_version else kind.api_version.split("/")[0], kind.plural)
        for kind in _BY_NAME.values()
        # A run is the user's, and the Lease has a Role of its own.
        if kind.name not in ("IntegrationTestRun", "Lease")
    }
    assert may_create == made | {("", "serviceaccounts/token")}


def test_every_role_that_the_operator_binds_is_there_and_says_little():
    roles = {
        each["metadata"]["name"]: each["rules"]
        for each in of_kind(render(), "ClusterRole")
        if each["metadata"]["name"].startswith(names.CONDUCTOR)
    }

    assert list(roles) == [names.CONDUCTOR, *names.CONDUCTOR_ROLES, *names.STEP_ROLES]
    for name in names.CONDUCTOR_ROLES:
        assert len(roles[name]) <= 1
    assert roles["seatrial-conductor-delegated"] == []


def test_other_tools_objects_may_be_written_where_the_values_say_so():
    delegated = [
        {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "resource": "podchaos"},
        {"apiVersion": "litmuschaos.io/v1", "kind": "ChaosEngine", "resource": "chaosengines"},
    ]
    objects = render(faults={"delegated": delegated})
    (role,) = [r for r in of_kind(objects, "ClusterRole") if "delegated" in r["metadata"]["name"]]

    assert [(rule["apiGroups"], rule["resources"]) for rule in role["rules"]] == [
        (["chaos-mesh.org"], ["podchaos"]), (["litmuschaos.io"], ["chaosengines"])
    ]  # fmt: skip
    settings = read_settings(environ_of(objects))
    assert settings.plan.faults.delegated == {
        "chaos-mesh.org/v1alpha1/PodChaos", "litmuschaos.io/v1/ChaosEngine"
    }  # fmt: skip


def test_the_operator_may_ask_for_the_conductor_s_token_and_no_other():
    (rule,) = [r for r in rules_of(render()) if "serviceaccounts/token" in r["resources"]]
    assert rule["resourceNames"] == ["seatrial-conductor"]
    assert rule["verbs"] == ["create"]


def test_the_operator_may_read_secrets_only_if_runs_may_refer_to_them():
    def verbs(objects: list[dict[str, Any]]) -> set[str]:
        operator = next(
            each
            for each in of_kind(objects, "ClusterRole")
            if each["metadata"]["name"] == "seatrial-operator"
        )
        return {v for r in operator["rules"] if "secrets" in r["resources"] for v in r["verbs"]}

    assert verbs(render()) == {"get", "create", "patch"}
    assert verbs(render(runs={"readSecrets": False})) == {"create", "patch"}


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = only(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


def environ_of(objects: list[dict[str, Any]]) -> dict[str, str]:
    (container,) = pod_of(objects)["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}


@every_option
def test_the_operator_s_pod_is_restricted(values):
    pod = pod_of(render(**values))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"]["memory"]


@every_option
def test_the_operator_understands_the_settings_it_is_given(values):
    (container,) = pod_of(render(**values))["containers"]
    environ = {each["name"]: each.get("value", "") for each in container["env"]}
    settings = read_settings(environ)
    assert settings.namespace == NAMESPACE
    assert settings.plan.runner_image == "docker.io/seatrial/runner:0.1.0"


def test_values_reach_the_operator_s_settings():
    runs = {
        "maxConcurrent": 7,
        "maxTimeout": "90m",
        "podSecurityLevels": ["baseline"],
        "readSecrets": False,
        "imagePullSecrets": ["a", "b"],
        "quota": {"pods": 5},
        "limits": {"max": {"memory": "2Gi"}},
    }
    (container,) = pod_of(render(runs=runs, metrics={"port": 9999}))["containers"]
    settings = read_settings({e["name"]: e.get("value", "") for e in container["env"]})
    assert settings.http_port == 9999
    assert settings.plan.max_concurrent_runs == 7
    assert settings.plan.max_timeout.total_seconds() == 5400
    assert settings.plan.pod_security_levels == ("baseline",)
    assert settings.plan.read_secrets is False
    assert settings.plan.image_pull_secrets == ("a", "b")
    assert settings.plan.quota["pods"] == "5"
    assert settings.plan.limits["max"] == {"memory": "2Gi"}


def test_a_ceiling_of_faults_reaches_the_operator():
    faults = {"kinds": ["kill", "latency"], "maxDuration": "5m", "maxPods": "50%"}
    found = read_settings(environ_of(render(faults=faults))).plan.faults
    assert (found.kinds, found.max_pods) == ({"kill", "latency"}, 50)
    assert found.max_duration.total_seconds() == 300
    assert read_settings(environ_of(render(faults={"kinds": []}))).plan.faults.kinds == set()
    assert read_settings(environ_of(render())).plan.faults == FaultCeiling()


def test_where_the_api_server_and_dns_are_reaches_the_operator():
    assert read_settings(environ_of(render())).plan.network == ClusterNetwork()
    given = {
        "enabled": False,  # of the operator's own policy: those of runs are there all the same
        "apiServer": {"ports": [443, 16443], "cidrs": ["10.0.0.0/24", "fd00::/64"]},
        "dns": {"namespaces": ["a", "b"], "ports": [53, 65535], "cidrs": ["10.96.0.10/32"]},
    }
    assert read_settings(environ_of(render(networkPolicy=given))).plan.network == ClusterNetwork(
        api_server_ports=(443, 16443),
        api_server_cidrs=("10.0.0.0/24", "fd00::/64"),
        dns_namespaces=("a", "b"),
        dns_ports=(53, 65535),
        dns_cidrs=("10.96.0.10/32",),
    )
    pods_alone = render(networkPolicy={"dns": {"cidrs": []}})
    assert read_settings(environ_of(pods_alone)).plan.network == ClusterNetwork(dns_cidrs=())


def test_a_registry_and_images_of_presets_reach_the_operator():
    presets = {"registry": "mirror.example/hub", "images": {"redis": "r.example/valkey:8"}}
    images = read_settings(environ_of(render(presets=presets))).plan.presets
    assert images.registry == "mirror.example/hub"
    assert images.of(Preset("redis")) == "mirror.example/hub/valkey:8"
    assert images.of(Preset("postgres")) == "mirror.example/hub/library/postgres:17"
    unchanged = read_settings(environ_of(render())).plan.presets
    assert unchanged.of(Preset("postgres")) == "docker.io/library/postgres:17"


def test_an_image_is_named_by_tag_or_digest():
    digest = "sha256:" + "0" * 64
    image = {"operator": {"repository": "r.example/op", "tag": digest}, "runner": {"tag": "5"}}
    (container,) = pod_of(render(image=image))["containers"]
    environ = {each["name"]: each.get("value") for each in container["env"]}
    assert container["image"] == f"r.example/op@{digest}"
    assert environ["SEATRIAL_RUNNER_IMAGE"] == "docker.io/seatrial/runner:5"


def test_one_operator_is_replaced_before_the_next_starts():
    objects = render()
    deployment = only(objects, "Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert of_kind(objects, "PodDisruptionBudget") == []


def test_a_standby_runs_on_another_node_and_survives_a_drain():
    objects = render(ha={"enabled": True})
    deployment = only(objects, "Deployment")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["type"] == "RollingUpdate"
    assert only(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    affinity = pod_of(objects)["affinity"]["podAntiAffinity"]
    (preferred,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"


def test_the_definition_stays_when_the_chart_goes():
    definition = only(render(), "CustomResourceDefinition")
    assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    installed = yaml.safe_load((CHART / "files" / "integrationtestruns.yaml").read_text())
    assert definition["spec"] == installed["spec"]
    assert of_kind(render(crds={"create": False}), "CustomResourceDefinition") == []


def test_what_is_switched_off_is_not_there():
    kinds = {each["kind"] for each in render(**OPTIONS["nothing-optional"])}
    assert kinds == {"Deployment"}


def test_the_operator_reaches_dns_and_the_api_server_alone():
    policy = only(render(**OPTIONS["everything"]), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    dns, server = policy["egress"]
    assert dns == {
        "ports": [
            {"port": 53, "protocol": "UDP"},
            {"port": 53, "protocol": "TCP"},
            {"port": 5353, "protocol": "UDP"},
            {"port": 5353, "protocol": "TCP"},
        ]
    }
    assert server == {
        "ports": [{"port": 6443, "protocol": "TCP"}],
        "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    }
    (metrics,) = policy["ingress"]
    assert metrics["from"] == OPTIONS["everything"]["networkPolicy"]["metricsFrom"]


def test_prometheus_finds_the_metrics():
    objects = render(metrics={"serviceMonitor": {"enabled": True, "labels": {"release": "prom"}}})
    monitor, service = only(objects, "ServiceMonitor"), only(objects, "Service")
    assert monitor["metadata"]["labels"]["release"] == "prom"
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


@pytest.mark.parametrize(
    ("role", "verbs"),
    [
        ("view", {"get", "list", "watch"}),
        ("edit", {"get", "list", "watch", "create", "update", "patch", "delete"}),
        (
            "admin",
            {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
        ),
    ],
)
def test_the_standard_roles_may_do_with_runs_what_they_may_with_the_rest(role, verbs):
    label = f"rbac.authorization.k8s.io/aggregate-to-{role}"
    rules = [
        rule
        for each in of_kind(render(), "ClusterRole")
        if each["metadata"]["labels"].get(label) == "true"
        for rule in each["rules"]
    ]
    assert {verb for rule in rules for verb in rule["verbs"]} == verbs
    assert {r for rule in rules for r in rule["resources"]} <= {
        "integrationtestruns",
        "integrationtestruns/status",
    }


def test_two_releases_have_different_names():
    one = {(o["kind"], o["metadata"]["name"]) for o in render(release="one-seatrial")}
    two = {(o["kind"], o["metadata"]["name"]) for o in render(release="two")}
    # The operator binds the conductor's roles by name, and there is one definition in a cluster.
    assert {name for _, name in one & two} == {
        names.CONDUCTOR,
        *names.CONDUCTOR_ROLES,
        *names.STEP_ROLES,
        "integrationtestruns.seatrial.dev",
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"repicas": 2}, "additional properties 'repicas' not allowed"),
        ({"image": {"tag": "1"}}, "additional properties 'tag' not allowed"),
        ({"image": {"operator": {"tag": "not a tag"}}}, "/image/operator/tag"),
        ({"image": {"operator": {"pullPolicy": "Sometimes"}}}, "/image/operator/pullPolicy"),
        ({"image": {"operator": {"repository": ""}}}, "/image/operator/repository"),
        ({"runs": {"maxConcurrent": 0}}, "/runs/maxConcurrent"),
        ({"runs": {"maxConcurrent": "many"}}, "/runs/maxConcurrent"),
        ({"runs": {"maxTimeout": "4 hours"}}, "/runs/maxTimeout"),
        ({"runs": {"podSecurityLevels": ["open"]}}, "/runs/podSecurityLevels/0"),
        ({"faults": {"kinds": ["meteor"]}}, "/faults/kinds/0"),
        ({"faults": {"maxPods": "0%"}}, "/faults/maxPods"),
        (
            {"faults": {"delegated": [{"apiVersion": "v1", "kind": "Pod", "resource": "pods"}]}},
            "/faults/delegated/0/apiVersion",
        ),
        ({"runs": {"podSecurityLevels": []}}, "/runs/podSecurityLevels"),
        ({"runs": {"quota": {"pods": "lots"}}}, "/runs/quota/pods"),
        ({"runs": {"limits": {"defaults": {}}}}, "'defaults' not allowed"),
        ({"runs": {"imagePullSecrets": ["Not A Name"]}}, "/runs/imagePullSecrets/0"),
        ({"log": {"level": "TRACE"}}, "/log/level"),
        ({"ha": {"enabled": "yes"}}, "/ha/enabled"),
        ({"ha": {"replicas": 1}}, "/ha/replicas"),
        ({"metrics": {"port": 80}}, "/metrics/port"),
        ({"networkPolicy": {"apiServer": {"ports": []}}}, "/networkPolicy/apiServer/ports"),
        ({"networkPolicy": {"apiServer": {"cidrs": ["anywhere"]}}}, "/apiServer/cidrs/0"),
        ({"networkPolicy": {"apiServer": {"ports": [65536]}}}, "/apiServer/ports/0"),
        ({"networkPolicy": {"dns": {"ports": []}}}, "/networkPolicy/dns/ports"),
        ({"networkPolicy": {"dns": {"ports": ["dns"]}}}, "/networkPolicy/dns/ports/0"),
        ({"networkPolicy": {"dns": {"namespaces": []}}}, "/networkPolicy/dns/namespaces"),
        ({"networkPolicy": {"dns": {"namespaces": ["Not A Name"]}}}, "/dns/namespaces/0"),
        ({"networkPolicy": {"dns": {"cidrs": ["169.254.20.10"]}}}, "/networkPolicy/dns/cidrs/0"),
        ({"networkPolicy": {"dns": {"namespace": "dns"}}}, "'namespace' not allowed"),
        ({"imagePullSecrets": ["name"]}, "/imagePullSecrets/0"),
        ({"podLabels": {"a": 1}}, "/podLabels/a"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name: needed"),
        (
            {"metrics": {"service": {"create": False}, "serviceMonitor": {"enabled": True}}},
            "metrics.serviceMonitor.enabled needs metrics.service.create",
        ),
    ],
    ids=json.dumps,
)
def test_a_value_that_cannot_be_is_refused(values, said):
    with pytest.raises(HelmError) as refused:
        render(**values)
    assert said in str(refused.value)


def test_an_old_kubernetes_is_refused():
    with pytest.raises(HelmError, match="incompatible with Kubernetes"):
        helm("template", "seatrial", str(CHART), "--kube-version", "1.29.0")


PAGE = CHART.parent.parent / "docs" / "how-to" / "install.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_about_installing_has_examples():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.partition("\n")[0])
def test_the_values_of_the_page_about_installing_are_accepted(text):
    assert render(**yaml.safe_load(text)) != render()
