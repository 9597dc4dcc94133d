"""
Runs with a fault of every kind of a family, all at one moment.

Each is on a port or a service of its own. Their test looks at all of them from outside, five times
a second (``inside/observer.py``).
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from functools import cache
from threading import Lock

from seatrial.api import families

from tests.e2e.breaking import certificate, peer, peer_manifests
from tests.e2e.cluster import Json

# Longer on a busy machine, where many faults at one moment take their time to begin.
LASTS_S = float(os.environ.get("E2E_FAULTS_LAST_S", "8"))
BEGINS_S = 4.0  # after the test's start

NETWORK: dict[str, Json] = {
    "latency": {"delay": "1s"},
    "blackhole": {},
    "refuse": {},
    "reset": {},
    "bandwidth": {"rate": "16Ki"},
    "slowClose": {"delay": "2s"},
    "connectionLimit": {"connections": 0},
    "corrupt": {"share": "50%"},
    "partition": {},
}
HTTP: dict[str, Json] = {
    "abort": {"abort": {"status": 503}},
    "delay": {"delay": "2s"},
    "rate": {"rate": "8Ki"},
    "body": {"body": {"replace": "<html>not JSON</html>"}},
    "grpcStatus": {"abort": {"grpcStatus": 14}},
    "truncate": {"body": {"truncate": 10}},
    "contentType": {"body": {"contentType": "text/html"}},
}
# Its controller is played beside the run.
NETWORK_CHAOS = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "NetworkChaos",
    "spec": {
        "action": "delay",
        "mode": "all",
        "selector": {"labelSelectors": {"seatrial.dev/service": "resource"}},
        "delay": {"latency": "100ms"},
    },
}
API: dict[str, Json] = {
    "kill": {"kill": {}},
    "restart": {"restart": {}},
    "evict": {"evict": {}},
    "scale": {"scale": {"replicas": 2}},
    "outage": {"outage": {}},
    "noEndpoints": {"noEndpoints": {}},
    "configuration": {"configuration": {"configMap": "look", "set": {"COLOUR": "red"}}},
    # Of Secrets of the same service, each with the fault's name.
    "secretset": {"configuration": {"secret": "secretset", "set": {"COLOUR": "red", "NEW": "x"}}},
    "secretkey": {"configuration": {"secret": "secretkey", "remove": {"keys": ["COLOUR"]}}},
    "secretlost": {"configuration": {"secret": "secretlost", "remove": {}}},
    "expired": {"configuration": {"secret": "expired", "expireCertificate": {}}},
    "restarted": {
        "configuration": {"secret": "restarted", "set": {"COLOUR": "red"}, "restart": True}
    },
    "resource": {"resource": {"manifest": NETWORK_CHAOS}},
}
SECRETS = ("secretset", "secretkey", "secretlost", "expired")
POD: dict[str, Json] = {
    "lost": {"packets": {"loss": "100%"}},
    "late": {"packets": {"delay": "2s"}},
    "twice": {"packets": {"duplicate": "100%"}},
    "overtaken": {"packets": {"reorder": "100%"}},
    "damaged": {"packets": {"corrupt": "100%"}},
    "nxdomain": {"dns": {"nxdomain": {}}},
    "unanswered": {"dns": {"timeout": {}}},
    "elsewhere": {"dns": {"address": "192.0.2.7"}},
    "freeze": {"freeze": {}},
    "cpu": {"cpu": {"workers": 1, "load": "40%"}},
    "memory": {"memory": {"size": "100Mi"}},
    "disk": {"disk": {"path": "/data"}},
}
WIRE_PORTS = {**{each.lower(): 9000 + i for i, each in enumerate(NETWORK)}, "clean": 9100}
WEB_PORTS = {**{each.lower(): 8000 + i for i, each in enumerate(HTTP)}, "clean": 8100}

# So little is asked for that the pods of three runs fit on two processors.
ROOMY = {
    "requests": {"cpu": "20m", "memory": "32Mi"},
    "limits": {"cpu": "1", "memory": "256Mi"},
}

# Each in a run of its own: what carries them out are others.
FAMILIES = {"traffic": {**NETWORK, **HTTP}, "api": API, "pod": POD}


_MAKING = Lock()  # runs that are side by side have the same certificate


@cache
def _certificate() -> dict[str, str]:
    return certificate("configuration")


def secret(name: str) -> Json:
    """Give the Secret that a fault changes, as it is before and after."""
    with _MAKING:
        texts = _certificate() if name == "expired" else {"COLOUR": "green"}
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def services(family: str) -> list[Json]:
    """Give the services: two whose ports are hit one by one, or one for each fault."""
    http = {"http": 8080}
    if family == "traffic":
        return [peer("wire", wire=WIRE_PORTS), peer("web", http=WEB_PORTS)]
    if family == "api":
        look = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "look"},
            "data": {"COLOUR": "green"},
        }
        plain = ("kill", "restart", "evict", "scale", "noendpoints", "resource")
        return [
            *(peer(each, http=http) for each in plain),
            peer("outage", http=http, volumes=[{"path": "/data", "size": "1Mi"}]),
            peer_manifests("configuration", http=http, others=[look, *map(secret, SECRETS)]),
            peer_manifests("restarted", http=http, others=[secret("restarted")]),
        ]
    # What is hit fails its readiness probe, and is to be seen all the same.
    seen = {"publishNotReadyAddresses": True}
    # In memory: a full volume may be a full node.
    volume = {"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}
    return [
        peer_manifests(
            each,
            wire={"wire": 9000},
            http=http,
            service=seen,
            container={
                "resources": ROOMY,
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            },
            volumes=[volume],
        )
        for each in POD
    ]


def faults(family: str) -> Iterator[Json]:
    """Give a fault of every kind of a family, all bound to the same moment."""
    when = {"test": "watch", "after": f"{BEGINS_S:g}s"}
    for kind, given in FAMILIES[family].items():
        name = kind.lower()
        fault: Json = {
            "name": name,
            "target": {"service": "configuration" if name in SECRETS else name},
            "for": f"{LASTS_S:g}s",
            "when": when,
            "recovery": {"within": "60s"},
        }
        if kind in NETWORK:
            fault |= {kind: given, "target": {"service": "wire", "port": name}}
        elif kind in HTTP:
            fault |= {"http": given, "target": {"service": "web", "port": name}}
        else:
            fault |= given
        if kind == "partition":
            fault["target"]["from"] = ["tests"]
        if kind in families.MOMENTARY:
            del fault["for"]
        if kind in families.DELEGATED:
            del fault["target"]  # it has a selector of its own
        yield fault


def watched(family: str) -> Json:
    """Say where the observer finds what it looks at."""
    found: Json = {}
    for kind in FAMILIES[family]:
        name = kind.lower()
        if kind in NETWORK:
            found[name] = {
                "look": kind,
                "host": "wire",
                "port": WIRE_PORTS[name],
                "clean": WIRE_PORTS["clean"],
            }
        elif kind in HTTP:
            found[name] = {"look": kind, "host": "web", "port": WEB_PORTS[name]}
        elif kind in API:
            port = 9080 if kind in ("configuration", "restarted") else 8080
            found[name] = {} if kind in SECRETS else {"url": f"http://{name}:{port}/"}
        else:
            url = f"http://{name}:9080/"
            found[name] = {"look": kind, "host": name, "port": 10_000, "url": url}
    return found


def spec(family: str, watch_s: float) -> Json:
    return {
        "timeout": "5m",
        "podSecurity": "privileged" if family == "pod" else "restricted",
        "services": [*services(family), peer("bystander", wire={"wire": 9000})],
        "faults": list(faults(family)),
        "tests": [
            {
                "name": "watch",
                "pytest": {
                    "configMap": "observer",
                    "args": ["-s"],
                    "env": {
                        "WATCHED": json.dumps(watched(family)),
                        "WATCH_S": f"{watch_s:g}",
                        # On the same way, so that a gateway that is slow is no fault.
                        "BYSTANDER": "wire:9100" if family == "traffic" else "bystander:9000",
                    },
                },
                "timeout": "2m",
            }
        ],
    }


def lasting(family: str) -> list[str]:
    """Name the faults of a family that have a deadline."""
    return [each["name"] for each in faults(family) if "for" in each]


def momentary(family: str) -> list[str]:
    """Name the faults of a family that are over at once."""
    return [each["name"] for each in faults(family) if "for" not in each]
