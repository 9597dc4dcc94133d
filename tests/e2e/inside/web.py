"""A service of each protocol: ``web.py http|tls|websocket|grpc PORT``; what steps are tried on."""

from __future__ import annotations

import json
import os
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GRAPHQL: Any = "graphql-transport-ws"
TOKEN = "good-token"


def notify(payment: dict[str, Any]) -> None:
    """Call back until somebody says that all is well."""
    body = json.dumps(payment).encode()
    headers = {"Content-Type": "application/json", "X-Signature": "signed"}
    for _ in range(50):
        request = urllib.request.Request(payment["notify"], body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def say(self, status: int, document: Any, kind: str = "application/json") -> None:
        body = json.dumps(document).encode() if kind == "application/json" else document
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/events":
            events = [b"data: %d\n\n" % n for n in range(3)]
            self.say(200, b"".join(events), "text/event-stream")
        else:
            self.say(200, {"ok": True})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type", "")
        if self.path == "/token":
            wrong = self.headers.get("Authorization", "") != "Basic c2hvcDpzZWNyZXQ="
            answer = {"error": "invalid_client"} if wrong else {"access_token": "good-token"}
            self.say(401 if wrong else 200, answer)
        elif self.path == "/pay":
            asked = json.loads(body)
            payment = {"id": asked["id"], "notify": asked.get("notify") or os.environ["NOTIFY_URL"]}
            threading.Thread(target=notify, args=(payment,)).start()
            self.say(202, payment)
        elif self.path == "/graphql":
            asked = json.loads(body)
            self.say(200, {"data": {"order": {"id": asked["variables"]["id"]}}})
        else:
            self.say(200, {"kind": kind.partition(";")[0], "size": len(body)})

    def do_PROPFIND(self) -> None:
        good = self.headers.get("Authorization") == "Bearer good-token"
        self.say(207 if good else 401, {})


def serve_http(port: int, tls: ssl.SSLContext | None = None) -> None:
    server = ThreadingHTTPServer(("", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    server.serve_forever()


def serve_tls(port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(os.environ["TLS_CERT"] + os.environ["TLS_KEY"])
        file.flush()
        context.load_cert_chain(file.name)
    context.load_verify_locations(cadata=os.environ["TLS_CLIENTS"])
    context.verify_mode = ssl.CERT_REQUIRED
    serve_http(port, context)


def serve_websocket(port: int) -> None:
    from websockets.sync.server import ServerConnection, serve

    def chat(connection: ServerConnection) -> None:
        if connection.subprotocol == GRAPHQL:
            return answer_subscriptions(connection)
        for message in connection:
            connection.send(message)

    # Without one of them it is plain text that comes back.
    serve(chat, "", port, subprotocols=[GRAPHQL], select_subprotocol=choose).serve_forever()


def choose(_: Any, offered: list[Any]) -> Any:
    return GRAPHQL if GRAPHQL in offered else None


def answer_subscriptions(connection: Any) -> None:
    """Tell of an order as far as it goes; of any other, that there is none."""
    assert json.loads(connection.recv())["type"] == "connection_init"
    connection.send(json.dumps({"type": "connection_ack"}))
    asked = json.loads(connection.recv())
    order = asked["payload"]["variables"]["id"]

    def say(kind: str, **more: Any) -> None:
        connection.send(json.dumps({"id": asked["id"], "type": kind, **more}))

    if order != "o-1":
        return say("error", payload=[{"message": f"there is no order {order}"}])
    for status in ("NEW", "PAID", "SHIPPED"):
        connection.send(json.dumps({"type": "ping"}))
        assert json.loads(connection.recv())["type"] == "pong"
        say("next", payload={"data": {"order": {"id": order, "status": status}}})
    say("complete")


def serve_grpc(port: int) -> None:
    from concurrent import futures

    import grpc
    import grpc_shop
    from grpc_reflection.v1alpha import reflection

    server = grpc.server(futures.ThreadPoolExecutor(8))
    types = grpc_shop.pool()
    server.add_generic_rpc_handlers((grpc_shop.Shop(types, token=TOKEN),))
    names = (grpc_shop.SERVICE, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=types)
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    roles = {
        "http": serve_http,
        "tls": serve_tls,
        "websocket": serve_websocket,
        "grpc": serve_grpc,
    }
    roles[sys.argv[1]](int(sys.argv[2]))
