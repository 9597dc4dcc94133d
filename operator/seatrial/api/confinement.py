"""
What objects of a user may be in a run, and how they are held in its namespace. Pure and plain.

The operator asks it of manifests, a conductor of what a step applies or patches.

The list of kinds is an allow-list, and so is the list of volumes. Pod Security, enforced by the
API server on the run's namespace, sees to the rest of what pods may do.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from seatrial.api import names
from seatrial.api.errors import InvalidSpecError, SpecError

Object = dict[str, Any]

ALLOWED_KINDS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "Job": "batch/v1",
    "Pod": "v1",
    "Service": "v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "PersistentVolumeClaim": "v1",
}
RESERVED_PREFIX = "seatrial-"

_VOLUMES = ("configMap", "secret", "emptyDir", "persistentVolumeClaim", "downwardAPI", "projected")
_PROJECTIONS = ("configMap", "secret", "downwardAPI")
_SECRET_TYPES = (
    *("Opaque", "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "kubernetes.io/tls"),
    *("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"),
)
# What the node asks or does for a container: httpGet and tcpSocket go out from its network, where
# no policy of the run's namespace holds.
_ASKED_BY_THE_NODE = (
    *(("livenessProbe",), ("readinessProbe",), ("startupProbe",)),
    *(("lifecycle", "postStart"), ("lifecycle", "preStop")),
)
_OWN_LABELS = f"{names.GROUP}/"
# Keeps every selector to the system under test. All pods of a run share some labels, and an
# expression such as DoesNotExist matches any pod: a workload would adopt the conductor, a Service
# would lead to the gateway, and from there to itself.
_SELECTED = {names.LABEL_COMPONENT: names.COMPONENT_SERVICE}
_ALLOWED = f"Allowed are: {', '.join(ALLOWED_KINDS)}."


def confine(
    documents: Sequence[Object],
    *,
    service: str,
    namespace: str,
    labels: Mapping[str, str],
    field: str,
) -> list[Object]:
    """
    Make the objects to apply from what the user wrote.

    Args:
        documents: From ``read_manifests``.
        service: ``spec.services[].name``; becomes a label of every object and pod.
        namespace: The run's own namespace, forced on every object.
        labels: Labels of everything the run creates.
        field: The field of the run to name in messages.

    Returns:
        New objects, in the order given. Pods run as ``seatrial-workload`` without a token.

    Raises:
        InvalidSpecError: An object may not be in a run; each with its reason.
    """
    if found := problems(documents, field):
        raise InvalidSpecError(found)
    own = {
        **labels,
        names.LABEL_COMPONENT: names.COMPONENT_SERVICE,
        names.LABEL_SERVICE: service,
    }
    return [_confined(document, namespace, own) for document in documents]


def problems(documents: Sequence[Object], field: str) -> list[SpecError]:
    """Find everything that keeps the documents out of a run."""
    found: list[SpecError] = []
    seen: set[tuple[str, str]] = set()
    for index, document in enumerate(documents):
        kind, name = str(document.get("kind")), _name(document)
        path = f"{field}[{kind}/{name}]" if name else f"{field}[{index}]"
        found += [
            SpecError(f"{path}.{each}" if each else path, problem, remedy)
            for each, problem, remedy in _object(document, kind, name)
        ]
        if (kind, name) in seen:
            found.append(SpecError(path, "is there twice.", "Names are unique by kind."))
        seen.add((kind, name))
    return found


# A problem as path below the object, what is wrong, and the remedy.
_Problem = tuple[str, str, str]


def _object(document: Object, kind: str, name: str) -> Iterator[_Problem]:
    if kind not in ALLOWED_KINDS:
        yield "", f"kind {kind[:80]!r} may not be in a run.", _ALLOWED
        return
    if document.get("apiVersion") != ALLOWED_KINDS[kind]:
        given = str(document.get("apiVersion"))[:80]
        yield "apiVersion", f"is {given!r}.", f"A {kind} is of {ALLOWED_KINDS[kind]}."
    if not name:
        yield "metadata.name", "is missing.", "Give the object a name."
    elif name.startswith(RESERVED_PREFIX):
        yield "metadata.name", f"begins with {RESERVED_PREFIX}.", "Those names are Seatrial's own."
    elif kind == "Job" and name.startswith("test-"):
        yield "metadata.name", "begins with test-.", "Jobs of that name are the run's own tests."
    yield from _metadata(document, "metadata")
    spec = document.get("spec")
    if kind in ("ConfigMap", "Secret"):
        if kind == "Secret" and document.get("type", "Opaque") not in _SECRET_TYPES:
            yield "type", f"{str(document['type'])[:80]!r} may not be in a run.", "Use Opaque."
        return
    if not isinstance(spec, dict):
        yield "spec", "is missing.", ""
        return
    match kind:
        case "Service":
            yield from _service(spec)
        case "PersistentVolumeClaim":
            yield from _claim(spec, "spec")
        case "Pod":
            yield from _pod(spec, "spec")
        case _:
            yield from _workload(spec)


def is_own_label(key: str) -> bool:
    """Tell whether a label or annotation is Seatrial's own, such as the mark of a fault."""
    return f".{key}".partition("/")[0].endswith(f".{names.GROUP}")


def _metadata(document: Object, path: str) -> Iterator[_Problem]:
    metadata = _map(document.get("metadata"))
    if metadata.get("namespace") is not None:
        yield f"{path}.namespace", "is set.", "Leave it out: a run has a namespace of its own."
    for key in ("ownerReferences", "finalizers", "generateName"):
        if metadata.get(key):
            yield f"{path}.{key}", "may not be set in a run.", "Leave it out."
    for key in ("labels", "annotations"):
        for label in _map(metadata.get(key)):
            if is_own_label(label):
                yield f"{path}.{key}", f"has {label[:80]}.", f"{_OWN_LABELS} is Seatrial's own."


def _service(spec: Object) -> Iterator[_Problem]:
    if (kind := spec.get("type", "ClusterIP")) != "ClusterIP":
        remedy = "Use ClusterIP: only the run itself can reach its services."
        yield "spec.type", f"{str(kind)[:40]!r} may not be in a run.", remedy
    if spec.get("clusterIP") not in (None, "", "None"):
        yield "spec.clusterIP", "is fixed.", "Leave it out, or write None for a headless Service."
    for key in ("externalIPs", "externalName", "loadBalancerIP", "loadBalancerClass", "clusterIPs"):
        if spec.get(key):
            yield f"spec.{key}", "may not be set in a run.", "Leave it out."


def _claim(spec: Object, path: str) -> Iterator[_Problem]:
    for key in ("volumeName", "selector", "dataSource", "dataSourceRef"):
        if spec.get(key):
            remedy = "Leave it out: a run starts with empty volumes of its own."
            yield f"{path}.{key}", "may not be set in a run.", remedy


def _workload(spec: Object) -> Iterator[_Problem]:
    template = _map(spec.get("template"))
    if not isinstance(template.get("spec"), dict):
        yield "spec.template.spec", "is missing.", ""
        return
    yield from _metadata(template, "spec.template.metadata")
    yield from _pod(template["spec"], "spec.template.spec")
    for index, claim in enumerate(_maps(spec.get("volumeClaimTemplates"))):
        path = f"spec.volumeClaimTemplates[{index}]"
        yield from _metadata(claim, f"{path}.metadata")
        yield from _claim(_map(claim.get("spec")), f"{path}.spec")


def _pod(spec: Object, path: str) -> Iterator[_Problem]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{path}.{key}", "is set.", "Pods of a run do not share namespaces of the node."
    for key in ("nodeName", "ephemeralContainers", "priority"):
        if spec.get(key):
            yield f"{path}.{key}", "may not be set in a run.", "Leave it out."
    if str(spec.get("priorityClassName", "")).startswith("system-"):
        yield f"{path}.priorityClassName", "is the system's own.", "Leave it out."
    for key in ("serviceAccountName", "serviceAccount"):
        if spec.get(key) not in (None, "", "default", names.WORKLOAD_ACCOUNT):
            remedy = "Leave it out: pods of a run have an account without rights."
            yield f"{path}.{key}", f"is {str(spec[key])[:80]!r}.", remedy
    for index, volume in enumerate(_maps(spec.get("volumes"))):
        yield from _volume(volume, f"{path}.volumes[{index}]")
    for key in ("containers", "initContainers"):
        for index, container in enumerate(_maps(spec.get(key))):
            yield from _container(container, f"{path}.{key}[{index}]")


def _volume(volume: Object, path: str) -> Iterator[_Problem]:
    for kind in volume.keys() - {"name"}:
        if kind not in _VOLUMES:
            remedy = f"Allowed are: {', '.join(_VOLUMES)}."
            yield f"{path}.{kind[:80]}", "may not be in a run.", remedy
    yield from _own_object(_map(volume.get("configMap")).get("name"), f"{path}.configMap.name")
    yield from _own_object(_map(volume.get("secret")).get("secretName"), f"{path}.secret")
    claim = _map(volume.get("persistentVolumeClaim")).get("claimName")
    yield from _own_object(claim, f"{path}.persistentVolumeClaim.claimName")
    for index, source in enumerate(_maps(_map(volume.get("projected")).get("sources"))):
        for kind, value in source.items():
            where = f"{path}.projected.sources[{index}].{kind[:80]}"
            if kind not in _PROJECTIONS:
                yield where, "may not be in a run.", f"Allowed are: {', '.join(_PROJECTIONS)}."
            yield from _own_object(_map(value).get("name"), f"{where}.name")


def _container(container: Object, path: str) -> Iterator[_Problem]:
    if _map(container.get("securityContext")).get("privileged"):
        yield f"{path}.securityContext.privileged", "is set.", "Containers of a run are not."
    for index, port in enumerate(_maps(container.get("ports"))):
        if port.get("hostPort"):
            yield f"{path}.ports[{index}].hostPort", "is set.", "Use a Service."
    for keys in _ASKED_BY_THE_NODE:
        asked = reduce(lambda value, key: _map(value.get(key)), keys, container)
        for action in ("httpGet", "tcpSocket"):
            if _map(asked.get(action)).get("host"):
                remedy = "Leave it out: the node asks the pod itself."
                yield ".".join((path, *keys, action, "host")), "is set.", remedy
    for index, variable in enumerate(_maps(container.get("env"))):
        source = _map(variable.get("valueFrom"))
        for key in ("secretKeyRef", "configMapKeyRef"):
            yield from _own_object(_map(source.get(key)).get("name"), f"{path}.env[{index}].{key}")
    for index, source in enumerate(_maps(container.get("envFrom"))):
        for key in ("secretRef", "configMapRef"):
            name = _map(source.get(key)).get("name")
            yield from _own_object(name, f"{path}.envFrom[{index}].{key}")


def _own_object(name: object, path: str) -> Iterator[_Problem]:
    """Keep workloads away from the run's own objects: results come from tests alone."""
    if isinstance(name, str) and name.startswith(RESERVED_PREFIX):
        yield path, f"is {name[:80]}.", "That object is Seatrial's own."


def _confined(document: Object, namespace: str, labels: Mapping[str, str]) -> Object:
    given = document["metadata"]
    body = {key: copy.deepcopy(each) for key, each in document.items() if key != "status"}
    body["metadata"] = {
        "name": given["name"],
        "namespace": namespace,
        **_labelled(given, labels),
    }
    match document["kind"]:
        case "Service":
            if selector := _map(body["spec"].get("selector")):
                body["spec"]["selector"] = {**selector, **_SELECTED}
        case "Pod":
            _hold(body["spec"])
        case "Deployment" | "StatefulSet" | "Job":
            if selector := _map(body["spec"].get("selector")):
                selector["matchLabels"] = {**_map(selector.get("matchLabels")), **_SELECTED}
            template = body["spec"]["template"]
            template["metadata"] = _labelled(_map(template.get("metadata")), labels)
            _hold(template["spec"])
    return body


def _labelled(metadata: Object, labels: Mapping[str, str]) -> Object:
    """Add the run's labels; where the user has one of the same name, selectors rely on it."""
    result: Object = {"labels": {**labels, **_map(metadata.get("labels"))}}
    if annotations := _map(metadata.get("annotations")):
        result["annotations"] = annotations
    return result


def _hold(pod: Object) -> None:
    pod.pop("serviceAccount", None)
    pod["serviceAccountName"] = names.WORKLOAD_ACCOUNT
    pod["automountServiceAccountToken"] = False


def _name(document: Object) -> str:
    name = _map(document.get("metadata")).get("name")
    return name[:253] if isinstance(name, str) else ""


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _maps(value: Any) -> Iterable[Object]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
