"""Test pods: an Indexed Job for each pytest and container test, waiting at the gate."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from seatrial.api import names
from seatrial.api.spec import Container, Pytest, Test
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.naming import copy_name
from seatrial.plan.objects.connections import client_variables, connections_variable, own_names
from seatrial.plan.objects.containers import (
    Files,
    container_security_context,
    environment,
    environment_from,
    pod_security_context,
    resources,
    runner_security_context,
    scenario_variables,
)
from seatrial.plan.objects.exchange import compact
from seatrial.plan.objects.manifest import Json, Manifest, Mode, metadata
from seatrial.plan.rundoc import endpoints
from seatrial.plan.settings import PlanSettings

_SHARD = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_SUITE = "/suite"
# The conductor may be away when a test ends; its sidecar has the files for that long.
_COLLECT_S = 60
_GATE_RESOURCES = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}
_PYTEST_RESOURCES = {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "1Gi"}}


def job_objects(run: Blueprint, test: Test, settings: PlanSettings) -> Iterator[Manifest]:
    """Make the Job of a test, and the ConfigMaps of its files; nothing for a scenario."""
    if test.pytest:
        yield _job(run, test, _pytest_pod(run, test, test.pytest, settings))
    elif test.container:
        files = Files(run, f"test.{test.name}", test.container.files)
        yield from files.manifests(names.COMPONENT_TEST)
        yield _job(run, test, _container_pod(run, test, test.container, files, settings))


def junit_directory(pattern: str) -> str:
    """
    Give the directory of a glob that holds no wildcard: ``/results`` for ``/results/*/x.xml``.

    It is shared between the test and the container that collects the files.
    """
    plain = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return posixpath.dirname(plain)


def _job(run: Blueprint, test: Test, pod: Json) -> Manifest:
    body = metadata(run, f"test-{test.name}", names.COMPONENT_TEST, test=test.name)
    shards = test.pytest.parallelism if test.pytest else 1
    spec: Json = {
        "completionMode": "Indexed",
        "completions": shards,
        "parallelism": shards,
        "template": {"metadata": {"labels": body["labels"]}, "spec": pod},
    }
    if shards > 1:
        # With a limit for the whole Job, the first shard that fails would take the others down.
        spec["backoffLimitPerIndex"] = 0
    else:
        # pytest repeats what failed by itself; a container test needs a new pod for each attempt.
        spec["backoffLimit"] = test.retries if test.container else 0
    # Created once: a Job's template cannot be changed, and a test must not be started again.
    return Manifest(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": body, "spec": spec}, Mode.CREATE
    )


def _pod(run: Blueprint) -> Json:
    return {
        "serviceAccountName": names.WORKLOAD_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 10,
        "securityContext": pod_security_context(run),
    }


def _pytest_pod(run: Blueprint, test: Test, suite: Pytest, settings: PlanSettings) -> Json:
    container: Json = {
        "name": "test",
        "image": suite.image or settings.runner_image,
        # An image of the user's has an ENTRYPOINT of its own, or none.
        "command": ["python", "-m", "seatrial_runner"],
        "args": ["pytest", "--", *suite.args],
        "env": [
            *_variables(run, test),
            *([connections_variable()] if run.connections else []),
            *client_variables(run.connections, own_names(run, suite.env, suite.env_from)),
            *environment(suite.env),
        ],
        "envFrom": [
            *scenario_variables(run.spec.env_from),
            *environment_from(suite.env_from),
        ],
        "resources": resources(suite.resources) or _PYTEST_RESOURCES,
        "securityContext": container_security_context(run),
        "volumeMounts": [{"name": "suite", "mountPath": _SUITE, "readOnly": True}],
    }
    if suite.image is None:
        container["imagePullPolicy"] = settings.runner_pull_policy
    volume = {"name": "suite", "configMap": {"name": copy_name(suite.config_map)}}
    return {**_pod(run), "containers": [container], "volumes": [volume]}


def _container_pod(
    run: Blueprint, test: Test, given: Container, files: Files, settings: PlanSettings
) -> Json:
    ours: Json = {
        "image": settings.runner_image,
        "imagePullPolicy": settings.runner_pull_policy,
        "env": _variables(run, test),
        "resources": _GATE_RESOURCES,
        "securityContext": runner_security_context(),
    }
    gate: Json = {"name": "gate", "args": ["gate"], **ours}
    initial = [gate]
    volumes = files.volumes()
    mounts = files.mounts()
    if given.junit:
        directory = junit_directory(given.junit)
        results = {"name": "results", "mountPath": directory}
        volumes.append({"name": "results", "emptyDir": {}})
        mounts.append(results)
        # A native sidecar: the kubelet ends it once the test has ended, and it posts what is there.
        # Before the gate, which lets nothing start until the sidecar would notice.
        collect = {"name": "collect", "args": ["collect", "--junit", given.junit], **ours}
        initial.insert(0, {**collect, "restartPolicy": "Always", "volumeMounts": [results]})
        gate |= {"args": ["gate", "--collector", directory], "volumeMounts": [results]}
    container: Json = {
        "name": "test",
        "image": given.image,
        "env": [
            *_variables(run, test),
            *client_variables(run.connections, own_names(run, given.env, given.env_from)),
            *environment(given.env),
        ],
        "envFrom": environment_from(given.env_from),
        "resources": resources(given.resources),
        "securityContext": container_security_context(run, given.run_as_user),
        "volumeMounts": mounts,
    }
    if given.command is not None:
        container["command"] = given.command
    if given.args is not None:
        container["args"] = given.args
    grace = {"terminationGracePeriodSeconds": _COLLECT_S} if given.junit else {}
    return {
        **_pod(run),
        **grace,
        "initContainers": initial,
        "containers": [container],
        "volumes": volumes,
    }


def _variables(run: Blueprint, test: Test) -> list[Json]:
    shards = test.pytest.parallelism if test.pytest else 1
    secret = {"name": names.ACCESS_SECRET, "key": test.name}
    values = {
        names.ENV_CONDUCTOR_URL: f"http://{names.CONDUCTOR}:{names.CONDUCTOR_PORT}",
        names.ENV_TEST: test.name,
        names.ENV_RUN: run.name,
        names.ENV_NAMESPACE: run.environment,
        names.ENV_SHARDS: str(shards),
        names.ENV_SERVICES: compact(endpoints(run.services)),
    }
    if test.pytest:
        values[names.ENV_LANE] = "{}/{}".format(*run.lane(test))
    if run.spec.seed is not None:
        values[names.ENV_SEED] = run.spec.seed
    return [
        *({"name": name, "value": value} for name, value in values.items()),
        {"name": names.ENV_TOKEN, "valueFrom": {"secretKeyRef": secret}},
        {"name": names.ENV_SHARD, "valueFrom": {"fieldRef": {"fieldPath": _SHARD}}},
    ]
