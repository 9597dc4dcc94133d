"""Where Envoy leads to: the Services behind, and the lanes through the gateway."""

from __future__ import annotations

from seatrial.plan.objects.envoy_terms import Places, extension, http1, http2, typed
from seatrial.plan.objects.manifest import Json

_BIG = 4294967295
# A server that closes an idle connection while a request is on its way to it makes that request
# fail; no server that is known closes so early.
_UPSTREAM_IDLE = "1s"


def cluster(name: str, host: str, port: int) -> Json:
    """
    Lead to the Service behind, in the client's own version of HTTP.

    Each client connection has its own behind it, as without us, so that a Service goes on
    spreading connections over its pods.
    """
    return {
        "name": name,
        "cluster_type": extension(
            "envoy.cluster.dns",
            "envoy.extensions.clusters.dns.v3.DnsCluster",
            dns_lookup_family="V4_PREFERRED",
            dns_failure_refresh_rate={"base_interval": "0.1s", "max_interval": "1s"},
            respect_dns_ttl=False,
        ),
        "connection_pool_per_downstream_connection": True,
        **_destination(name, {"socket_address": {"address": host, "port_value": port}}),
        **_protocol({"idle_timeout": _UPSTREAM_IDLE}),
    }


def lane(name: str, places: Places) -> Json:
    """Lead through the gateway, which holds up what one request asks for and is answered."""
    return {
        "name": name,
        "type": "STATIC",
        **_destination(name, {"pipe": {"path": f"{places.directory}/{name}.sock"}}),
        **_protocol({"max_requests_per_connection": 1}),
    }


def _destination(name: str, address: Json) -> Json:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    unlimited = dict.fromkeys(limits, _BIG)
    return {
        "connect_timeout": "150s",  # longer than the kernel tries
        "circuit_breakers": {"thresholds": [unlimited]},
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _protocol(common: Json) -> Json:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "typed_extension_protocol_options": {
            options: typed(
                options,
                common_http_protocol_options={
                    **common,
                    "max_headers_count": 10000,
                    "max_response_headers_kb": 8192,
                },
                use_downstream_protocol_config={
                    "http_protocol_options": http1(),
                    "http2_protocol_options": http2(),
                },
            )
        }
    }
