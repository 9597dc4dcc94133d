"""The gateway where it stands: what leads to it, who may speak to it, what becomes of it."""

from __future__ import annotations

from tests.e2e.conftest import Desk

SHOP = "docker.io/seatrial/shop:1"
GATEWAY = "seatrial.dev/component=gateway"
# Two pods, a named target port, another port for clients than that of the pods.
WEB = f"""
- name: web
  manifests:
    inline: |
      apiVersion: v1
      kind: Service
      metadata: {{name: web, annotations: {{team: shop}}}}
      spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: web}}]}}
      ---
      apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: web}}
      spec:
        replicas: 2
        selector: {{matchLabels: {{app: web}}}}
        template:
          metadata: {{labels: {{app: web}}}}
          spec:
            securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
            containers:
            - name: web
              image: "{SHOP}"
              command: [python3, -m, http.server, --directory, /app, "8080"]
              ports: [{{name: web, containerPort: 8080}}]
              readinessProbe: {{tcpSocket: {{port: web}}, periodSeconds: 1}}
              securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"""
PROBE = """
import socket, sys, time

def is_open(host, port, timeout=2):
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError:
        return False
    return True

def stays_open(host, port, seconds):
    end = time.monotonic() + seconds  # a node may learn of a policy after its pods
    while is_open(host, port):
        if time.monotonic() > end:
            return True
        time.sleep(0.2)
    return False

found = [port for port in (7778, 7779) if stays_open("seatrial-gateway", port, 60)]
found += [] if is_open("web", 80, 20) else ["web cannot be reached"]
sys.exit(f"open: {found}" if found else None)
"""


def indented(text: str, by: int) -> str:
    return text.strip().replace("\n", "\n" + " " * by)


def test_a_carried_service_is_reached_and_the_gateway_s_control_is_not(desk: Desk) -> None:
    run = desk.run(
        "placed",
        f"""
services: {WEB}
faults:
- {{name: slow, target: {{service: web}}, latency: {{delay: 100ms}}, for: 1m, when: {{test: slow}}}}
tests:
- name: probe
  container:
    image: {SHOP}
    command: [python3, /probe/probe.py]
    files:
      /probe/probe.py: |
        {indented(PROBE, 8)}
- name: slow
  scenario:
  - http: {{get: "http://web/"}}
    expect: ["response.status == 200", "response.elapsed > duration('100ms')"]
""",
    )
    status = run.in_phase("Running")
    environment, cluster = status["namespace"], run.cluster
    services = {
        each["metadata"]["name"]: each
        for each in cluster.items(f"/api/v1/namespaces/{environment}/services")
    }
    assert services["web"]["metadata"]["annotations"] == {"team": "shop"}
    assert services["web"]["spec"]["ports"][0]["port"] == 80
    assert services["seatrial-direct-web"]["spec"]["ports"][0]["targetPort"] == "web"
    assert run.finished()["verdict"] == "Passed", run.get()["status"]


def test_a_gateway_that_is_deleted_is_there_again_without_the_operator(desk: Desk) -> None:
    run = desk.run(
        "again",
        f"""
services: {WEB}
faults:
- {{name: slow, target: {{service: web}}, latency: {{delay: 50ms}}, for: 5s, when: {{test: last}}}}
tests:
- name: long
  scenario:
  - http: {{get: "http://web/gone"}}
    eventually: {{within: 20s}}
    expect: ["response.status == 404", "response.elapsed > duration('1h')"]
- name: last
  scenario:
  - http: {{get: "http://web/"}}
    eventually: {{within: 20s}}
    expect: ["response.status == 200"]
""",
    )
    environment, cluster = run.in_phase("Running")["namespace"], run.cluster
    run.change(suspend=True)  # the last test waits until the other gateway is there
    pods = f"/api/v1/namespaces/{environment}/pods"
    (before,) = cluster.items(pods, labelSelector=GATEWAY)
    cluster.delete(f"{pods}/{before['metadata']['name']}")

    def is_another(items: list[dict[str, object]]) -> bool:
        return any(
            each["metadata"]["uid"] != before["metadata"]["uid"]  # type: ignore[index]
            and any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in each["status"].get("conditions", [])  # type: ignore[attr-defined]
            )
            for each in items
        )

    cluster.wait(pods, is_another, "another gateway is ready", 120, labelSelector=GATEWAY)
    run.change(suspend=False)
    status = run.finished()
    (fault,) = status["faults"]
    assert (fault["state"], fault["hits"] > 0) == ("Recovered", True), status["message"]


def test_what_is_on_a_volume_outlives_the_pod(desk: Desk) -> None:
    run = desk.run(
        "kept",
        f"""
services:
- name: store
  image: {SHOP}
  command: [python3, /srv/store.py]
  ports: [{{name: http, port: 8080}}]
  volumes: [{{path: /data, size: 16Mi}}]
  files:
    /srv/store.py: |
      import http.server, pathlib
      class Store(http.server.BaseHTTPRequestHandler):
          def do_GET(self):
              kept = pathlib.Path("/data/kept")
              self.send_response(200 if kept.exists() else 404)
              self.end_headers()
          def do_PUT(self):
              pathlib.Path("/data/kept").write_text("x")
              self.send_response(201)
              self.end_headers()
      http.server.ThreadingHTTPServer(("", 8080), Store).serve_forever()
faults:
- {{name: lost, target: {{service: store}}, kill: {{}}, when: {{test: kept}}}}
tests:
- name: write
  scenario:
  - http: {{put: "http://store:8080/"}}
    expect: ["response.status == 201"]
- name: kept
  scenario:
  - http: {{get: "http://store:8080/"}}
    eventually: {{within: 30s}}
    expect: ["response.status == 200"]
""",
    )
    assert run.finished()["verdict"] == "Passed", run.get()["status"]
