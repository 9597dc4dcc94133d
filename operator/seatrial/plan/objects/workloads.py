"""A service in its short form: its workload, Service, claims and the ConfigMaps of its files."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.api import names
from seatrial.api.services import Volume
from seatrial.api.spec import PortSpec, Service
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.naming import volume_name
from seatrial.plan.objects.connections import client_variables, own_names, own_variables
from seatrial.plan.objects.containers import (
    RUNNER_USER,
    Files,
    container_security_context,
    environment,
    environment_from,
    pod_security_context,
    probe,
    resources,
)
from seatrial.plan.objects.gateway import front
from seatrial.plan.objects.manifest import Json, Manifest, Mode, metadata
from seatrial.plan.parts import workload_kind
from seatrial.plan.presets import recipe_of


def service_objects(run: Blueprint, service: Service) -> Iterator[Manifest]:
    """Make everything of one service, in its short form."""
    files = Files(run, f"service.{service.name}", service.files)
    yield from files.manifests(names.COMPONENT_SERVICE)
    if service.ports:
        yield Manifest(front(run, service_body(run, service, service.ports)))
    for number, volume in enumerate(service.volumes or ()):
        yield _claim(run, service, number, volume)
    yield _workload(run, service, files)


def service_body(run: Blueprint, service: Service, ports: list[PortSpec]) -> Json:
    """Write the Service that leads to the service's pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(run, service),
        "spec": {
            "selector": {names.LABEL_SERVICE: service.name},
            "ports": [
                {
                    "name": port.name,
                    "port": port.port,
                    "targetPort": port.target_port or port.port,
                    "protocol": port.protocol,
                }
                for port in ports
            ],
        },
    }


def _claim(run: Blueprint, service: Service, number: int, volume: Volume) -> Manifest:
    """Ask for a volume; created, because little of a claim can change later."""
    name = volume_name(service.name, number)
    body: Json = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(run, name, names.COMPONENT_SERVICE, service=service.name),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": volume.size}},
        },
    }
    return Manifest(body, Mode.CREATE)


def _volumes(service: Service) -> list[Json]:
    claims: list[Json] = [
        {
            "name": f"volume-{number}",
            "persistentVolumeClaim": {"claimName": volume_name(service.name, number)},
        }
        for number, _ in enumerate(service.volumes or ())
    ]
    return [*claims, *({"name": name, "emptyDir": {}} for name in _scratch(service))]


def _mounts(service: Service) -> list[Json]:
    volumes = {f"volume-{n}": volume.path for n, volume in enumerate(service.volumes or ())}
    mounts = {**volumes, **_scratch(service)}
    return [{"name": name, "mountPath": path} for name, path in mounts.items()]


def _scratch(service: Service) -> dict[str, str]:
    """Name the directories of a preset that begin empty, by the name of their volume."""
    recipe = recipe_of(service.preset)
    taken = {volume.path for volume in service.volumes or ()}
    paths = [path for path in recipe.scratch if path not in taken] if recipe else []
    return {f"scratch-{number}": path for number, path in enumerate(paths)}


def _security(run: Blueprint, service: Service) -> Json:
    context = pod_security_context(run)
    if service.volumes:
        # A new volume belongs to root: with a group of its own any user may write to it. It is
        # changed once, and not again each time the pod is replaced.
        context["fsGroup"] = service.run_as_user or RUNNER_USER
        context["fsGroupChangePolicy"] = "OnRootMismatch"
    return context


def _workload(run: Blueprint, service: Service, files: Files) -> Manifest:
    kind = workload_kind(service)
    return Manifest(
        {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": _metadata(run, service),
            "spec": {
                "replicas": 1 if service.replicas is None else service.replicas,
                "selector": {"matchLabels": {names.LABEL_SERVICE: service.name}},
                "revisionHistoryLimit": 1,
                **(_of_stateful_set(service) if kind == "StatefulSet" else _of_deployment(run)),
                "template": {
                    "metadata": {"labels": _metadata(run, service)["labels"]},
                    "spec": {
                        "serviceAccountName": names.WORKLOAD_ACCOUNT,
                        "automountServiceAccountToken": False,
                        "enableServiceLinks": False,
                        "terminationGracePeriodSeconds": 10,
                        "securityContext": _security(run, service),
                        "containers": [_container(run, service, files)],
                        "volumes": [*files.volumes(), *_volumes(service)],
                    },
                },
            },
        }
    )


def _of_deployment(run: Blueprint) -> Json:
    # The conductor judges readiness; this only says what the Deployment thinks of it.
    deadline_s = max(60, int(run.spec.timeouts.provisioning.total_seconds()))
    return {"strategy": {"type": "RollingUpdate"}, "progressDeadlineSeconds": deadline_s}


def _of_stateful_set(service: Service) -> Json:
    return {
        "serviceName": service.name,
        # NB: not OrderedReady. With it a pod that is not ready is never rolled over: a restart of
        # what a fault has made ill, and the repair of a broken template, would wait for ever. For
        # one pod nothing else is different.
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
    }


def _container_ports(service: Service) -> list[Json]:
    """Declare each port once: an apply refuses two of one number and protocol."""
    ports: dict[tuple[int, str], Json] = {}
    for port in service.ports or []:
        number = port.target_port or port.port
        declared = {"name": port.name, "containerPort": number, "protocol": port.protocol}
        ports.setdefault((number, port.protocol), declared)
    return list(ports.values())


def _container(run: Blueprint, service: Service, files: Files) -> Json:
    container: Json = {
        "name": "main",
        "image": service.image,
        "env": _environment(run, service),
        "envFrom": environment_from(service.env_from),
        "ports": _container_ports(service),
        "resources": resources(service.resources),
        "securityContext": container_security_context(run, service.run_as_user),
        "volumeMounts": [*_mounts(service), *files.mounts()],
    }
    recipe = recipe_of(service.preset)
    if recipe is not None and recipe.read_only:
        container["securityContext"]["readOnlyRootFilesystem"] = True
    command = list(recipe.command) if recipe else service.command
    if command:
        container["command"] = command
    args = [*(recipe.args if recipe else ()), *(service.args or ())]
    if args or service.args is not None:
        container["args"] = args
    for name, given in (
        ("readinessProbe", service.readiness_probe),
        ("livenessProbe", service.liveness_probe),
        ("startupProbe", service.startup_probe),
    ):
        if given is not None:
            container[name] = probe(given)
    tcp = [port.target_port or port.port for port in service.ports or [] if port.protocol == "TCP"]
    if service.readiness_probe is None and tcp:
        # Kubernetes' own default period of 10 s would be most of a run's time.
        container["readinessProbe"] = {"tcpSocket": {"port": tcp[0]}, "periodSeconds": 1}
    return container


def _environment(run: Blueprint, service: Service) -> list[Json]:
    """List the variables; what comes from Secrets first, so that the others may refer to it."""
    env = service.env or {}
    listed: list[Json] = []
    for each in run.connections:
        if each.service == service.name:
            listed += own_variables(each)
    taken = own_names(run, env, service.env_from) | {each["name"] for each in listed}
    depends_on = service.depends_on or ()
    known = [each for each in run.connections if each.service in depends_on]
    return [*listed, *client_variables(known, taken), *environment(env)]


def _metadata(run: Blueprint, service: Service) -> Json:
    return metadata(run, service.name, names.COMPONENT_SERVICE, service=service.name)
