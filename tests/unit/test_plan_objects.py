"""What a run's namespace is made of."""

import dataclasses
import json
from datetime import UTC, datetime

import pytest
import yaml
from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.api.run import parse_run
from seatrial.plan.blueprint import draw
from seatrial.plan.naming import copy_name, file_keys
from seatrial.plan.objects import Stage, environment
from seatrial.plan.objects.containers import Files
from seatrial.plan.objects.containers import environment as variables
from seatrial.plan.objects.jobs import junit_directory
from seatrial.plan.settings import PlanSettings
from seatrial_runner.runner import collect_command

from tests.support.builders import a_run, a_service, a_test

SETTINGS = PlanSettings("registry.example/runner:1", image_pull_secrets=("pull", "absent"))
STARTED = datetime(2026, 11, 20, 12, tzinfo=UTC)
READABLE = {"labels": {names.LABEL_READABLE: names.LABEL_READABLE_VALUE}}
FOUND = {
    ("ConfigMap", "suite"): {"metadata": READABLE, "data": {"test_it.py": "x"}},
    ("Secret", "keys"): {"metadata": READABLE, "data": {"a": "Yg=="}, "type": "Opaque"},
    ("Secret", "pull"): {
        "metadata": READABLE,
        "data": {".dockerconfigjson": "e30="},
        "type": "kubernetes.io/dockerconfigjson",
    },
    ("Secret", "absent"): None,
}
PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
WHOLE = {
    "services": [
        a_service("db", files={"/etc/a": "1", "/etc/b": "2"}),
        a_service("orders", dependsOn=["db"], envFrom=[{"secret": "keys"}], replicas=2),
    ],
    "tests": [
        a_test(),
        a_test("suite", pytest={"configMap": "suite", "parallelism": 3, "args": ["-m", "x"]}),
        a_test("any", container={"image": "any:1", "junit": "/out/r/*.xml"}, retries=2),
    ],
}


def blueprint(settings=SETTINGS, found=FOUND, **spec):
    run = parse_run(a_run(**spec))
    return draw(run.metadata, run.spec, found, settings)


def made(settings=SETTINGS, ready=("db", "orders"), **spec):
    run = blueprint(settings, **spec)
    return {
        (each.key.kind, each.key.name): each
        for each in environment(run, settings, started=STARTED, seal="drawn", ready=ready)
    }


def pods(objects):
    for (kind, name), manifest in objects.items():
        spec = manifest.body.get("spec", {})
        if kind == "Pod":
            yield name, spec
        elif "template" in spec:
            yield name, spec["template"]["spec"]


def test_a_plain_run_gets_only_what_it_needs():
    kinds = sorted(kind for kind, _ in made(**PLAIN))
    assert kinds == sorted(
        ["Namespace", "ServiceAccount", "RoleBinding", "NetworkPolicy", "Pod"]
        + ["ConfigMap"] * 3
        + ["Secret"] * 2  # its token, and a copy of the pull secret
    )


def test_every_object_carries_the_labels_of_its_run_and_its_namespace():
    for manifest in made(**WHOLE).values():
        metadata = manifest.body["metadata"]
        assert metadata["labels"][names.LABEL_RUN_UID]
        if manifest.key.kind != "Namespace":
            assert metadata["namespace"] == "itr-checkout-0a1b2c3d"


LEVELS = ("restricted", "baseline", "privileged")
PERMISSIVE = dataclasses.replace(SETTINGS, pod_security_levels=LEVELS)


@pytest.mark.parametrize("level", LEVELS)
def test_no_pod_has_a_token_mounted_or_an_account_of_more_rights(level):
    for name, pod in pods(made(PERMISSIVE, podSecurity=level, **WHOLE)):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        account = names.CONDUCTOR if name == names.CONDUCTOR else names.WORKLOAD_ACCOUNT
        assert pod["serviceAccountName"] == account


@pytest.mark.parametrize("level", LEVELS)
def test_only_where_baseline_is_asked_for_may_a_container_of_the_user_be_root(level):
    freed = set()
    for name, pod in pods(made(PERMISSIVE, podSecurity=level, **WHOLE)):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            context = {**pod["securityContext"], **container["securityContext"]}
            if (
                context.get("runAsNonRoot") is not True
                or context.get("allowPrivilegeEscalation") is not False
                or context.get("capabilities") != {"drop": ["ALL"]}
            ):
                freed.add((name, container["name"]))
    users = {("db", "main"), ("orders", "main"), ("test-suite", "test"), ("test-any", "test")}
    assert freed == (users if level == "baseline" else set())


@pytest.mark.parametrize("level", LEVELS)
def test_the_namespace_enforces_the_level_that_is_asked_for(level):
    namespace = made(PERMISSIVE, podSecurity=level, **WHOLE)["Namespace", "itr-checkout-0a1b2c3d"]
    labels = namespace.body["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == level


def test_the_conductor_has_no_volume_and_its_secret_is_written_before_it():
    objects = made(**PLAIN)
    pod = objects["Pod", names.CONDUCTOR]
    assert "volumes" not in pod.body["spec"]
    order = [objects[each, names.CONDUCTOR] for each in ("ServiceAccount", "Secret", "Pod")]
    assert all(each.of_conductor for each in order)
    assert [each.stage for each in order] == sorted(each.stage for each in order)
    assert objects["Secret", names.CONDUCTOR].token_s == 30 * 60 + 60 + 15 * 60


def test_the_conductor_s_token_is_in_nobody_s_pod():
    text = json.dumps([pod for name, pod in pods(made(**WHOLE)) if name != names.CONDUCTOR])
    assert f'"name": "{names.CONDUCTOR}"' not in text


def test_every_test_has_a_token_of_its_own_and_its_pods_have_no_other():
    objects = made(**WHOLE)
    assert objects["Secret", names.ACCESS_SECRET].random_keys == ("suite", "any")
    for test in ("suite", "any"):
        pod = objects["Job", f"test-{test}"].body["spec"]["template"]["spec"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            [token] = [each for each in container["env"] if each["name"] == names.ENV_TOKEN]
            key = {"name": names.ACCESS_SECRET, "key": test}
            assert token["valueFrom"] == {"secretKeyRef": key}
        assert json.dumps(pod).count(names.ACCESS_SECRET) == str(pod).count(names.ENV_TOKEN)


def test_the_system_waits_for_its_policies():
    stages = {key: manifest.stage for key, manifest in made(**WHOLE).items()}
    assert stages["Deployment", "db"] > stages["NetworkPolicy", "seatrial-default-deny"]
    assert stages["Deployment", "db"] is Stage.WORKLOADS


def test_services_that_depend_on_others_come_when_these_are_ready():
    assert ("Deployment", "orders") not in made(ready=(), **WHOLE)
    assert ("Deployment", "db") in made(ready=(), **WHOLE)


def test_a_first_tcp_port_is_the_default_readiness():
    container = made(**WHOLE)["Deployment", "db"].body["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"] == {"tcpSocket": {"port": 8080}, "periodSeconds": 1}


def test_a_port_of_the_container_that_two_ports_lead_to_is_declared_once():
    # A server-side apply refuses a list with a key twice.
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "alt", "port": 8080},
        {"name": "udp", "port": 8080, "protocol": "UDP"},
    ]
    objects = made(services=[a_service("db", ports=ports)], tests=PLAIN["tests"])
    container = objects["Deployment", "db"].body["spec"]["template"]["spec"]["containers"][0]
    declared = [(each["containerPort"], each["protocol"]) for each in container["ports"]]
    assert declared == [(8080, "TCP"), (8080, "UDP")]
    assert len(objects["Service", "db"].body["spec"]["ports"]) == 3


def test_files_are_mounted_one_by_one():
    pod = made(**WHOLE)["Deployment", "db"].body["spec"]["template"]["spec"]
    mounts = pod["containers"][0]["volumeMounts"]
    assert [(each["mountPath"], each["subPath"]) for each in mounts] == [
        ("/etc/a", "a"), ("/etc/b", "b")
    ]  # fmt: skip


def test_files_of_one_name_in_two_folders_have_a_key_each():
    keys = file_keys(["/a/x.yaml", "/b/x.yaml", "/c/file-0", "/d/a b", "/e/..data", "/f/y"])

    assert keys["/f/y"] == "y"
    assert sorted(keys.values()) == ["file-0", "file-1", "file-2", "file-3", "file-4", "y"]


def test_files_that_are_too_large_for_one_object_are_spread():
    contents = {f"/f{index}": "x" * 131072 for index in range(20)}
    parts = list(Files(blueprint(**PLAIN), "service.db", contents).manifests("service"))
    assert len(parts) == 3
    assert sum(len(each.body["data"]) for each in parts) == 20
    assert all(len(json.dumps(each.body)) < 1024 * 1024 for each in parts)


def test_variables_come_after_those_they_are_made_from():
    listed = variables({"A": "$(B)/x", "B": "$(C)", "C": "c", "LOOP": "$(LOOP)"})
    assert [each["name"] for each in listed] == ["C", "B", "A", "LOOP"]


def test_a_shard_that_fails_does_not_end_the_others():
    job = made(**WHOLE)["Job", "test-suite"].body["spec"]
    assert (job["completions"], job["parallelism"], job["completionMode"]) == (3, 3, "Indexed")
    assert job["backoffLimitPerIndex"] == 0
    assert "backoffLimit" not in job
    container = job["template"]["spec"]["containers"][0]
    assert container["args"] == ["pytest", "--", "-m", "x"]
    variables_of = {each["name"]: each for each in container["env"]}
    assert variables_of[names.ENV_SHARDS]["value"] == "3"
    assert "job-completion-index" in str(variables_of[names.ENV_SHARD]["valueFrom"])
    services = json.loads(variables_of[names.ENV_SERVICES]["value"])
    assert services["orders"] == {
        "host": "orders",
        "port": 8080,
        "url": "http://orders:8080",
        "ports": {"http": 8080},
    }


def test_an_image_of_ones_own_for_a_suite_needs_no_entrypoint():
    suite = {"configMap": "suite", "image": "own:1"}
    pod = made(tests=[a_test("suite", pytest=suite)])["Job", "test-suite"].body["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert container["image"] == "own:1"
    assert container["command"] == ["python", "-m", "seatrial_runner"]


def test_a_container_test_waits_at_the_gate_and_is_collected_from():
    job = made(**WHOLE)["Job", "test-any"].body["spec"]
    assert job["backoffLimit"] == 2  # each attempt is a new pod
    pod = job["template"]["spec"]
    # The sidecar first: a test that takes less time than Python to start is collected from, too.
    collect, gate = pod["initContainers"]
    assert (gate["args"], "restartPolicy" in gate) == (["gate", "--collector", "/out/r"], False)
    assert gate["volumeMounts"] == collect["volumeMounts"]
    assert collect["args"] == ["collect", "--junit", "/out/r/*.xml"]
    assert collect["restartPolicy"] == "Always"
    assert collect["volumeMounts"] == [{"name": "results", "mountPath": "/out/r"}]
    tries_s = collect_command.PATIENCE_S + collect_command.ANSWER_S
    assert pod["terminationGracePeriodSeconds"] > tries_s


@pytest.mark.parametrize(
    ("pattern", "directory"),
    [
        ("/results/*.xml", "/results"),
        ("/results/*/TEST-*.xml", "/results"),
        ("/results/a/b.xml", "/results/a"),
        ("/results/[ab]/x.xml", "/results"),
    ],
)
def test_the_directory_of_a_pattern_holds_no_wildcard(pattern, directory):
    assert junit_directory(pattern) == directory


def test_pull_secrets_are_copied_where_the_namespace_offers_them():
    objects = made(**WHOLE)
    account = objects["ServiceAccount", names.WORKLOAD_ACCOUNT].body
    assert [each["name"] for each in account["imagePullSecrets"]] == [copy_name("pull")]
    copy = objects["Secret", copy_name("pull")].body
    assert copy["type"] == "kubernetes.io/dockerconfigjson"


def test_a_long_name_has_a_copy_of_its_own():
    long = copy_name("a" * 253)
    assert len(long) <= 253
    assert long != copy_name("a" * 252 + "b")


def test_the_same_run_makes_the_same_objects():
    first = [(each.key, each.digest) for each in made(**WHOLE).values()]
    assert [(each.key, each.digest) for each in made(**WHOLE).values()] == first


def test_a_run_that_is_longer_than_allowed_is_refused():
    with pytest.raises(InvalidSpecError, match=r"spec\.timeout: is longer than the 4h"):
        blueprint(timeout="5h", **PLAIN)


def test_a_secret_is_refused_where_the_operator_may_not_read_them():
    blind = PlanSettings("registry.example/runner:1", read_secrets=False)
    with pytest.raises(InvalidSpecError, match="refers to Secret keys"):
        blueprint(blind, **WHOLE)


def test_everything_is_plain_json():
    for manifest in made(**WHOLE).values():
        assert yaml.safe_load(json.dumps(manifest.body)) == manifest.body
