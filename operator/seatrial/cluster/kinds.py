"""Where each kind of object lives in the API."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from seatrial.api import names


@dataclass(frozen=True)
class Kind:
    """A kind of object, in the one version that we use."""

    name: str
    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Give the path of a collection, an object, or a subresource of one."""
        root = "/apis" if "/" in self.api_version else "/api"
        parts = [root, self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


NAMESPACE = Kind("Namespace", "v1", "namespaces", namespaced=False)
POD = Kind("Pod", "v1", "pods")
CONFIGMAP = Kind("ConfigMap", "v1", "configmaps")
SECRET = Kind("Secret", "v1", "secrets")
EVENT = Kind("Event", "v1", "events")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
RUN = Kind(names.KIND, names.API_VERSION, names.PLURAL)

_BY_NAME = {
    kind.name: kind
    for kind in (
        NAMESPACE,
        POD,
        CONFIGMAP,
        SECRET,
        EVENT,
        LEASE,
        RUN,
        Kind("Service", "v1", "services"),
        Kind("ServiceAccount", "v1", "serviceaccounts"),
        Kind("ResourceQuota", "v1", "resourcequotas"),
        Kind("LimitRange", "v1", "limitranges"),
        Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
        Kind("Deployment", "apps/v1", "deployments"),
        Kind("StatefulSet", "apps/v1", "statefulsets"),
        Kind("Job", "batch/v1", "jobs"),
        Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
        Kind("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings"),
    )
}


def kind_of(name: str) -> Kind:
    """Give the kind by its name; only kinds that runs are made of are known."""
    return _BY_NAME[name]
