"""The Secret of connections to presets, and the variables that tell pods of them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from seatrial.api import names
from seatrial.api.services import ObjectReference
from seatrial.plan.blueprint import Blueprint, ServicePlan
from seatrial.plan.objects.manifest import Json, Manifest, Mode, metadata
from seatrial.plan.parts import WITH_PODS, pod_of
from seatrial.plan.presets import Connection, all_urls


def connections_secret(run: Blueprint) -> Manifest:
    """
    Make the passwords, drawn when it is created, and the URLs with them.

    They are in no other object: not in status, ConfigMaps or specs of pods.
    """
    body: Json = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata(run, names.CONNECTIONS_SECRET, names.COMPONENT_ENVIRONMENT),
    }
    texts = {key: text for each in run.connections for key, text in each.texts.items()}
    return Manifest(
        body,
        Mode.CREATE,
        random_keys=tuple(key for each in run.connections for key in each.drawn),
        texts={**texts, names.CONNECTIONS_KEY: all_urls(run.connections)},
    )


def connections_variable() -> Json:
    """Give the variable with all URLs, for whoever runs scenarios or pytest."""
    return _from_secret(names.ENV_CONNECTIONS, names.CONNECTIONS_KEY)


def own_variables(connection: Connection) -> list[Json]:
    """List the credentials that a preset's own container is given."""
    return [_from_secret(name, key) for name, key in connection.secrets.items()]


def own_names(
    run: Blueprint, env: Iterable[str], references: Iterable[ObjectReference] | None
) -> set[str]:
    """Name the variables that a container sets itself, those from ConfigMaps and Secrets too."""
    found = set(env)
    for each in references or ():
        kind, name = ("ConfigMap", each.config_map) if each.config_map else ("Secret", each.secret)
        found |= set((run.found.get((kind, name or "")) or {}).get("data") or ())
    return found


def client_variables(connections: Iterable[Connection], taken: Collection[str]) -> list[Json]:
    """
    List the variables of clients: DB_URL, DB_HOST, ... of each service.

    They come before the container's own, which may so refer to them; those that it sets itself
    (``taken``) are left out.
    """
    return [each for each in _client_variables(connections) if each["name"] not in taken]


def told(run: Blueprint, service: ServicePlan, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Tell the containers of a workload from manifests of the presets that its service depends on.

    Its own variables stay as they are.
    """
    depends_on = service.spec.depends_on or ()
    known = [each for each in run.connections if each.service in depends_on]
    if not known or body["kind"] not in WITH_PODS:
        return body
    changed = copy.deepcopy(dict(body))
    pod = pod_of(changed)
    for container in (*_maps(pod.get("initContainers")), *_maps(pod.get("containers"))):
        own = container.get("env") or []
        taken = {str(each.get("name")) for each in _maps(own)}
        if isinstance(own, list):
            container["env"] = [*client_variables(known, taken), *own]
    return changed


def _maps(value: object) -> list[Json]:
    """Pick the maps of a list; what has another shape is for the API server to refuse."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _client_variables(connections: Iterable[Connection]) -> Iterator[Json]:
    for each in connections:
        for name, value in each.public_variables().items():
            yield {"name": name, "value": value}
        for name, key in each.secret_variables().items():
            yield _from_secret(name, key)


def _from_secret(name: str, key: str) -> Json:
    reference = {"name": names.CONNECTIONS_SECRET, "key": key}
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}
