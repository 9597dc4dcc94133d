"""Counts its requests, says so in its log, and exposes the count to Prometheus."""

import http.server
import json
import os
import signal
import socket
import threading

# A pod is taken out of its Service while it is told to stop, not before: requests still come.
LAME_DUCK_S = 6.0

count = 0
is_broken = False


def say(line):
    # NB: print writes the end of a line by itself, so those of two requests may get into one.
    os.write(1, f"{line}\n".encode())


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        if self.path == "/metrics":
            body = f'# TYPE visits_total counter\nvisits_total{{path="/"}} {count}\n'
        elif self.path == "/crash":
            body = "bye"
            say("last words")
            threading.Timer(2, os._exit, [3]).start()  # once it has answered
        else:
            count += 1
            body = f"{os.environ.get('VERSION', '1')} {socket.gethostname()}"
            say(json.dumps({"visit": count}))
        self.send_response(503 if is_broken else 200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


def stop(*_):
    global is_broken
    is_broken = os.environ.get("STOPS") == "at once"
    threading.Timer(LAME_DUCK_S, os._exit, [0]).start()


signal.signal(signal.SIGTERM, stop)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
