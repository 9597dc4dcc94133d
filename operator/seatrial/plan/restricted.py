"""
What Pod Security ``restricted`` asks of pods, where the namespace does not ask for it. Pure.

In a namespace of level ``privileged``, which is there for agents of faults alone, the chart's
admission policy refuses what is found here; the user learns of it before anything is made.
Source: Kubernetes documentation, "Pod Security Standards", restricted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.plan.parts import pod_of

_WITH_PODS = ("Deployment", "StatefulSet", "Job", "Pod")
_CONFINED = ("RuntimeDefault", "Localhost")
_REMEDY = "Faults inside pods need nothing of it: write it as for the level restricted."


def restricted_problems(documents: Sequence[Mapping[str, Any]], field: str) -> Iterator[SpecError]:
    """Find what ``restricted`` would refuse; the documents may be of any shape."""
    for document in documents:
        if document.get("kind") not in _WITH_PODS:
            continue
        name = _map(document.get("metadata")).get("name")
        path = f"{field}[{document['kind']}/{str(name)[:253]}]"
        for problem in _pod(pod_of(document)):
            yield SpecError(path, problem, _REMEDY)


def _pod(pod: Mapping[str, Any]) -> Iterator[str]:
    own = _map(pod.get("securityContext"))
    for key in ("containers", "initContainers"):
        for container in _maps(pod.get(key)):
            name = str(container.get("name"))[:63]
            for problem in _container(own, _map(container.get("securityContext"))):
                yield f"container {name} {problem}."


def _container(pod: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    capabilities = _map(own.get("capabilities"))
    added, dropped = capabilities.get("add") or [], capabilities.get("drop") or []
    if own.get("allowPrivilegeEscalation") is not False:
        yield "does not set allowPrivilegeEscalation: false"
    if "ALL" not in dropped:
        yield "does not drop the capability ALL"
    if added not in ([], ["NET_BIND_SERVICE"]):
        yield "adds capabilities"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "does not set runAsNonRoot: true"
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        yield "runs as root"
    profile = _map(own.get("seccompProfile", pod.get("seccompProfile")))
    if profile.get("type") not in _CONFINED:
        yield "has no seccompProfile of type RuntimeDefault"


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
