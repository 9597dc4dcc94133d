"""
Envoy's configuration: HTTP as it came, and a route for each ``http`` fault, which nobody meets yet.

Everything is there from the start. A fault's route matches the share of requests that its runtime
key says, and that is none until the gateway switches it through Envoy's admin interface; so
connections that are open already meet the fault too, and an Envoy that is started again has none.
See docs/decisions/0011-http-faults-are-routes-of-envoy.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seatrial.api import names
from seatrial.api.control import PROBE_HOST, ListenerDoc
from seatrial.api.fault_kinds import Http, HttpBody
from seatrial.api.faults import Fault
from seatrial.plan.objects import envoy_lua
from seatrial.plan.objects.containers import runner_security_context
from seatrial.plan.objects.manifest import Json
from seatrial.plan.settings import PlanSettings

_HTTP = "envoy.extensions.filters.http"
_FILTERS = "envoy.filters.http"
_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ALL = {"numerator": 100, "denominator": "HUNDRED"}
_BIG = 4294967295
# Of the answer to a probe that meets a fault; at the lowest rate there is, a second's worth.
_PROBE_BODY = "x" * 1024
# A server that closes an idle connection while a request is on its way to it makes that request
# fail; no server that is known closes so early.
_UPSTREAM_IDLE = "1s"
# Until then a client that has connected and says nothing may be one of a protocol in which the
# server speaks first.
_FIRST_BYTES = "10s"


@dataclass(frozen=True)
class Places:
    """Where Envoy and the gateway beside it meet; other than in a pod only in tests."""

    directory: str = names.ENVOY_DIRECTORY
    admin_port: int = names.ENVOY_ADMIN_PORT


# One worker: a switch that it has seen, everyone has. Access log lines are written at once, because
# the gateway reads them when a fault ends; nothing is logged otherwise.
ARGUMENTS = (
    "--disable-hot-restart",
    *("--concurrency", "1"),
    *("--log-level", "warning"),
    *("--file-flush-min-size-kb", "0"),
    *("--file-flush-interval-msec", "20"),
)
_CONFIG_DIRECTORY = "/etc/seatrial"
_CONFIG_VOLUME = "envoy"
_SHARED_VOLUME = "envoy-shared"
# The gateway begins a new log long before.
_SHARED_SIZE = "512Mi"
_RESOURCES = {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "1Gi"}}


def envoy_container(settings: PlanSettings) -> Json:
    """Make Envoy's container in the gateway's pod, as the same user: both use the volume."""
    return {
        "name": "envoy",
        "image": settings.envoy_image,
        "imagePullPolicy": settings.runner_pull_policy,
        "command": ["/usr/local/bin/envoy"],
        "args": ["-c", f"{_CONFIG_DIRECTORY}/{names.ENVOY_CONFIG}", *ARGUMENTS],
        "resources": _RESOURCES,
        "securityContext": runner_security_context(),
        "volumeMounts": [
            {"name": _CONFIG_VOLUME, "mountPath": _CONFIG_DIRECTORY, "readOnly": True},
            envoy_shared_mount(),
        ],
    }


def envoy_shared_mount() -> Json:
    """Give the mount that the gateway's own container needs too."""
    return {"name": _SHARED_VOLUME, "mountPath": names.ENVOY_DIRECTORY}


def envoy_volumes() -> list[Json]:
    """List the pod's volumes: Envoy's configuration, and what it shares with the gateway."""
    return [
        {"name": _CONFIG_VOLUME, "configMap": {"name": names.GATEWAY}},
        {"name": _SHARED_VOLUME, "emptyDir": {"sizeLimit": _SHARED_SIZE}},
    ]


def envoy_bootstrap(
    listeners: Iterable[tuple[str, ListenerDoc]],
    faults: Sequence[Fault],
    places: Places | None = None,
) -> Json:
    """
    Write Envoy's whole configuration.

    Args:
        listeners: What the gateway carries, each with its service's name in the spec; those
            without ``envoy`` are left out.
        faults: The run's ``http`` faults, in the order of their declaration: where several are on
            at once, a request meets the first whose match and share it falls under.
        places: Where the gateway finds it.
    """
    places = places or Places()
    carried = [(service, doc) for service, doc in listeners if doc["envoy"] is not None]
    clusters: dict[str, Json] = {}
    servers = []
    for service, doc in carried:
        clusters[_upstream(doc)] = _cluster(_upstream(doc), doc["upstreamHost"], doc["port"])
        here = [fault for fault in faults if _is_hit(fault, service, doc["portName"])]
        for fault in filter(_is_slow, here):
            for lane in (f"{fault.name}.{doc['listen']}", f"{fault.name}.probe"):
                clusters[lane] = _lane(lane, places)
        for source, port in _ports(doc):
            met = [fault for fault in here if _comes_from(fault, source)]
            servers.append(_listener(doc, port, met, places))
    servers.append(_switchboard(faults, places))
    return {
        "admin": {"address": _loopback(places.admin_port)},
        "layered_runtime": {"layers": [{"name": "seatrial", "admin_layer": {}}]},
        "static_resources": {"listeners": servers, "clusters": list(clusters.values())},
    }


def _ports(doc: ListenerDoc) -> Iterator[tuple[str | None, int]]:
    assert doc["envoy"] is not None
    yield None, doc["envoy"]["port"]
    yield from doc["envoy"]["sources"].items()


def _is_hit(fault: Fault, service: str, port: str) -> bool:
    target = fault.target
    return target is not None and target.service == service and target.port in (None, port)


def _comes_from(fault: Fault, source: str | None) -> bool:
    assert fault.target is not None
    return fault.target.from_ is None or source in fault.target.from_


def _is_slow(fault: Fault) -> bool:
    """Tell whether its requests go through the gateway once more, which holds them up."""
    http = _http(fault)
    return http.delay is not None or http.rate is not None


def _http(fault: Fault) -> Http:
    assert fault.http is not None
    return fault.http


# Listeners ---------------------------------------------------------------------------------------


def _listener(doc: ListenerDoc, port: int, faults: Sequence[Fault], places: Places) -> Json:
    """
    Make a listener for one class of sources.

    What is not HTTP (TLS, or another protocol on a port of the same Service) passes as it is.
    """
    inspectors = ("tls_inspector", "http_inspector")
    versions = ["http/1.0", "http/1.1", "h2c"]
    return {
        "name": f"{port}",
        "address": _loopback(port),
        "listener_filters": [
            _extension(
                f"envoy.filters.listener.{name}",
                f"envoy.extensions.filters.listener.{name}.v3.{name.title().replace('_', '')}",
            )
            for name in inspectors
        ],
        "listener_filters_timeout": _FIRST_BYTES,
        "continue_on_listener_filters_timeout": True,
        "filter_chains": [
            {
                "filter_chain_match": {
                    "transport_protocol": "raw_buffer",
                    "application_protocols": versions,
                },
                "filters": [_connection_manager(doc, port, faults, places)],
            }
        ],
        "default_filter_chain": {
            "filters": [
                _extension(
                    "envoy.filters.network.tcp_proxy",
                    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    stat_prefix=f"{port}",
                    cluster=_upstream(doc),
                    idle_timeout="0s",
                )
            ]
        },
    }


def _switchboard(faults: Sequence[Fault], places: Places) -> Json:
    """
    Make the listener that tells the gateway whether Envoy's worker has seen a switch.

    The admin interface answers from another thread, before the worker has.
    """
    routes = [
        {
            "match": {"path": f"/{fault.name}", "runtime_fraction": _share(fault, probe=True)},
            "direct_response": {"status": 200},
        }
        for fault in faults
    ]
    off = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    virtual_host = {"name": "all", "domains": ["*"], "routes": [*routes, off]}
    manager = _extension(
        "envoy.filters.network.http_connection_manager",
        _MANAGER,
        stat_prefix="switchboard",
        common_http_protocol_options={"idle_timeout": "0s"},
        generate_request_id=False,
        access_log=[_marks(places)],
        route_config={"name": "switchboard", "virtual_hosts": [virtual_host]},
        http_filters=[_extension(f"{_FILTERS}.router", f"{_HTTP}.router.v3.Router")],
    )
    return {
        "name": "switchboard",
        "address": {"pipe": {"path": f"{places.directory}/{names.ENVOY_SWITCHBOARD}"}},
        "filter_chains": [{"filters": [manager]}],
    }


def _connection_manager(
    doc: ListenerDoc, port: int, faults: Sequence[Fault], places: Places
) -> Json:
    """Proxy HTTP without a limit, a header or a timeout of our own."""
    virtual_hosts = [
        {
            "name": "probe",
            "domains": [PROBE_HOST, f"{PROBE_HOST}:*"],
            "routes": [*(_probe_route(fault, places) for fault in faults), _unharmed_probe()],
        },
        {
            "name": "service",
            "domains": ["*"],
            "routes": [*(_route(fault, doc, places) for fault in faults), _unharmed(doc)],
        },
    ]
    return _extension(
        "envoy.filters.network.http_connection_manager",
        _MANAGER,
        stat_prefix=f"{port}",
        codec_type="AUTO",
        http_protocol_options={
            **_http1(),
            "accept_http_10": True,
            "default_host_for_http_10": f"{doc['service']}:{doc['port']}",
        },
        http2_protocol_options=_http2(),
        common_http_protocol_options={"idle_timeout": "0s", "max_headers_count": 10000},
        stream_idle_timeout="0s",
        # A client that reads until the connection closes would wait for it.
        delayed_close_timeout="0s",
        max_request_headers_kb=8192,
        generate_request_id=False,
        preserve_external_request_id=True,
        skip_xff_append=True,
        use_remote_address=False,
        server_header_transformation="PASS_THROUGH",
        proxy_100_continue=True,
        upgrade_configs=[{"upgrade_type": "websocket"}],
        early_header_mutation_extensions=[_remember_proto()],
        access_log_options={"flush_access_log_on_new_request": True},
        access_log=[_access_log(places)],
        local_reply_config={"mappers": [_probe_reply()]},
        route_config={"name": f"{port}", "virtual_hosts": virtual_hosts},
        http_filters=[
            _extension(
                f"{_FILTERS}.lua",
                f"{_HTTP}.lua.v3.Lua",
                source_codes={envoy_lua.NAME: {"inline_string": envoy_lua.SOURCE}},
            ),
            _extension(f"{_FILTERS}.fault", f"{_HTTP}.fault.v3.HTTPFault"),
            _restore_proto(),
            _extension(
                f"{_FILTERS}.router", f"{_HTTP}.router.v3.Router", suppress_envoy_headers=True
            ),
        ],
    )


def _remember_proto() -> Json:
    """
    Keep the client's own ``x-forwarded-proto`` aside; Envoy adds one where there is none.

    Source: Envoy, source/common/http/conn_manager_utility.cc, ``mutateRequestHeaders``.
    """
    return _extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[_set_header("x-seatrial-forwarded-proto", "x-forwarded-proto")],
    )


def _restore_proto() -> Json:
    return _extension(
        f"{_FILTERS}.header_mutation",
        f"{_HTTP}.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [
                {"remove": "x-forwarded-proto"},
                _set_header("x-forwarded-proto", "x-seatrial-forwarded-proto"),
                {"remove": "x-seatrial-forwarded-proto"},
            ]
        },
    )


def _set_header(name: str, other: str) -> Json:
    return {
        "append": {
            "header": {"key": name, "value": f"%REQ({other})%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    }


def _access_log(places: Places) -> Json:
    """Write a line when a request meets a fault's route, and one when it is over; no others."""
    met = _extension(
        "envoy.access_loggers.extension_filters.cel",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=f"xds.route_name != '' && !request.host.startsWith('{PROBE_HOST}')",
    )
    return {**_log_file(places), "filter": {"extension_filter": met}}


def _marks(places: Places) -> Json:
    """Write a line into the same log for a mark; what was written before comes before it."""
    mark = {"name": ":path", "string_match": {"prefix": names.ENVOY_MARK}}
    return {**_log_file(places), "filter": {"header_filter": {"header": mark}}}


def _log_file(places: Places) -> Json:
    return _extension(
        "envoy.access_loggers.file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=f"{places.directory}/{names.ENVOY_LOG}",
        log_format={
            "json_format": {
                "fault": "%ROUTE_NAME%",
                "type": "%ACCESS_LOG_TYPE%",
                "at": "%START_TIME(%s%3f)%",
                "method": "%REQ(:METHOD)%",
                "path": "%PATH(WQ):256%",
                "status": "%RESPONSE_CODE%",
                "flags": "%RESPONSE_FLAGS%",
            }
        },
    )


def _probe_reply() -> Json:
    """Say in an answer that a fault gave itself to a probe which it was."""
    return {
        "filter": {
            "header_filter": {
                "header": {"name": ":authority", "string_match": {"prefix": PROBE_HOST}}
            }
        },
        "headers_to_add": [_say("%ROUTE_NAME%")],
    }


def _say(fault: str) -> Json:
    return {
        "header": {"key": names.PROBE_HEADER, "value": fault},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


# Routes ------------------------------------------------------------------------------------------


def _unharmed(doc: ListenerDoc) -> Json:
    return {"match": {"prefix": ""}, "route": _forward(_upstream(doc))}


def _unharmed_probe() -> Json:
    return {"match": {"prefix": ""}, "direct_response": {"status": 204}}


def _route(fault: Fault, doc: ListenerDoc, places: Places) -> Json:
    lane = f"{fault.name}.{doc['listen']}"
    return {
        "name": fault.name,
        "match": _match(fault, probe=False),
        "route": _forward(lane if _is_slow(fault) else _upstream(doc)),
        "typed_per_filter_config": _effect(fault, places),
    }


def _probe_route(fault: Fault, places: Places) -> Json:
    """Make the route of a probe, which meets the fault whatever its share."""
    if _is_slow(fault):
        action: Json = {"route": _forward(f"{fault.name}.probe")}
    else:
        action = {"direct_response": {"status": 200, "body": {"inline_string": _PROBE_BODY}}}
    return {
        "name": fault.name,
        "match": _match(fault, probe=True),
        **action,
        "response_headers_to_add": [_say(fault.name)],
        "typed_per_filter_config": _effect(fault, places),
    }


def _forward(cluster: str) -> Json:
    return {"cluster": cluster, "timeout": "0s", "idle_timeout": "0s"}


def _match(fault: Fault, *, probe: bool) -> Json:
    wanted = _http(fault).match
    match: Json = {"path": wanted.path} if wanted.path else {"prefix": wanted.path_prefix or ""}
    headers = [
        {"name": name.lower(), "string_match": {"exact": value}}
        for name, value in wanted.headers.items()
        # A probe has a host of its own.
        if not (probe and name.lower() in ("host", ":authority"))
    ]
    if wanted.methods:
        regex = "|".join(re.escape(method.upper()) for method in wanted.methods)
        headers.append({"name": ":method", "string_match": {"safe_regex": {"regex": regex}}})
    if headers:
        match["headers"] = headers
    match["runtime_fraction"] = _share(fault, probe=probe)
    return match


def _share(fault: Fault, *, probe: bool) -> Json:
    """Leave it to Envoy's runtime which share of requests a route matches; at first none."""
    key = names.envoy_probe_key(fault.name) if probe else names.envoy_key(fault.name)
    return {"default_value": {"numerator": 0, "denominator": "MILLION"}, "runtime_key": key}


def _effect(fault: Fault, places: Places) -> Json:
    http = _http(fault)
    if http.abort is not None:
        if http.abort.status is not None:
            abort: Json = {"http_status": http.abort.status, "percentage": _ALL}
        else:
            abort = {"grpc_status": http.abort.grpc_status, "percentage": _ALL}
        return {f"{_FILTERS}.fault": _typed(f"{_HTTP}.fault.v3.HTTPFault", abort=abort)}
    if http.body is not None:
        return {
            f"{_FILTERS}.lua": _typed(
                f"{_HTTP}.lua.v3.LuaPerRoute",
                name=envoy_lua.NAME,
                filter_context=_body(http.body, f"{places.directory}/{fault.name}.on"),
            )
        }
    return {}


def _body(body: HttpBody, switch: str) -> dict[str, str]:
    if body.replace is not None:
        return {"switch": switch, "replace": body.replace}
    if body.truncate is not None:
        return {"switch": switch, "truncate": str(body.truncate)}
    assert body.content_type is not None
    return {"switch": switch, "contentType": body.content_type}


# Clusters ----------------------------------------------------------------------------------------


def _upstream(doc: ListenerDoc) -> str:
    return f"{doc['service']}:{doc['port']}"


def _cluster(name: str, host: str, port: int) -> Json:
    """
    Lead to the Service behind, in the client's own version of HTTP.

    Each client connection has its own behind it, as without us, so that a Service goes on
    spreading connections over its pods.
    """
    return {
        "name": name,
        "cluster_type": _extension(
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


def _lane(name: str, places: Places) -> Json:
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
            options: _typed(
                options,
                common_http_protocol_options={
                    **common,
                    "max_headers_count": 10000,
                    "max_response_headers_kb": 8192,
                },
                use_downstream_protocol_config={
                    "http_protocol_options": _http1(),
                    "http2_protocol_options": _http2(),
                },
            )
        }
    }


def _http1() -> Json:
    case = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
    return {
        "header_key_format": {"stateful_formatter": _extension("preserve_case", case)},
        "enable_trailers": True,
    }


def _http2() -> Json:
    return {"max_concurrent_streams": 2147483647}


def _loopback(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _extension(name: str, kind: str, **config: Any) -> Json:
    return {"name": name, "typed_config": _typed(kind, **config)}


def _typed(kind: str, **config: Any) -> Json:
    return {"@type": f"type.googleapis.com/{kind}", **config}
