"""The namespace of a run that was kept, as a scenario on a laptop reaches it: by a kubeconfig."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from seatrial.api import names

if TYPE_CHECKING:
    from seatrial_runner.scenario.cluster import Api
    from seatrial_runner.scenario.world import Cluster


def kept_cluster(namespace: str) -> Callable[[], Cluster]:
    """
    Give what makes the cluster of scenarios, once, when a step asks for it.

    Args:
        namespace: Of a run; any other one is refused, so that no scenario changes what is in use.
    """

    @cache
    def make() -> Cluster:
        from seatrial_runner.scenario.cluster import NamespaceCluster
        from seatrial_runner.scenario.world import ClusterStepError

        api = _api()
        found = api.json("GET", f"/api/v1/namespaces/{namespace}", seconds=15)
        labels = found["metadata"].get("labels") or {}
        if names.LABEL_RUN_UID not in labels:
            raise ClusterStepError(
                f"namespace {namespace} is not that of a run: it has no label"
                f" {names.LABEL_RUN_UID}. Keep one with spec.keepEnvironment",
                permanent=True,
            )
        ours = (names.LABEL_RUN_UID, names.LABEL_RUN_NAME, names.LABEL_RUN_NAMESPACE)
        kept = {key: labels[key] for key in ours if key in labels}
        return NamespaceCluster(api, namespace, {**kept, names.MANAGED_BY: names.MANAGED_BY_VALUE})

    return make


def _api() -> Api:
    """Read the kubeconfig as kubectl does, with whatever it logs in by."""
    import ssl

    from kubernetes import client, config

    from seatrial_runner.scenario.cluster import Access, Api
    from seatrial_runner.scenario.world import ClusterStepError

    configuration = client.Configuration()
    try:
        # The library has no types.
        config.load_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise ClusterStepError(f"no cluster can be asked: {error}", permanent=True) from error
    tls = None
    if configuration.host.startswith("https:"):
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if not configuration.verify_ssl:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file)

    def headers() -> dict[str, str]:
        token = configuration.get_api_key_with_prefix("authorization")
        return {"User-Agent": "seatrial", **({"Authorization": token} if token else {})}

    return Api(Access(configuration.host, tls, headers))
