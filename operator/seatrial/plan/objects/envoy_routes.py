"""Envoy's routes: one for each fault, in the order of declaration, and one for all the rest."""

from __future__ import annotations

import re

from seatrial.api import names
from seatrial.api.control import ListenerDoc
from seatrial.api.fault_kinds import HttpBody
from seatrial.api.faults import Fault
from seatrial.plan.objects import envoy_lua
from seatrial.plan.objects.envoy_terms import (
    FILTERS,
    HTTP,
    MET_FILTER,
    http_of,
    is_slow,
    lane_name,
    probe_lane_name,
    typed,
    upstream,
)
from seatrial.plan.objects.manifest import Json

_ALL = {"numerator": 100, "denominator": "HUNDRED"}
# Of the answer to a probe that meets a fault; at the lowest rate there is, a second's worth.
_PROBE_BODY = "x" * 1024


def unharmed(doc: ListenerDoc) -> Json:
    """Make the route of what meets no fault; it has no name, and no line in the log."""
    return {"match": {"prefix": ""}, "route": _forward(upstream(doc))}


def unharmed_probe() -> Json:
    """Make the route of a probe that meets no fault."""
    return {"match": {"prefix": ""}, "direct_response": {"status": 204}}


def route(fault: Fault, doc: ListenerDoc) -> Json:
    """Make a fault's route: of requests that the fault's match fits, those it is on for."""
    return {
        "name": fault.name,
        "match": _match(fault, probe=False),
        "route": _forward(lane_name(fault, doc) if is_slow(fault) else upstream(doc)),
        "typed_per_filter_config": _effect(fault),
    }


def probe_route(fault: Fault) -> Json:
    """Make the route of a probe, which meets the fault whatever its share."""
    if is_slow(fault):
        action: Json = {"route": _forward(probe_lane_name(fault))}
    else:
        action = {"direct_response": {"status": 200, "body": {"inline_string": _PROBE_BODY}}}
    return {
        "name": fault.name,
        "match": _match(fault, probe=True),
        **action,
        "response_headers_to_add": [say(fault.name)],
        "typed_per_filter_config": _effect(fault),
    }


def _forward(cluster: str) -> Json:
    return {"cluster": cluster, "timeout": "0s", "idle_timeout": "0s"}


def _match(fault: Fault, *, probe: bool) -> Json:
    wanted = http_of(fault).match
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
    headers.append(
        {"name": names.ENVOY_HEADER, "string_match": {"contains": envoy_lua.entry(fault.name)}}
    )
    return {**match, "headers": headers}


def _effect(fault: Fault) -> Json:
    http = http_of(fault)
    context = {"fault": fault.name, **(_body(http.body) if http.body else {})}
    lua = typed(f"{HTTP}.lua.v3.LuaPerRoute", name=envoy_lua.MET, filter_context=context)
    if http.abort is None:
        return {MET_FILTER: lua}
    if http.abort.status is not None:
        abort: Json = {"http_status": http.abort.status, "percentage": _ALL}
    else:
        abort = {"grpc_status": http.abort.grpc_status, "percentage": _ALL}
        context["grpcStatus"] = f"{http.abort.grpc_status}"
    answer = typed(f"{HTTP}.fault.v3.HTTPFault", abort=abort)
    return {MET_FILTER: lua, f"{FILTERS}.fault": answer}


def _body(body: HttpBody) -> dict[str, str]:
    if body.replace is not None:
        return {"replace": body.replace}
    if body.truncate is not None:
        return {"truncate": str(body.truncate)}
    assert body.content_type is not None
    return {"contentType": body.content_type}


def say(fault: str) -> Json:
    """Name the fault in the answer to a probe."""
    return {
        "header": {"key": names.PROBE_HEADER, "value": fault},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
