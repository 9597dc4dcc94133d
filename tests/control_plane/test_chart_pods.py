"""In namespaces of runs with faults inside pods, pods stay as restricted: on a real API server."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config
from seatrial.api.agents import ephemeral_container

from localcluster.controlplane import ControlPlane
from tests.control_plane.test_chart_admission import As, a_namespace, where
from tests.support.chart import CHART, NAMESPACE, RELEASE, given, helm

Json = dict[str, Any]

AGENT = "docker.io/seatrial/agent:0.1.0"
RUN, OTHER = "itr-broken", "itr-other"
CONDUCTOR = f"system:serviceaccount:{RUN}:seatrial-conductor"
RULES = "ValidatingAdmissionPolicy 'seatrial-pods'"
CONTEXT: Json = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture(scope="module")
def admin() -> Iterator[As]:
    with ControlPlane() as plane:
        levels = {"podSecurityLevels": ["restricted", "privileged"]}
        helm(
            "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace",
            *given(runs=levels), kubeconfig=plane.kubeconfig,
        )  # fmt: skip
        configuration = client.Configuration()
        config.load_kube_config(str(plane.kubeconfig), client_configuration=configuration)
        pool = client.ApiClient(configuration).rest_client.pool_manager
        admin = As(pool, configuration.host)
        for namespace in (
            a_namespace(RUN, level="privileged"),
            a_namespace(OTHER, {"pod-security.kubernetes.io/enforce": "privileged"}),
        ):
            assert admin.send("POST", "/api/v1/namespaces", namespace)[0] == 201
            account = {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": namespace["metadata"]["name"]},
            }
            assert admin.send("POST", where(account), account)[0] == 201
        everything = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "mistake"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [
                {"kind": "User", "name": CONDUCTOR, "apiGroup": "rbac.authorization.k8s.io"}
            ],
        }
        bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        assert admin.send("POST", bindings, everything)[0] == 201
        wait_for_the_rules(admin)
        assert admin.send("POST", where(a_pod()), a_pod())[0] == 201
        yield admin


def wait_for_the_rules(admin: As) -> None:
    deadline = time.monotonic() + 120
    bad = a_pod(hostNetwork=True)
    while RULES not in (answer := dry_run(admin, bad)[1]).get("message", ""):
        assert time.monotonic() < deadline, f"not in force after 120 s: {answer}"
    conductor = As(admin.pool, admin.url, CONDUCTOR)
    while (answer := enter(conductor, "exec", "seatrial-agent-1")[1])["code"] != 403:
        assert time.monotonic() < deadline, f"not in force after 120 s: {answer}"


def dry_run(who: As, pod: Json) -> tuple[int, Json]:
    return who.send("POST", f"{where(pod)}?dryRun=All", pod)


def a_pod(container: Json | None = None, namespace: str = RUN, **spec: Any) -> Json:
    main = {"name": "main", "image": "x:1", "securityContext": CONTEXT, **(container or {})}
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "orders", "namespace": namespace},
        "spec": {"containers": [main], "securityContext": context, **spec},
    }


def of_pod(spec: Json | None = None, **context: Any) -> Json:
    given = a_pod()["spec"]["securityContext"]
    return a_pod(securityContext={**given, **context}, **(spec or {}))


def secured(**context: Any) -> Json:
    return {"securityContext": {**CONTEXT, **context}}


def test_a_restricted_pod_is_taken(admin):
    status, answer = dry_run(admin, {**a_pod(), "metadata": {"name": "b", "namespace": RUN}})
    assert status == 201, answer


def test_a_pod_that_asks_itself_is_taken(admin):
    """Of probes and hooks, only the host is refused."""
    asks = {"httpGet": {"path": "/", "port": 80}}
    knocks = {"tcpSocket": {"host": "", "port": 80}}
    container = {
        "livenessProbe": asks,
        "readinessProbe": knocks,
        "startupProbe": {"exec": {"command": ["true"]}},
        "lifecycle": {"postStart": asks, "preStop": {"exec": {"command": ["true"]}}},
    }
    pod = {**a_pod(container), "metadata": {"name": "b", "namespace": RUN}}
    status, answer = dry_run(admin, pod)
    assert status == 201, answer


def test_a_level_that_openshift_puts_in_is_taken(admin):
    pod = of_pod(seLinuxOptions={"level": "s0:c26,c5"})
    status, answer = dry_run(admin, {**pod, "metadata": {"name": "b", "namespace": RUN}})
    assert status == 201, answer


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(
            a_pod(secured(privileged=True, allowPrivilegeEscalation=True)), id="privileged"
        ),
        pytest.param(a_pod({"securityContext": {}}), id="nothing-said"),
        pytest.param(a_pod(secured(allowPrivilegeEscalation=True)), id="escalation"),
        pytest.param(
            a_pod(secured(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]})), id="capability"
        ),
        pytest.param(a_pod(secured(capabilities={"drop": ["CHOWN"]})), id="capabilities-kept"),
        pytest.param(a_pod(secured(runAsUser=0)), id="root"),
        pytest.param(a_pod(secured(runAsNonRoot=False)), id="maybe-root"),
        pytest.param(a_pod(secured(seccompProfile={"type": "Unconfined"})), id="unconfined"),
        pytest.param(a_pod(securityContext={"runAsNonRoot": True}), id="no-seccomp"),
        pytest.param(
            a_pod(securityContext={"seccompProfile": {"type": "RuntimeDefault"}}), id="any-user"
        ),
        pytest.param(
            a_pod({"ports": [{"containerPort": 1, "hostPort": 1}]}), id="port-of-the-node"
        ),
        pytest.param(
            a_pod({"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}}}),
            id="probe-of-another",
        ),
        pytest.param(
            a_pod({"readinessProbe": {"tcpSocket": {"host": "10.0.0.1", "port": 22}}}),
            id="knock-at-another",
        ),
        pytest.param(
            a_pod({"startupProbe": {"httpGet": {"host": "127.0.0.1", "port": 80}}}),
            id="probe-of-the-node",
        ),
        pytest.param(
            a_pod({"lifecycle": {"postStart": {"httpGet": {"host": "127.0.0.1", "port": 80}}}}),
            id="hook-to-the-node",
        ),
        pytest.param(
            a_pod({"lifecycle": {"preStop": {"tcpSocket": {"host": "10.0.0.1", "port": 22}}}}),
            id="hook-to-another",
        ),
        pytest.param(
            a_pod(secured(seLinuxOptions={"type": "spc_t"})),
            id="label-of-the-node-for-a-container",
        ),
        pytest.param(
            # The API server asks for hostNetwork where hostProcess is set.
            of_pod({"hostNetwork": True}, windowsOptions={"hostProcess": True}),
            id="process-of-a-windows-node",
        ),
        pytest.param(of_pod(seLinuxOptions={"role": "system_r"}), id="role-of-the-node"),
        pytest.param(of_pod(seLinuxOptions={"type": "spc_t"}), id="label-of-the-node"),
        pytest.param(a_pod(hostNetwork=True), id="network-of-the-node"),
        pytest.param(a_pod(hostPID=True), id="processes-of-the-node"),
        pytest.param(a_pod(hostIPC=True), id="memory-of-the-node"),
        pytest.param(
            a_pod(volumes=[{"name": "node", "hostPath": {"path": "/"}}]), id="files-of-the-node"
        ),
        pytest.param(
            a_pod(
                initContainers=[
                    {"name": "i", "image": "x:1", "securityContext": {"privileged": True}}
                ]
            ),
            id="in-an-init-container",
        ),
    ],
)
def test_a_pod_with_more_rights_is_refused_whoever_asks(admin, pod):
    pod = {**pod, "metadata": {"name": "bad", "namespace": RUN}}
    for who in (admin, As(admin.pool, admin.url, CONDUCTOR)):
        status, answer = dry_run(who, pod)
        assert RULES in answer.get("message", ""), answer
        assert status == 403
    elsewhere = {**copy.deepcopy(pod), "metadata": {"name": "bad", "namespace": OTHER}}
    assert dry_run(admin, elsewhere)[0] == 201  # nobody else's namespace is any of our business


def an_agent(name: str = "seatrial-agent-1", image: str = AGENT, **more: Any) -> Json:
    agent = ephemeral_container(
        name,
        image=image,
        pull_policy="IfNotPresent",
        token="t0ken",
        container="main",
        declared=[{"kind": "cpu", "params": {}}],
    )
    return {"spec": {"ephemeralContainers": [agent | more]}}


def add(who: As, agent: Json) -> tuple[int, Json]:
    path = f"{where(a_pod())}/orders/ephemeralcontainers?dryRun=All"
    return who.send("PATCH", path, agent)


def test_the_conductor_adds_agents(admin):
    status, answer = add(As(admin.pool, admin.url, CONDUCTOR), an_agent())
    assert status == 200, answer


@pytest.mark.parametrize(
    ("user", "agent"),
    [
        pytest.param("", an_agent(), id="an-administrator"),
        pytest.param(
            f"system:serviceaccount:{OTHER}:seatrial-conductor", an_agent(), id="another-conductor"
        ),
        pytest.param(CONDUCTOR, an_agent(image="evil:1"), id="another-image"),
        pytest.param(CONDUCTOR, an_agent(name="debugger"), id="another-name"),
        pytest.param(CONDUCTOR, an_agent(command=["sh"]), id="another-command"),
        pytest.param(CONDUCTOR, an_agent(args=["-c", "import os"]), id="other-arguments"),
        # Python looks for its modules there first.
        pytest.param(CONDUCTOR, an_agent(workingDir="/proc/1/root/tmp"), id="another-folder"),
        pytest.param(
            CONDUCTOR, an_agent(env=[{"name": "PYTHONPATH", "value": "/x"}]), id="more-variables"
        ),
        pytest.param(
            CONDUCTOR,
            an_agent(envFrom=[{"configMapRef": {"name": "orders"}}]),
            id="variables-of-others",
        ),
    ],
)
def test_nobody_adds_anything_else(admin, user, agent):
    who = As(admin.pool, admin.url, user)
    status, answer = add(who, agent)
    assert status == 403, answer
    if user in ("", CONDUCTOR):
        assert RULES in answer["message"]


def enter(who: As, what: str, container: str) -> tuple[int, Json]:
    query = f"container={container}&command=sh&stdout=true"
    return who.send("POST", f"{where(a_pod())}/orders/{what}?{query}", {})


@pytest.mark.parametrize("what", ["exec", "attach"])
@pytest.mark.parametrize(
    ("user", "container", "enters"),
    [
        (CONDUCTOR, "seatrial-agent-1", False),
        (CONDUCTOR, "main", True),
        ("", "seatrial-agent-1", True),
    ],
)
def test_the_runs_own_accounts_do_not_enter_an_agent(admin, what, user, container, enters):
    status, answer = enter(As(admin.pool, admin.url, user), what, container)
    # There is no node: who is let through hears that the pod is on none, or has no such container.
    assert status == (400 if enters else 403), answer
    assert ("do not enter containers that carry out faults" in answer["message"]) is not enters
