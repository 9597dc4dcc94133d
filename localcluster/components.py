"""The programs a cluster is made of: their files, their command lines, what each waits for."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.addresses import Addresses
from localcluster.layout import ROOT, ClusterFolder
from localcluster.pki import SERVER_NAMES, Pki

PAUSE_IMAGE = "docker.io/seatrial/pause:1"
CLUSTER_DOMAIN = "cluster.local"
# Twenty runs that start at once must not be held up by a client's own politeness.
QPS, BURST = 1000, 2000
# A fifth of the API server's time was Go's garbage collector. Twice its usual room halves that, for
# a hundred MB or two.
_ROOM = {"GOGC": "200"}


@dataclass(frozen=True)
class Binaries:
    """The built programs."""

    kubernetes: Path
    coredns: Path


def apiserver_flags(pki: Pki, etcd: str, services: str) -> list[str]:
    """The API server's flags that do not depend on where it listens."""
    return [
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        f"--client-ca-file={pki.path('ca.crt')}",
        "--enable-admission-plugins=NodeRestriction",
        f"--etcd-servers={etcd}",
        "--max-mutating-requests-inflight=400",
        "--max-requests-inflight=800",
        "--profiling=false",
        f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        f"--service-account-key-file={pki.path('sa.pub')}",
        f"--service-account-signing-key-file={pki.path('sa.key')}",
        f"--service-cluster-ip-range={services}",
        f"--tls-cert-file={pki.path('apiserver.crt')}",
        f"--tls-private-key-file={pki.path('apiserver.key')}",
    ]


def etcd_flags(data: Path, client: str, peer: str) -> list[str]:
    """Etcd's flags; its data does not outlive the cluster, so it need not wait for the disk."""
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--auto-compaction-retention=5m",
        "--log-level=warn",
        "--quota-backend-bytes=4294967296",
        "--unsafe-no-fsync",
    ]


def controller_manager_flags(pki: Pki, kubeconfig: Path) -> list[str]:
    """The controller manager's flags; enough workers for many runs at once."""
    workers = ("deployment", "endpoint", "job", "namespace", "replicaset", "statefulset")
    return [
        f"--client-ca-file={pki.path('ca.crt')}",
        f"--cluster-signing-cert-file={pki.path('ca.crt')}",
        f"--cluster-signing-key-file={pki.path('ca.key')}",
        *(f"--concurrent-{name}-syncs=30" for name in workers),
        "--concurrent-serviceaccount-token-syncs=30",
        f"--kube-api-burst={BURST}",
        f"--kube-api-qps={QPS}",
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--profiling=false",
        f"--root-ca-file={pki.path('ca.crt')}",
        f"--service-account-private-key-file={pki.path('sa.key')}",
        "--use-service-account-credentials=true",
    ]


def make_certificates(pki: Pki, *addresses: str, node: str = "") -> None:
    """Everybody's certificate; the first address is where the API server is reached."""
    pki.authority()
    names = ",".join([SERVER_NAMES, *(f"IP:{address}" for address in addresses)])
    pki.certificate("apiserver", "/CN=kube-apiserver", server_names=names)
    pki.certificate("admin", "/O=system:masters/CN=kubernetes-admin")
    pki.certificate("controller-manager", "/CN=system:kube-controller-manager")
    if node:
        pki.certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        pki.certificate("scheduler", "/CN=system:kube-scheduler")
        pki.certificate("proxy", "/CN=system:kube-proxy")
        pki.certificate("policies", "/O=system:masters/CN=policies")
        pki.certificate("dns", "/O=system:masters/CN=coredns")
        pki.certificate("kubelet", f"/O=system:nodes/CN=system:node:{node}")


class Node:
    """
    Control plane and node of one cluster.

    Args:
        cluster: Its folder.
        addresses: Its range.
        binaries: What to run.
    """

    def __init__(self, cluster: ClusterFolder, addresses: Addresses, binaries: Binaries) -> None:
        self.cluster = cluster
        self.addresses = addresses
        self.binaries = binaries
        self.pki = Pki(cluster.pki)
        self.config = cluster.path / "config"
        self.ready = f"ready:{addresses.api_url}/readyz"

    def write(self) -> str:
        """Write every file, and give the supervisor's plan."""
        self.config.mkdir(exist_ok=True)
        a = self.addresses
        make_certificates(self.pki, a.node, a.api_service, node=self.cluster.name)
        self.pki.kubeconfig(
            self.cluster.kubeconfig, "admin", a.api_url, f"seatrial-{self.cluster.name}"
        )
        for name in ("controller-manager", "scheduler", "proxy", "dns", "kubelet"):
            self.pki.kubeconfig(self._kubeconfig(name), name, a.api_url)
        components = [
            self._etcd(),
            self._apiserver(),
            self._containerd(),
            self._controller_manager(),
            self._scheduler(),
            self._kubelet(),
            self._proxy(),
            self._coredns(),
            self._enforcer(),
            self._volumes(),
        ]
        return json.dumps(
            {
                "logs": str(self.cluster.logs),
                "ends": str(self.cluster.ends),
                "components": components,
            }
        )

    def _etcd(self) -> dict[str, Any]:
        flags = etcd_flags(
            self.cluster.path / "etcd", "http://127.0.0.1:2379", "http://127.0.0.1:2380"
        )
        return self._kubernetes("etcd", flags)

    def _apiserver(self) -> dict[str, Any]:
        flags = [
            *apiserver_flags(self.pki, "http://127.0.0.1:2379", self.addresses.services),
            f"--advertise-address={self.addresses.node}",
            f"--kubelet-client-certificate={self.pki.path('kubelet-client.crt')}",
            f"--kubelet-client-key={self.pki.path('kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP",
            "--secure-port=6443",
        ]
        return {**self._kubernetes("kube-apiserver", flags), "env": _ROOM}

    def _controller_manager(self) -> dict[str, Any]:
        flags = controller_manager_flags(self.pki, self._kubeconfig("controller-manager"))
        return self._kubernetes("kube-controller-manager", flags, self.ready)

    def _scheduler(self) -> dict[str, Any]:
        config = self._json(
            "scheduler",
            {
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "leaderElection": {"leaderElect": False},
                "clientConnection": self._client("scheduler"),
            },
        )
        return self._kubernetes("kube-scheduler", [f"--config={config}"], self.ready)

    def _proxy(self) -> dict[str, Any]:
        config = self._json(
            "proxy",
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "nftables",
                "clusterCIDR": self.addresses.pods,
                "clientConnection": self._client("proxy"),
                # These belong to the machine's own network namespace: not ours to set.
                "conntrack": {"maxPerCore": 0, "min": 0},
                "nftables": {"minSyncPeriod": "0s"},
            },
        )
        flags = [f"--config={config}", f"--hostname-override={self.cluster.name}"]
        return self._kubernetes("kube-proxy", flags, self.ready)

    def _kubelet(self) -> dict[str, Any]:
        resolv = self.config / "resolv.conf"
        resolv.write_text(f"nameserver {self.addresses.dns}\n")
        config = self._json(
            "kubelet",
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "authentication": {
                    "anonymous": {"enabled": False},
                    "webhook": {"enabled": True},
                    "x509": {"clientCAFile": self.pki.path("ca.crt")},
                },
                "authorization": {"mode": "Webhook"},
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": self.cluster.cgroup,
                "clusterDNS": [self.addresses.dns],
                "clusterDomain": CLUSTER_DOMAIN,
                "containerRuntimeEndpoint": f"unix://{self.cluster.containerd_socket}",
                "enforceNodeAllocatable": [],
                "eventRecordQPS": 0,
                # The disk is shared with everything else on the machine: how full it is says
                # nothing about this cluster, and images cannot be pulled again.
                "evictionHard": {
                    "imagefs.available": "0%",
                    "memory.available": "100Mi",
                    "nodefs.available": "0%",
                    "nodefs.inodesFree": "0%",
                },
                "failCgroupV1": False,
                "failSwapOn": False,
                "imageGCHighThresholdPercent": 100,
                "kubeAPIBurst": BURST,
                "kubeAPIQPS": QPS,
                "registryPullQPS": 0,
                "resolvConf": str(resolv),
                "rotateCertificates": False,
                "volumePluginDir": str(self.cluster.path / "volume-plugins"),
            },
        )
        flags = [
            f"--config={config}",
            f"--hostname-override={self.cluster.name}",
            f"--kubeconfig={self._kubeconfig('kubelet')}",
            f"--node-ip={self.addresses.node}",
            f"--root-dir={self.cluster.path / 'kubelet'}",
        ]
        socket = f"file:{self.cluster.containerd_socket}"
        return self._kubernetes("kubelet", flags, socket, self.ready)

    def _containerd(self) -> dict[str, Any]:
        cni = self.config / "cni"
        cni.mkdir(exist_ok=True)
        (cni / "10-seatrial.conflist").write_text(json.dumps(self._cni(), indent=1))
        config = self.config / "containerd.toml"
        config.write_text(
            CONTAINERD.format(
                root=self.cluster.path / "containerd",
                socket=self.cluster.containerd_socket,
                pause=PAUSE_IMAGE,
                cni=cni,
                opt=self.cluster.path / "opt",
            )
        )
        return self._component("containerd", ["containerd", "--config", str(config)])

    def _cni(self) -> dict[str, Any]:
        # ptp, not bridge: every packet between pods is routed, so that Services and policies see
        # it without br_netfilter.
        return {
            "cniVersion": "1.0.0",
            "name": "seatrial",
            "plugins": [
                {
                    "type": "ptp",
                    "ipam": {
                        "type": "host-local",
                        "dataDir": "/run/cni-addresses",
                        "ranges": [[{"subnet": self.addresses.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }

    def _coredns(self) -> dict[str, Any]:
        corefile = self.config / "Corefile"
        corefile.write_text(
            COREFILE.format(
                address=self.addresses.dns,
                domain=CLUSTER_DOMAIN,
                kubeconfig=self._kubeconfig("dns"),
            )
        )
        argv = [str(self.binaries.coredns), "-conf", str(corefile)]
        return self._component("coredns", argv, self.ready)

    def _enforcer(self) -> dict[str, Any]:
        settings = self._json(
            "policies",
            {
                "url": self.addresses.api_url,
                "pki": str(self.cluster.pki),
                "pods": self.addresses.pods,
                "dns": self.addresses.dns,
            },
        )
        return self._our_own("policies", "localcluster.enforcer", settings)

    def _volumes(self) -> dict[str, Any]:
        settings = self._json(
            "volumes",
            {
                "url": self.addresses.api_url,
                "pki": str(self.cluster.pki),
                "folder": str(self.cluster.path / "volumes"),
            },
        )
        return self._our_own("volumes", "localcluster.volumes", settings)

    def _our_own(self, name: str, module: str, settings: Path) -> dict[str, Any]:
        component = self._component(name, [sys.executable, "-m", module, str(settings)], self.ready)
        return {**component, "env": {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}}

    def _kubernetes(self, name: str, flags: list[str], *needs: str) -> dict[str, Any]:
        return self._component(name, [str(self.binaries.kubernetes), name, *flags], *needs)

    def _component(self, name: str, argv: list[str], *needs: str) -> dict[str, Any]:
        return {"name": name, "argv": argv, "needs": needs, "env": {}}

    def _kubeconfig(self, name: str) -> Path:
        return self.config / f"{name}.kubeconfig"

    def _client(self, name: str) -> dict[str, Any]:
        return {"kubeconfig": str(self._kubeconfig(name)), "qps": QPS, "burst": BURST}

    def _json(self, name: str, content: dict[str, Any]) -> Path:
        file = self.config / f"{name}.json"
        file.write_text(json.dumps(content, indent=1))
        return file


CONTAINERD = """\
version = 2
root = "{root}"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE, as in many sandboxes, runc could not lower the score and would fail.
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""

COREFILE = """\
{domain}:53 in-addr.arpa:53 {{
  bind {address}
  errors
  ready {address}:8181
  kubernetes {domain} in-addr.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
  }}
}}
# There is nothing beyond the cluster: say so at once, for every other name.
.:53 {{
  bind {address}
  template ANY ANY . {{
    rcode NXDOMAIN
  }}
}}
"""
