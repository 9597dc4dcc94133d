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
    ask NAME          asks the name server once; answers whether it answers within 0.4 s
    segments N        answers once; when N bytes have come, how many segments with data came since,
                      and how many of them before their turn
    free PATH         answers how many bytes are free there
    usage             answers bytes of memory and seconds of CPU of the container

``UDP_PORTS``: each datagram comes back as it is.
``HTTP_PORTS``: HTTP/1.1. ``/bytes/N`` answers N bytes, anything else JSON that says who answers.
``TLS_PORT``: HTTP over TLS, with the certificate in ``TLS_FOLDER``.
"""

import asyncio
import json
import os
import shutil
import socket
import ssl
import struct
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


def lines(path, word):
    """Give the words of each line of a file that begins with this one."""
    found = (each.split() for each in Path(path).read_text().splitlines())
    return [words for words in found if words[:1] == [word]]


async def ask(name):
    [[_, server], *_] = lines("/etc/resolv.conf", "nameserver")
    question = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    message = os.urandom(2) + bytes.fromhex("01000001000000000000") + question + b"\0\0\1\0\1"
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((server, 53))
        await loop.sock_sendall(sock, message)
        try:
            async with asyncio.timeout(0.4):
                await loop.sock_recv(sock, 512)
        except TimeoutError:
            return "silence"
    return "answer"


def segments(writer):
    """Give how many segments with data have come in a connection, and how many too early."""
    sock = writer.get_extra_info("socket")
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    # tcpi_data_segs_in and tcpi_rcv_ooopack of struct tcp_info, linux/tcp.h
    return [struct.unpack_from("I", info, at)[0] for at in (152, 224)]


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
        case "ask":
            answer = (await ask(words[0])).encode()
        case "segments":
            all_before, early_before = segments(writer)
            writer.write(b"go\n")
            await reader.readexactly(int(words[0]))
            await asyncio.sleep(0.02)  # what comes twice may come later
            came, early = segments(writer)
            answer = f"{came - all_before} {early - early_before}".encode()
        case "look":
            answer = (await look(words[0])).encode()
    if answer is not None:
        writer.write(answer + b"\n")
        await writer.drain()


async def serve(reader, writer):
    with suppress(OSError, ValueError, EOFError):
        await obey(reader, writer)
    writer.close()


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


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
    servers += [
        await loop.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", int(port)))
        for port in os.environ.get("UDP_PORTS", "").split()
    ]
    ended = asyncio.Event()
    loop.add_signal_handler(15, ended.set)
    await ended.wait()
    del servers


asyncio.run(main())
