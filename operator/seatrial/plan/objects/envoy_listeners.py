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
    unharmed,
    unharmed_probe,
)
from seatrial.plan.objects.envoy_terms import (
    FILTERS,
    HTTP,
    MANAGER,
    MET_FILTER,
    SWITCH_FILTER,
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
# The inspectors share a buffer, and the one for HTTP reads on only when it asks for more than the
# buffer holds. It begins with 8 KiB and doubles that; the one for TLS would begin with 16 KiB, and
# a longer request line that has come whole would wait for bytes that nobody sends.
#
# Source: Envoy, source/common/listener_manager/active_tcp_socket.cc.
_FIRST_READ = 8192


def listener(
    doc: ListenerDoc, port: int, faults: Sequence[Fault], places: Places, number: int
) -> Json:
    """
    Make a listener for one class of sources, with its number among all.

    What is not HTTP (TLS, or another protocol on a port of the same Service) passes as it is. No
    fault can meet it, and the log says of each fault that is on what has passed it so.
    """
    inspectors = {
        "tls_inspector": {"initial_read_buffer_size": _FIRST_READ},
        "http_inspector": {},
    }
    versions = ["http/1.0", "http/1.1", "h2c"]
    return {
        "name": f"{port}",
        "address": loopback(port),
        "listener_filters": [
            extension(
                f"envoy.filters.listener.{name}",
                f"envoy.extensions.filters.listener.{name}.v3.{name.title().replace('_', '')}",
                **config,
            )
            for name, config in inspectors.items()
        ],
        "listener_filters_timeout": _FIRST_BYTES,
        "continue_on_listener_filters_timeout": True,
        "filter_chains": [
            {
                "filter_chain_match": {
                    "transport_protocol": "raw_buffer",
                    "application_protocols": versions,
                },
                "filters": [_connection_manager(doc, port, faults, places, number)],
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
                    access_log=_passing(faults, places),
                )
            ]
        },
    }


def switchboard(places: Places) -> Json:
    """Make the listener by which the gateway knows that Envoy serves, and that it has ended."""
    off = {"match": {"prefix": "/"}, "direct_response": {"status": 204}}
    virtual_host = {"name": "all", "domains": ["*"], "routes": [off]}
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
    doc: ListenerDoc, port: int, faults: Sequence[Fault], places: Places, number: int
) -> Json:
    """Proxy HTTP without a limit, a header or a timeout of our own."""
    virtual_hosts = [
        {
            "name": "probe",
            "domains": [PROBE_HOST, f"{PROBE_HOST}:*"],
            "routes": [*(probe_route(fault) for fault in faults), unharmed_probe()],
        },
        {
            "name": "service",
            "domains": ["*"],
            "routes": [*(route(fault, doc) for fault in faults), unharmed(doc)],
        },
    ]
    return extension(
        "envoy.filters.network.http_connection_manager",
        MANAGER,
        stat_prefix=f"{port}",
        codec_type="AUTO",
        http_protocol_options={
            **http1(),
            # Offers, which a server need not take; Envoy would refuse the request.
            "ignore_http_11_upgrade": [{"prefix": "TLS/", "ignore_case": True}],
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
        early_header_mutation_extensions=[_mutate_early()],
        access_log=[_access_log(places)],
        local_reply_config={"mappers": [_probe_reply()]},
        route_config={"name": f"{port}", "virtual_hosts": virtual_hosts},
        http_filters=[
            _lua(SWITCH_FILTER, default_source_code=envoy_lua.switch(places, number)),
            _lua(MET_FILTER, source_codes={envoy_lua.MET: envoy_lua.met(places)}),
            extension(f"{FILTERS}.fault", f"{HTTP}.fault.v3.HTTPFault"),
            _mutate_late(),
            extension(f"{FILTERS}.router", f"{HTTP}.router.v3.Router", suppress_envoy_headers=True),
        ],
    )


def _lua(name: str, **config: Json) -> Json:
    return extension(name, f"{HTTP}.lua.v3.Lua", **config)


def _mutate_early() -> Json:
    """
    Keep the client's own ``x-forwarded-proto`` aside; Envoy adds one where there is none.

    And take away what only our own filter may say.

    Source: Envoy, source/common/http/conn_manager_utility.cc, ``mutateRequestHeaders``.
    """
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            _set_header("x-seatrial-forwarded-proto", "x-forwarded-proto"),
            {"remove": names.ENVOY_HEADER},
        ],
    )


def _mutate_late() -> Json:
    """Make the request's headers what they were."""
    return extension(
        f"{FILTERS}.header_mutation",
        f"{HTTP}.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": [
                {"remove": "x-forwarded-proto"},
                _set_header("x-forwarded-proto", "x-seatrial-forwarded-proto"),
                {"remove": "x-seatrial-forwarded-proto"},
                {"remove": names.ENVOY_HEADER},
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
    """Write a line when a request is over that has met a fault's route; no others."""
    met = extension(
        "envoy.access_loggers.extension_filters.cel",
        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=(
            f"xds.route_name != '' && request.host != '{PROBE_HOST}'"
            f" && !request.host.startsWith('{PROBE_HOST}:')"
        ),
    )
    return {**_log_file(places), "filter": {"extension_filter": met}}


def _marks(places: Places) -> Json:
    """Write a line into the same log for a mark; what was written before comes before it."""
    mark = {"name": ":path", "string_match": {"prefix": names.ENVOY_MARK}}
    line = {"mark": "%PATH(NQ)%"}
    return {**_log_file(places, line), "filter": {"header_filter": {"header": mark}}}


def _passing(faults: Sequence[Fault], places: Places) -> list[Json]:
    """Write lines for a connection that is no HTTP, whether one of these faults is on or not."""
    if not faults:
        return []
    line = {
        "faults": " ".join(fault.name for fault in faults),
        "passing": "%CONNECTION_ID%",
        "at": "%EMIT_TIME(%s%3f)%",
        "from": _CLIENT,
    }
    return [_log_file(places, line)]


# Of the connection itself, whatever x-forwarded-for says.
_CLIENT = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"
_REQUEST = {
    "fault": "%ROUTE_NAME%",
    "at": f"%DYNAMIC_METADATA({envoy_lua.METADATA}:at)%",  # as in the line when it came
    "from": _CLIENT,
    "status": "%RESPONSE_CODE%",
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
