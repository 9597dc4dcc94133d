"""The objects that a step may name, and what it may do with each. Plain: the pods use it too."""

from __future__ import annotations

from dataclasses import dataclass

READ = ("get", "wait")
ROLL = ("scale", "restart", "setImage")
CHANGE = ("patch", "apply", "delete")


@dataclass(frozen=True)
class ObjectKind:
    """A kind of object: how it is written in a step, and where the API server has it."""

    word: str  # deployment
    kind: str  # Deployment
    api_version: str  # apps/v1
    plural: str  # deployments
    verbs: tuple[str, ...]

    @property
    def base(self) -> str:
        """Give the path of its API group and version."""
        root = "/apis" if "/" in self.api_version else "/api"
        return f"{root}/{self.api_version}"


_KINDS = (
    ObjectKind("deployment", "Deployment", "apps/v1", "deployments", (*READ, *ROLL, *CHANGE)),
    ObjectKind("statefulset", "StatefulSet", "apps/v1", "statefulsets", (*READ, *ROLL, *CHANGE)),
    ObjectKind("replicaset", "ReplicaSet", "apps/v1", "replicasets", READ),
    ObjectKind("pod", "Pod", "v1", "pods", (*READ, "apply", "delete")),
    ObjectKind("job", "Job", "batch/v1", "jobs", (*READ, "apply", "delete")),
    ObjectKind("service", "Service", "v1", "services", (*READ, *CHANGE)),
    ObjectKind("endpointslice", "EndpointSlice", "discovery.k8s.io/v1", "endpointslices", READ),
    ObjectKind("configmap", "ConfigMap", "v1", "configmaps", (*READ, *CHANGE)),
    ObjectKind(
        "persistentvolumeclaim",
        "PersistentVolumeClaim",
        "v1",
        "persistentvolumeclaims",
        (*READ, "apply", "delete"),
    ),
)
KINDS = {each.word: each for each in _KINDS}
BY_KIND = {each.kind: each for each in _KINDS}
_WORDS = (
    KINDS
    | {each.plural: each for each in _KINDS}
    | {
        short: KINDS[word]
        for short, word in (
            ("deploy", "deployment"),
            ("sts", "statefulset"),
            ("rs", "replicaset"),
            ("po", "pod"),
            ("svc", "service"),
            ("cm", "configmap"),
            ("pvc", "persistentvolumeclaim"),
        )
    }
)
# Why a kind that exists is not in the table.
_WITHHELD = {
    "secret": "a scenario prints what it sees, so it cannot see Secrets",
    "secrets": "a scenario prints what it sees, so it cannot see Secrets",
}


class ObjectReferenceError(ValueError):
    """A reference that no step may use; ``remedy`` may be empty."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} {remedy}".strip())


def parse_reference(text: str, verb: str) -> tuple[ObjectKind, str]:
    """
    Read ``deployment/web``, or ``pods`` for all of a kind.

    Args:
        text: Kind and name; the kind in lower case, singular or plural, or as kubectl shortens it.
        verb: What is to be done: a key of the step, such as ``get``.

    Returns:
        The kind, and the name; that is empty if there is none.

    Raises:
        ObjectReferenceError: The kind is unknown, or ``verb`` may not be done with it.
    """
    word, _, name = text.partition("/")
    kind = _WORDS.get(word.lower())
    if kind is None or verb not in kind.verbs:
        able = ", ".join(each.word for each in _KINDS if verb in each.verbs)
        reason = _WITHHELD.get(word.lower())
        problem = f"{verb} cannot be done with {word[:60]!r}"
        raise ObjectReferenceError(f"{problem}: {reason}." if reason else f"{problem}.",
                                   f"It can with: {able}.")  # fmt: skip
    return kind, name.strip()
