"""The run's namespace, as a scenario's worker reaches it: with the conductor's own rights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from seatrial.api import names
from seatrial.api.journal import RunDoc

if TYPE_CHECKING:
    from seatrial_runner.conductor.apiserver import ApiServer
    from seatrial_runner.scenario.world import Cluster


def cluster_of(run: RunDoc, server: ApiServer) -> Callable[[], Cluster]:
    """
    Give what makes the cluster of a scenario, once, when a step asks for it.

    What it may do is what the conductor may: the operator binds further roles only where a step of
    the run needs them. Another namespace cannot be named, and would refuse the token.
    """

    @cache
    def make() -> Cluster:
        from seatrial_runner.scenario.cluster import Access, Api, NamespaceCluster

        address = server.address
        scheme = "http" if address.tls is None else "https"
        host = f"[{address.host}]" if ":" in address.host else address.host
        access = Access(
            f"{scheme}://{host}:{address.port}",
            address.tls,
            lambda: {
                "Authorization": f"Bearer {server.token()}",
                "User-Agent": "seatrial-scenario",
            },
        )
        labels = {
            names.LABEL_RUN_UID: run["uid"],
            names.LABEL_RUN_NAME: run["name"][:63].rstrip("-."),
            names.LABEL_RUN_NAMESPACE: run["namespace"],
            names.MANAGED_BY: names.MANAGED_BY_VALUE,
        }
        return NamespaceCluster(Api(access), run["environment"], labels)

    return make
