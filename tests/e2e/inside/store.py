"""Keeps orders in memory; one is paid when it was looked at five times. For ``flow.yaml``."""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ORDERS: dict[str, dict[str, object]] = {}
LOCK = threading.Lock()
# Looks, not seconds: how fast the tester is says nothing of what it sees.
PAID_AFTER = 5


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        asked = json.loads(self.rfile.read(size) or b"{}")
        with LOCK:
            order = {**asked, "id": f"o-{len(ORDERS) + 1}-{time.monotonic_ns()}"}
            ORDERS[str(order["id"])] = {**order, "looks": 0}
        self.answer(201, order)

    def do_GET(self) -> None:
        with LOCK:
            orders = list(ORDERS.values())
            found = [each for each in orders if self.path == f"/orders/{each['id']}"]
            for each in found:
                each["looks"] = int(str(each["looks"])) + 1
        if self.path == "/orders":
            self.answer(200, [each["id"] for each in orders])
        elif found:
            order = dict(found[0])
            paid = int(str(order.pop("looks"))) > PAID_AFTER
            self.answer(200, {**order, "status": "paid" if paid else "new"})
        else:
            self.answer(404, {"error": "no such order"})

    def do_DELETE(self) -> None:
        with LOCK:
            gone = ORDERS.pop(self.path.rpartition("/")[2], None)
        self.answer(200 if gone else 404, {})

    def answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        pass


ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
