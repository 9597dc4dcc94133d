"""Address ranges: every cluster has a /16 of its own, so that several can stand side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network

from localcluster.layout import LocalClusterError

FIRST = 200
LAST = 249


@dataclass(frozen=True)
class Addresses:
    """
    The addresses of one cluster, all inside ``10.<slot>.0.0/16``.

    Args:
        slot: The second byte, from FIRST to LAST.
    """

    slot: int

    @property
    def everything(self) -> str:
        """The range that the host routes to the cluster."""
        return f"10.{self.slot}.0.0/16"

    @property
    def pods(self) -> str:
        """4,000 addresses, so that one is not used again soon after its pod went."""
        return f"10.{self.slot}.0.0/20"

    @property
    def services(self) -> str:
        """The range of ClusterIPs."""
        return f"10.{self.slot}.128.0/20"

    @property
    def api_service(self) -> str:
        """The ClusterIP of ``kubernetes.default``: the first of the range."""
        return f"10.{self.slot}.128.1"

    @property
    def dns(self) -> str:
        """Where CoreDNS listens."""
        return f"10.{self.slot}.254.1"

    @property
    def host(self) -> str:
        """The host's end of the cable."""
        return f"10.{self.slot}.255.1"

    @property
    def node(self) -> str:
        """The cluster's end of the cable: the node and the API server."""
        return f"10.{self.slot}.255.2"

    @property
    def api_url(self) -> str:
        """The API server as seen from the host and from the node."""
        return f"https://{self.node}:6443"

    @property
    def interface(self) -> str:
        """The host's end of the cable, by name (at most 15 characters)."""
        return f"seatrial{self.slot}"


def free_slot(taken: Iterable[int], used: Iterable[str]) -> int:
    """
    The first slot that no cluster has and that does not overlap a network of the host.

    Args:
        taken: Slots of other clusters.
        used: Networks the host has addresses in or routes to, such as ``10.8.0.0/24``.

    Raises:
        LocalClusterError: every slot is taken.
    """
    others = set(taken)
    networks = [IPv4Network(network, strict=False) for network in used]
    for slot in range(FIRST, LAST + 1):
        ours = IPv4Network(Addresses(slot).everything)
        if slot not in others and not any(ours.overlaps(network) for network in networks):
            return slot
    raise LocalClusterError(
        f"No address range is left: 10.{FIRST}.0.0/16 to 10.{LAST}.0.0/16 are all in use here. "
        "Remove a cluster: make down CLUSTER_NAME=..."
    )
