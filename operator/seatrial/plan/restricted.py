"""
What Pod Security ``restricted`` asks of pods, said before anything is made. Pure.

In a namespace of level ``privileged``, which is there for agents of faults alone, it is the chart's
admission policy that refuses what is found here.
Source: Kubernetes documentation, "Pod Security Standards", restricted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.plan.parts import pod_of

# Security contexts of a pod and of a container -> what is wrong, as the end of a sentence.
_Look = Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[str]]
_WITH_PODS = ("Deployment", "StatefulSet", "Job", "Pod")
_CONFINED = ("RuntimeDefault", "Localhost")
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_WITHOUT_IT = "Faults inside pods need nothing of it: write it as for the level restricted."
_BASELINE = "Take it out, or set spec.podSecurity: baseline where the cluster's operator allows it."


def restricted_problems(documents: Sequence[Mapping[str, Any]], field: str) -> Iterator[SpecError]:
    """Find what ``restricted`` would refuse; the documents may be of any shape."""
    return _found(documents, field, _missing, _WITHOUT_IT)


def contradictions(documents: Sequence[Mapping[str, Any]], field: str) -> Iterator[SpecError]:
    """
    Find what is set against ``restricted``; the documents may be of any shape.

    What is only left out may still be set by an admission webhook of the cluster.
    """
    return _found(documents, field, _against, _BASELINE)


def _found(
    documents: Sequence[Mapping[str, Any]], field: str, look: _Look, remedy: str
) -> Iterator[SpecError]:
    for document in documents:
        if document.get("kind") not in _WITH_PODS:
            continue
        name = _map(document.get("metadata")).get("name")
        path = f"{field}[{document['kind']}/{str(name)[:253]}]"
        for problem in _pod(pod_of(document), look):
            yield SpecError(path, problem, remedy)


def _pod(pod: Mapping[str, Any], look: _Look) -> Iterator[str]:
    own = _map(pod.get("securityContext"))
    for key in ("containers", "initContainers"):
        for container in _maps(pod.get(key)):
            name = str(container.get("name"))[:63]
            for problem in look(own, _map(container.get("securityContext"))):
                yield f"container {name} {problem}."


def _against(pod: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    if own.get("allowPrivilegeEscalation") is True:
        yield "sets allowPrivilegeEscalation: true"
    if _adds_capabilities(own):
        yield "adds capabilities"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is False:
        yield "sets runAsNonRoot: false"
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        yield "runs as root (runAsUser: 0)"


def _adds_capabilities(own: Mapping[str, Any]) -> bool:
    return (_map(own.get("capabilities")).get("add") or []) not in ([], ["NET_BIND_SERVICE"])


def _missing(pod: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    dropped = _map(own.get("capabilities")).get("drop") or []
    if own.get("allowPrivilegeEscalation") is not False:
        yield "does not set allowPrivilegeEscalation: false"
    if "ALL" not in dropped:
        yield "does not drop the capability ALL"
    if _adds_capabilities(own):
        yield "adds capabilities"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "does not set runAsNonRoot: true"
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        yield "runs as root"
    profile = _map(own.get("seccompProfile", pod.get("seccompProfile")))
    if profile.get("type") not in _CONFINED:
        yield "has no seccompProfile of type RuntimeDefault"
    if any(_has_own_label(_map(context.get("seLinuxOptions"))) for context in (pod, own)):
        yield "sets a user, a role or a type of its own in seLinuxOptions"


def _has_own_label(given: Mapping[str, Any]) -> bool:
    # A level alone is what OpenShift puts into every pod.
    own_type = (given.get("type") or "") not in _SELINUX_TYPES
    return own_type or bool(given.get("user") or given.get("role"))


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
