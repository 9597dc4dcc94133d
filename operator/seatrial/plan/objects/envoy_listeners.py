"""Envoy's listeners: HTTP as it came, without a limit, a header or a timeout of our own."""

from __future__ import annotations

from collections.abc import Sequence

from seatrial.api import names
from seatrial.api.control import PROBE_HOST, ListenerDoc
from seatrial.api.faults import Fault
from seatrial.plan.objects import envoy_lua
from seatrial.plan.objects.envoy_routes import (
    probe_route,
    route,
    say,
    share,
    unharmed,
    unharmed_probe,
)
from seatrial.plan.objects.envoy_terms import (
    FILTERS,
    HTTP,
    MANAGER,
    Places,
    extension,
    http1,
    http2,
    loopback,
    upstream,
)
from seatrial.plan.objects.manifest import Json

# So often a line is written of a connection that is no HTTP: one from before a fault counts, too.
_PASSING = "1s"
# Until then a client that has connected and says nothing may be one of a protocol in which the
# server speaks first.
_FIRST_BYTES = "10s"


def listener(doc: ListenerDoc, port: int, faults: Sequence[Fault], places: Places) -> Json:
    """
    Make a listener for one class of sources.

    What is not HTTP (TLS, or another protocol on a port of the same Service) passes as it is. No
    fault can meet it, and the log says of each fault that is on what has passed it so.
    """
    inspectors = ("tls_inspector", "http_inspector")
    versions = ["http/1.0", "http/1.1", "h2c"]
    return {
        "name": f"{port}",
        "address": loopback(port),
        "listener_filters": [
            extension(
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
                extension(
                    "envoy.filters.network.tcp_proxy",
                    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    stat_prefix=f"{port}",
                    cluster=upstream(doc),
                    idle_timeout="0s",
                    access_log_options={
                        "flush_access_log_on_connected": True,
                        "access_log_flush_interval": _PASSING,
                    },
                    access_log=[_passing(fault, places) for fault in faults],
                )
            ]
        },
    }


def switchboard(faults: Sequence[Fault], places: Places) -> Json:
    """
    Make the listener that tells the gateway whether Envoy's worker has seen a switch.

    The admin interface answers from another thread, before the worker has.
    """
    routes = [
        {
            "match": {"path": f"/{fault.name}", "runtime_fraction": share(fault, probe=True)},
            "direct_response": {"status": 200},
        }
        for fault in faults
    ]
    off = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    virtual_host = {"name": "all", "domains": ["*"], "routes": [*routes, off]}
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        MANAGER,
        stat_prefix="switchboard",
        common_http_protocol_options={"idle_timeout": "0s"},
        generate_request_id=False,
        access_log=[_marks(places)],
        route_config={"name": "switchboard", "virtual_hosts": [virtual_host]},
        http_filters=[extension(f"{FILTERS}.router", f"{HTTP}.router.v3.Router")],
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
            "routes": [*(probe_route(fault, places) for fault in faults), unharmed_probe()],
        },
        {
            "name": "service",
            "domains": ["*"],
            "routes": [*(route(fault, doc, places) for fault in faults), unharmed(doc)],
        },
    ]
    return extension(
        "envoy.filters.network.http_connection_manager",
        MANAGER,
        stat_prefix=f"{port}",
        codec_type="AUTO",
        http_protocol_options={
            **http1(),
            "accept_http_10": True,
            "default_host_for_http_10": f"{doc['service']}:{doc['port']}",
        },
        http2_protocol_options=http2(),
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
            extension(
                f"{FILTERS}.lua",
                f"{HTTP}.lua.v3.Lua",
                source_codes={envoy_lua.NAME: {"inline_string": envoy_lua.SOURCE}},
            ),
            extension(f"{FILTERS}.fault", f"{HTTP}.fault.v3.HTTPFault"),
            _restore_proto(),
            extension(f"{FILTERS}.router", f"{HTTP}.router.v3.Router", suppress_envoy_headers=True),
        ],
    )


def _remember_proto() -> Json:
    """
    Keep the client's own ``x-forwarded-proto`` aside; Envoy adds one where there is none.

    Source: Envoy, source/common/http/conn_manager_utility.cc, ``mutateRequestHeaders``.
    """
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[_set_header("x-seatrial-forwarded-proto", "x-forwarded-proto")],
    )


def _restore_proto() -> Json:
    return extension(
        f"{FILTERS}.header_mutation",
        f"{HTTP}.header_mutation.v3.HeaderMutation",
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
    met = extension(
        "envoy.access_loggers.extension_filters.cel",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=f"xds.route_name != '' && !request.host.startsWith('{PROBE_HOST}')",
    )
    return {**_log_file(places), "filter": {"extension_filter": met}}


def _marks(places: Places) -> Json:
    """Write a line into the same log for a mark; what was written before comes before it."""
    mark = {"name": ":path", "string_match": {"prefix": names.ENVOY_MARK}}
    return {**_log_file(places), "filter": {"header_filter": {"header": mark}}}


def _passing(fault: Fault, places: Places) -> Json:
    """Write a line for a connection that is no HTTP while the fault is on, whatever its share."""
    key = names.envoy_probe_key(fault.name)
    line = {
        "fault": fault.name,
        "passing": "%CONNECTION_ID%",
        "at": "%EMIT_TIME(%s%3f)%",
        "from": _CLIENT,
        "path": "",
    }
    is_on = {"runtime_key": key, "percent_sampled": {"numerator": 0}}
    return {**_log_file(places, line), "filter": {"runtime_filter": is_on}}


# Of the connection itself, whatever x-forwarded-for says.
_CLIENT = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"
_REQUEST = {
    "fault": "%ROUTE_NAME%",
    "type": "%ACCESS_LOG_TYPE%",
    "at": "%START_TIME(%s%3f)%",
    "from": _CLIENT,
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(WQ):256%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
}


def _log_file(places: Places, line: Json = _REQUEST) -> Json:
    return extension(
        "envoy.access_loggers.file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path=f"{places.directory}/{names.ENVOY_LOG}",
        log_format={"json_format": line},
    )


def _probe_reply() -> Json:
    """Say in an answer that a fault gave itself to a probe which it was."""
    return {
        "filter": {
            "header_filter": {
                "header": {"name": ":authority", "string_match": {"prefix": PROBE_HOST}}
            }
        },
        "headers_to_add": [say("%ROUTE_NAME%")],
    }
