"""
A service that does what its callers say, so that they can see what happens on the way.

``WIRE_PORTS``: TCP ports. The first line of a connection says what becomes of it:

    echo              everything that follows comes back
    stamp             each further line is answered with the time of its arrival
    keep TAG          what follows is kept under the tag, and not answered
    kept TAG          answers what has been kept
    send N            answers N bytes
    close             answers the time, and closes
    dial HOST PORT    everything that follows goes to HOST:PORT, and its answers come back
    who               answers the name of the pod
    read PATH         answers the file
    write PATH TEXT   writes the file
    look NAME         answers the address of the name, or the error
    free PATH         answers how many bytes are free there
    usage             answers bytes of memory and seconds of CPU of the container

``HTTP_PORTS``: HTTP/1.1. ``/bytes/N`` answers N bytes, anything else JSON that says who answers.
``TLS_PORT``: HTTP over TLS, with the certificate in ``TLS_FOLDER``.
"""

import asyncio
import json
import os
import shutil
import socket
import ssl
import threading
import time
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME = socket.gethostname()
PATTERN = bytes(range(256)) * 256
kept: dict[str, bytearray] = defaultdict(bytearray)


def content(path):
    return Path(path).read_bytes() if Path(path).exists() else b"(nothing)"


def write(path, text):
    Path(path).write_text(text)


def usage():
    memory, cpu = Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/cpu.stat")
    if memory.exists():
        used = next(each for each in cpu.read_text().splitlines() if each.startswith("usage_usec"))
        return f"{memory.read_text().strip()} {int(used.split()[1]) / 1e6}"
    memory = Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")
    cpu = Path("/sys/fs/cgroup/cpuacct/cpuacct.usage")
    return f"{memory.read_text().strip()} {int(cpu.read_text()) / 1e9}"


async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def relay(reader, writer, host, port):
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    ways = [
        asyncio.create_task(pump(reader, far_writer)),
        asyncio.create_task(pump(far_reader, writer)),
    ]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)
    far_writer.close()


async def look(name):
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, 80, family=socket.AF_INET)
    except OSError as error:
        return f"error {error}"
    return found[0][4][0]


async def obey(reader, writer):
    command, *words = (await reader.readline()).decode().split()
    answer = None
    match command:
        case "echo":
            await pump(reader, writer)
        case "stamp":
            while await reader.readline():
                writer.write(f"{time.time()!r}\n".encode())
        case "keep":
            while data := await reader.read(65536):
                kept[words[0]] += data
        case "kept":
            answer = bytes(kept[words[0]])
        case "send":
            wanted = int(words[0])
            writer.write((PATTERN * (wanted // len(PATTERN) + 1))[:wanted])
            await writer.drain()
            await reader.read()
        case "close":
            answer = repr(time.time()).encode()
        case "dial":
            await relay(reader, writer, *words)
        case "who":
            answer = NAME.encode()
        case "read":
            answer = content(words[0])
        case "write":
            write(*words)
            answer = b"written"
        case "free":
            answer = str(shutil.disk_usage(words[0]).free).encode()
        case "usage":
            answer = usage().encode()
        case "look":
            answer = (await look(words[0])).encode()
    if answer is not None:
        writer.write(answer + b"\n")
        await writer.drain()


async def serve(reader, writer):
    with suppress(OSError, ValueError, EOFError):
        await obey(reader, writer)
    writer.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        kind = "application/json"
        if self.path.startswith("/bytes/"):
            wanted = int(self.path.rpartition("/")[2])
            body, kind = (PATTERN * (wanted // len(PATTERN) + 1))[:wanted], "text/plain"
        elif self.path.startswith("/file/"):
            body = content(self.path.removeprefix("/file"))
        else:
            about = {"host": NAME, "path": self.path, "method": self.command}
            body = json.dumps({**about, "env": dict(os.environ)}).encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.do_GET()

    def log_message(self, format, *args):
        pass


def serve_http(port, folder=""):
    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    if folder:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


async def main():
    for port in os.environ.get("HTTP_PORTS", "").split():
        serve_http(int(port))
    if port := os.environ.get("TLS_PORT"):
        serve_http(int(port), os.environ["TLS_FOLDER"])
    servers = [
        await asyncio.start_server(serve, None, int(port))
        for port in os.environ.get("WIRE_PORTS", "").split()
    ]
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(15, ended.set)
    await ended.wait()
    del servers


asyncio.run(main())
