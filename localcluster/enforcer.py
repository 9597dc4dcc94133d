"""
Carries out NetworkPolicies on the local cluster, whose network plugin does not.

A component of the cluster: ``python3 -m localcluster.enforcer FILE`` (JSON: url, pki, pods, dns).
It learns a pod's address from the network plugin's cache, before the first container starts, and
not from the pod's status, which comes a second later. In the few milliseconds until its rules are
there a new pod is free: fine for tests, not against enemies.
"""

import ctypes
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from localcluster.policies import Pod, Rules, changes, rules_for, whole_table

RESULTS = Path("/var/lib/cni/results")
RELIST_DELAY_S = 1.0
# A little after a change another usually follows; together they cost one replacement.
SETTLE_S = 0.005
# When everything starts at once, the pods come first.
NICENESS = 5
IN_CLOSE_WRITE, IN_MOVED_TO, IN_DELETE = 0x8, 0x80, 0x200

Json = dict[str, Any]


class World:
    """What the rules depend on, as the watches last saw it."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Json]] = {}
        self.addresses: dict[str, str] = {}
        self.changed = threading.Event()

    def replace(self, kind: str, objects: list[Json]) -> None:
        """Take a whole list."""
        self._put(kind, {one["metadata"]["uid"]: _needed(one) for one in objects})

    def change(self, kind: str, event: Json) -> None:
        """Take one event of a watch."""
        uid = event["object"]["metadata"]["uid"]
        new = None if event["type"] == "DELETED" else _needed(event["object"])
        objects = self.objects[kind]
        if objects.get(uid) == new:
            return
        # A new mapping, because the other thread may be reading the old one.
        rest = {key: value for key, value in objects.items() if key != uid}
        self._put(kind, rest if new is None else {**rest, uid: new})

    def _put(self, kind: str, objects: dict[str, Json]) -> None:
        self.objects[kind] = objects
        self.changed.set()

    def rules(self) -> Rules:
        """The rules for what is known now."""
        pods = self.objects.get("pods", {})
        return rules_for(
            self.objects.get("networkpolicies", {}).values(),
            [_pod(pods[uid], address) for uid, address in self.addresses.items() if uid in pods],
            {
                one["metadata"]["name"]: one["metadata"]["labels"]
                for one in self.objects.get("namespaces", {}).values()
            },
        )


def _needed(one: Json) -> Json:
    """The part of an object that rules are made from: a pod's status changes often."""
    metadata = {key: one["metadata"].get(key) for key in ("name", "namespace", "labels")}
    metadata["labels"] = metadata["labels"] or {}
    spec = one.get("spec", {})
    if "containers" in spec:
        containers = [*spec["containers"], *spec.get("initContainers", ())]
        spec = {"ports": [port for one in containers for port in one.get("ports", ())]}
    return {"metadata": metadata, "spec": spec}


def _pod(one: Json, address: str) -> Pod:
    ports = {
        (port["name"], port.get("protocol", "TCP")): int(port["containerPort"])
        for port in one["spec"].get("ports", ())
        if "name" in port
    }
    return Pod(one["metadata"]["namespace"], one["metadata"]["labels"], address, ports)


class Follower(Protocol):
    """Who takes in what lists and watches bring."""

    def replace(self, kind: str, objects: list[Json]) -> None:
        """Take a whole list."""

    def change(self, kind: str, event: Json) -> None:
        """Take one event of a watch."""


class Api:
    """Lists and watches of one API server."""

    def __init__(self, url: str, pki: Path) -> None:
        self.host = url.removeprefix("https://")
        self.context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self.context.load_cert_chain(pki / "policies.crt", pki / "policies.key")

    def follow(self, world: Follower, path: str) -> None:
        """Keep one kind up to date, for ever."""
        kind = path.rpartition("/")[2]
        while True:
            try:
                listed = json.loads(b"".join(self._get(path)))
                world.replace(kind, listed["items"])
                version = listed["metadata"]["resourceVersion"]
                for line in self._get(f"{path}?watch=1&resourceVersion={version}"):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    world.change(kind, event)
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                print(f"{kind}: {error!r}, listing again", flush=True)
            time.sleep(RELIST_DELAY_S)

    def send(self, method: str, path: str, body: Json | None = None) -> int:
        """Send one request and give the status of its answer."""
        connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=30)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(
                method, path, body=json.dumps(body) if body else None, headers=headers
            )
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def _get(self, path: str) -> Iterator[bytes]:
        connection = http.client.HTTPSConnection(self.host, context=self.context)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                raise OSError(f"GET {path}: {answer.status}")
            yield from answer
        finally:
            connection.close()


def follow_addresses(world: World) -> None:
    """Keep the pods' addresses up to date from the network plugin's cache, for ever."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(0)
    mask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE
    if watch < 0 or libc.inotify_add_watch(watch, str(RESULTS).encode(), mask) < 0:
        raise OSError(ctypes.get_errno(), "inotify")
    while True:
        found = {}
        for file in RESULTS.glob("seatrial-*"):
            try:
                result = json.loads(file.read_text())
                uid = dict(result["cniArgs"])["K8S_POD_UID"]
                found[uid] = result["result"]["ips"][0]["address"].partition("/")[0]
            except (FileNotFoundError, ValueError, KeyError, IndexError):
                continue  # being written or removed: its own event follows
        if found != world.addresses:
            world.addresses = found
            world.changed.set()
        os.read(watch, 65536)


def enforce(world: World, empty: str) -> None:
    """Bring the rules up to date whenever they would read differently, for ever."""
    current: Rules | None = None
    while True:
        world.changed.wait()
        time.sleep(SETTLE_S)
        world.changed.clear()
        wanted = world.rules()
        script = changes(current or Rules(), wanted)
        if current is None:
            script = empty + script
        if script and (problem := _nft(script)):
            print(f"nft refused, making the table anew: {problem}\n{script}", flush=True)
            world.changed.set()
            current = None
            time.sleep(RELIST_DELAY_S)
            continue
        current = wanted


def _nft(script: str) -> str:
    done = subprocess.run(
        ["nft", "-f", "-"], input=script, capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""


def end_all(problem: threading.ExceptHookArgs) -> None:
    """A watch that has ended would leave old rules in force: end, and be started again."""
    print(f"a watch ended: {problem.exc_value!r}", flush=True)
    os._exit(1)


def main() -> None:
    """Follow everything and enforce it."""
    threading.excepthook = end_all
    settings = json.loads(Path(sys.argv[1]).read_text())
    api, world = Api(settings["url"], Path(settings["pki"])), World()
    paths = (
        "/api/v1/namespaces",
        "/api/v1/pods",
        "/apis/networking.k8s.io/v1/networkpolicies",
    )
    threads = [threading.Thread(target=api.follow, args=(world, path)) for path in paths]
    threads.append(threading.Thread(target=follow_addresses, args=(world,)))
    for thread in threads:
        thread.daemon = True
        thread.start()
    os.nice(NICENESS)
    enforce(world, whole_table(settings["pods"], settings["dns"]))


if __name__ == "__main__":
    main()
