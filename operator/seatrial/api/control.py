"""
How the conductor orders faults from the gateway and from the agents in pods. Plain TypedDicts.

Both serve the same HTTP interface (``docs/explanation/architecture.md``, "Control of faults"),
JSON, ``Authorization: Bearer TOKEN``:

``PUT /v1/faults/NAME``     body FaultOrder; idempotent. The same order again renews the deadline;
                            another one replaces it. Answers FaultReport once it is in effect.
``DELETE /v1/faults/NAME``  ends it; idempotent. Answers FaultReport once it is undone.
``GET /v1/faults/NAME``     FaultReport; 404 if it was never ordered since the process started.
``GET /v1/faults``          ``{"boot": ..., "faults": [FaultReport...]}``, ended ones included.
``DELETE /v1/faults``       ends all. Answers as GET.
``PUT /v1/sources``         gateway only; body ``{"sources": {"orders": ["10.0.0.7"], "tests":
                            [...], "conductor": [...]}}``: who is behind which address.
``GET /v1/abilities``       ``{"boot": ..., "abilities": {"latency": "", "packets": "the node's
                            kernel has no NFQUEUE"}}``: by kind, empty or why it can't be done.
``GET /healthz``            200 when it serves; without a token.

An order ends by itself ``forS`` seconds after it was last put, on the monotonic clock of whoever
carries it out. Errors: ``{"error": sentence}`` with 400, 401, 404, 409 (cannot be done here).
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class PathDoc(TypedDict):
    """Traffic that is hit: what one of ``sources`` asks of a service."""

    service: str  # name of a Service that the gateway carries
    port: str | None  # its port by name; None: all
    sources: list[str] | None  # services, or "tests"; None: everyone


class FaultOrder(TypedDict):
    """Body of ``PUT /v1/faults/NAME``."""

    kind: str  # latency, ..., http; in agents packets, dns, ...
    params: dict[str, Any]  # the kind's model as in the spec: camelCase, durations as texts
    forS: float
    seed: int
    paths: NotRequired[list[PathDoc]]  # of the gateway
    connections: NotRequired[float]  # share of connections, 0 to 1
    # Of the agent, where the pod's containers share their processes: which of them is hit.
    containerId: NotRequired[str]


class FaultReport(TypedDict):
    """What became of an order."""

    name: str
    kind: str
    state: Literal["active", "ended"]
    boot: str  # another one: the process has been restarted, and with it every fault ended
    applied: str  # RFC 3339 with milliseconds: when it was begun with
    # Of the gateway: every worker had taken it, or Envoy worked by it. Of an agent: it saw the
    # effect itself; None: not yet.
    effective: str | None
    remainingS: float
    ended: str | None
    # None of an ended one: it ended early, with what carried it out (Envoy was killed, say).
    endedBy: Literal["deadline", "request"] | None
    why: str  # it ended early, in a sentence; empty if nobody could say
    # Connections, requests, packets or lookups that met it; in the gateway, probes and checks (see
    # PROBE_PORTS, CHECK_PORTS) not counted. NB: but for refuse of whole ports: the kernel refuses,
    # and nobody can tell who asked. The conductor takes off its own attempts.
    hits: int
    firstHit: str | None
    lastHit: str | None
    # What was done: bytes, connections, ... lostConnections were not: they broke because a process
    # of the gateway died meanwhile; unreadConnections passed an http fault: they are no HTTP.
    counts: dict[str, int]


class EnvoyDoc(TypedDict):
    """Where a listener of the gateway finds Envoy: a port on loopback for each class of sources."""

    port: int  # for everyone not named in ``sources``
    sources: dict[str, int]  # a service, or "tests", that a fault tells apart -> its port


class ListenerDoc(TypedDict):
    """A port of a Service that the gateway carries."""

    service: str  # name of the Service
    portName: str
    port: int
    listen: int  # port of the gateway
    upstreamHost: str  # the Service behind it
    envoy: EnvoyDoc | None  # there if an ``http`` fault targets it


class GatewayDoc(TypedDict):
    """The gateway's configuration, in the variable ``SEATRIAL_GATEWAY``."""

    listeners: list[ListenerDoc]
    httpFaults: list[str]  # names of the faults that Envoy has been configured for


# A probe of the conductor begins its connection with this line, from a port in PROBE_PORTS; what
# follows comes back through the same faults as that source's traffic would, and reaches no service.
PROBE_LINE = "SEATRIAL-PROBE {token} {source}\n"
# The same, but what follows goes to Envoy, as that source's requests would; see PROBE_HOST.
PROBE_HTTP_LINE = "SEATRIAL-HTTP-PROBE {token} {source}\n"
# To Envoy a probe is a request for this host: it meets the faults, and is answered by Envoy itself.
PROBE_HOST = "seatrial-probe.invalid"
