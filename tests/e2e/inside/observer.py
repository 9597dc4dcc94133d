"""
Looks at every kind of fault from outside, all the time, and prints what it saw.

``WATCHED`` is JSON: for each fault ``{"look": one of LOOKS, "host", "port", "clean": port}``, where
``clean`` is a port of the same host that no fault disturbs; ``BYSTANDER`` is the HOST:PORT of a
service that none does, which is as slow as the machine; ``WATCH_S`` is how long at least, and
longer while the conductor says that faults are to come. A look begins every fifth of a second. The
line with ``SEEN`` has, for each fault, the spans in which it was seen (when the first look that saw
it *ended* and the last one *began*: between, it was there for certain), and when a look did not see
it.
"""

import asyncio
import json
import os
import socket
import struct
import threading
import time
from contextlib import suppress

import httpx

EVERY_S = 0.2
TAIL_S = 2.0  # after the last fault is over
MOST_S = 80.0
NOT_OVER = ("Pending", "Requested", "Active", "Reverted")
GAP_S = 1.0  # without a look that counts, nobody knows what was there
PATIENCE_S = 0.8  # less than any fault takes, more than a busy machine does


class AwayError(Exception):
    """Nobody is there: that is not the fault's doing."""


async def connect(host, port):
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.open_connection(host, port)
    except (TimeoutError, OSError) as error:
        raise AwayError(str(error)) from None


async def ask(host, port, first, data=b"", count=0, patience_s=PATIENCE_S):
    """Give what came within the patience, and whether the end came."""
    reader, writer = await connect(host, port)
    got = bytearray()
    try:
        writer.write(first + data)
        async with asyncio.timeout(patience_s):
            while len(got) < count or not count:
                chunk = await reader.read(65536)
                if not chunk:
                    return bytes(got), True
                got += chunk
    except TimeoutError:
        return bytes(got), False
    finally:
        writer.close()
    return bytes(got), False


async def echo(host, port):
    answer, ended = await ask(host, port, b"echo\n", b"0123456789" * 10, 100)
    if ended:
        raise AwayError("closed")
    return answer


async def silent(host, port, clean):
    """Nothing comes back, although the connection is there."""
    return len(await echo(host, port)) < 100


async def changed(host, port, clean):
    answer = await echo(host, port)
    return len(answer) == 100 and answer != b"0123456789" * 10


async def resets(host, port, clean):
    try:
        await echo(host, port)
    except ConnectionResetError:
        return True
    return False


async def refuses(host, port, clean):
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        # Twice, because a gateway that is gone refuses everything, but not all at one moment.
        for pause_s in (0.0, 0.3):
            await asyncio.sleep(pause_s)
            _, other = await connect(host, clean)
            other.close()
        return True
    writer.close()
    return False


async def trickles(host, port, clean):
    answer, ended = await ask(host, port, b"send 32768\n", count=32768)
    if ended:
        raise AwayError("closed")
    return len(answer) < 32768


async def lingers(host, port, clean):
    """The end does not come, although the answer did."""
    answer, ended = await ask(host, port, b"close\n")
    if not answer:
        raise AwayError("no answer")
    return not ended


async def request(host, port, path=b"/", patience_s=PATIENCE_S, more=b""):
    head = b"GET " + path + b" HTTP/1.1\r\nhost: web\r\nconnection: close\r\n" + more + b"\r\n"
    return await ask(host, port, head, patience_s=patience_s)


async def aborts(host, port, clean):
    answer, _ = await request(host, port)
    if not answer:
        raise AwayError("no answer")
    return answer.startswith(b"HTTP/1.1 503") and b"fault filter abort" in answer


async def delays(host, port, clean):
    """The answer comes, and later than a busy machine would make it."""
    began = time.monotonic()
    answer, _ = await request(host, port, patience_s=4.0)
    if not answer:
        raise AwayError("no answer")
    return time.monotonic() - began >= 1.8


async def slow_body(host, port, clean):
    answer, ended = await request(host, port, b"/bytes/32768")
    if not answer or (ended and len(answer) < 32768):
        raise AwayError("closed, or no answer")
    return not ended


async def other_body(host, port, clean):
    answer, ended = await request(host, port)
    if not ended:
        raise AwayError("no answer")
    return b"<html>not JSON</html>" in answer


async def grpc_aborts(host, port, clean):
    more = b"content-type: application/grpc\r\nte: trailers\r\n"
    answer, _ = await request(host, port, more=more)
    if not answer:
        raise AwayError("no answer")
    return b"grpc-status: 14" in answer.lower()


async def cut_short(host, port, clean):
    answer, _ = await request(host, port, b"/bytes/1000")
    head, _, body = answer.partition(b"\r\n\r\n")
    if not body:
        raise AwayError("no answer")
    return b"content-length: 1000" in head.lower() and len(body) <= 10


async def other_type(host, port, clean):
    answer, _ = await request(host, port)
    if not answer:
        raise AwayError("no answer")
    return b"content-type: text/html" in answer.lower()


async def command(host, port, text):
    answer, ended = await ask(host, port, text.encode() + b"\n")
    if not ended:
        raise TimeoutError
    return answer.decode().strip()


async def dead(host, port, clean):
    """Neither connections nor answers."""
    try:
        return not await command(host, port, "who")
    except (AwayError, TimeoutError, OSError):
        return True


async def unnamed(host, port, clean):
    return (await command(host, port, "look seatrial-conductor")).startswith("error")


async def misled(host, port, clean):
    return await command(host, port, "look seatrial-conductor") == "192.0.2.7"


async def unanswered(host, port, clean):
    return await command(host, port, "ask kubernetes.default") == "silence"


def segments_sent(sock):
    """Give how many segments with data were sent, those that were sent again among them."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    return struct.unpack_from("I", info, 156)[0]  # tcpi_data_segs_out, linux/tcp.h


async def odd_segments(host, port):
    """Send pieces at one go; give how many more came than were sent, and how many too early."""
    reader, writer = await connect(host, port)
    try:
        writer.write(b"segments 100\n")
        async with asyncio.timeout(3 * PATIENCE_S):
            await reader.readline()  # it counts from here on
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as sock:
                sent = segments_sent(sock)
                for _ in range(10):
                    sock.send(b"0123456789", socket.MSG_EOR)  # a segment each
                came, early = map(int, (await reader.readline()).split())
                return came - (segments_sent(sock) - sent), early
    finally:
        writer.close()


async def doubled(host, port, clean):
    twice, _ = await odd_segments(host, port)
    return twice > 3


async def overtaken(host, port, clean):
    _, early = await odd_segments(host, port)
    return early > 1


async def full(host, port, clean):
    return int(await command(host, port, "free /data")) < 1_000_000


async def usage(host, port):
    memory, cpu = (await command(host, port, "usage")).split()
    return int(memory), float(cpu)


def idle_time():
    """The node's, in seconds, of all CPUs."""
    with open("/proc/stat") as file:
        return int(file.readline().split()[4]) / os.sysconf("SC_CLK_TCK")


async def computes(host, port, clean):
    """More CPU time is used than the service takes by itself."""
    began, idle, (_, before) = time.monotonic(), idle_time(), await usage(host, port)
    await asyncio.sleep(0.7)  # less than EDGE_S of killed.py; on a busy node it comes in bursts
    _, after = await usage(host, port)
    took = time.monotonic() - began
    if (after - before) / took > 0.15:
        return True
    if idle_time() - idle < 0.3 * took:
        return None  # others need all of the node: who wants to compute cannot
    return False


async def swells(host, port, clean):
    memory, _ = await usage(host, port)
    return memory > 80 * 1024 * 1024


LOOKS = {
    "latency": silent,
    "blackhole": silent,
    "refuse": refuses,
    "reset": resets,
    "bandwidth": trickles,
    "slowClose": lingers,
    "connectionLimit": silent,
    "corrupt": changed,
    "partition": silent,
    "abort": aborts,
    "delay": delays,
    "rate": slow_body,
    "body": other_body,
    "grpcStatus": grpc_aborts,
    "truncate": cut_short,
    "contentType": other_type,
    "lost": dead,
    "late": dead,
    "damaged": dead,
    "twice": doubled,
    "overtaken": overtaken,
    "freeze": dead,
    "nxdomain": unnamed,
    "unanswered": unanswered,
    "elsewhere": misled,
    "disk": full,
    "cpu": computes,
    "memory": swells,
}


class Watch:
    """What was seen of one fault."""

    def __init__(self, entry):
        self.look = LOOKS[entry["look"]]
        self.where = (entry["host"], entry["port"], entry.get("clean"))
        self.looks = []  # when a look began and ended, and whether it saw it (None: cannot tell)

    async def look_once(self, is_quick):
        """Look; what was seen while a service that no fault hits was slow, too, does not count."""
        began = time.time()
        try:
            seen = await self.look(*self.where)
        except (AwayError, TimeoutError, OSError, ValueError):
            return
        if not seen or await is_quick:
            self.looks.append((began, time.time(), seen))

    def spans(self):
        """Give when it was seen; one look between others that did not is no end, a gap is one."""
        spans, unseen = [], 2
        for began, ended, seen in sorted(self.looks):
            if not seen:
                unseen += 1
                continue
            if unseen >= 2 or began - spans[-1][1] > GAP_S:
                spans.append([ended, began])
            spans[-1][1] = began
            unseen = 0
        # One that was seen once was there at some moment of that look.
        return [[min(first, last), last] for first, last in spans]


async def quick(host, port):
    """Tell whether a service that no fault hits answers as fast as it should."""
    try:
        return (await command(host, port, "who")) != ""
    except (AwayError, TimeoutError, OSError):
        return False


async def watch_all(watches, bystander, seconds, over):
    began, tick, tasks = time.monotonic(), time.monotonic(), set()
    end = began + seconds
    while tick < end:
        if not over.is_set():
            end = max(end, min(tick + TAIL_S, began + MOST_S))
        is_quick = asyncio.create_task(quick(*bystander))
        for watch in watches.values():
            task = asyncio.create_task(watch.look_once(is_quick))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        tick += EVERY_S
        await asyncio.sleep(max(tick - time.monotonic(), 0))
    await asyncio.gather(*tasks)


def look_until_over(faults, names, over):
    """Ask the conductor, which may be away, until it says of every fault that it is over."""
    while True:
        with suppress(Exception):
            if not any(faults(name).status()["state"] in NOT_OVER for name in names):
                over.set()
                return
        time.sleep(1.0)


def keep_asking(http, urls, ended):
    """Send requests to services whose faults are made through the API: they are to be met."""
    while not ended.wait(0.2):
        for url in urls:
            try:
                http.get(url, timeout=0.5, headers={"connection": "close"})
            except httpx.HTTPError:
                continue


def test_watch(http, faults):
    watched = json.loads(os.environ["WATCHED"])
    watches = {name: Watch(entry) for name, entry in watched.items() if entry.get("look")}
    bystander = os.environ["BYSTANDER"].split(":")
    urls = [entry["url"] for entry in watched.values() if entry.get("url")]
    ended = threading.Event()
    asking = threading.Thread(target=keep_asking, args=(http, urls, ended))
    asking.start()
    over = threading.Event()
    threading.Thread(target=look_until_over, args=(faults, watched, over), daemon=True).start()
    try:
        asyncio.run(watch_all(watches, bystander, float(os.environ["WATCH_S"]), over))
    finally:
        ended.set()
        asking.join()
    seen = {
        name: {
            "spans": watch.spans(),
            "clear": [round(began, 2) for began, _, seen in watch.looks if seen is False],
        }
        for name, watch in watches.items()
    }
    print("SEEN", json.dumps(seen), flush=True)
