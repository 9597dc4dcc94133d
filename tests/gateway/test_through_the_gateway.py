"""The whole way: a client, the gateway's processes, the real Envoy beside it, and a service."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from seatrial.api.faults import Fault

from tests.support.envoy_process import EnvoyProcess, a_listener, an_http_fault
from tests.support.gateway_process import Gateway
from tests.support.http_origin import HttpOrigin
from tests.support.postgres import client, postgres, seconds_of

Json = dict[str, Any]


@dataclass
class Whole:
    """A gateway with orders behind it, through Envoy."""

    origin: HttpOrigin
    envoy: EnvoyProcess
    gateway: Gateway

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.ports['orders']}"

    async def put(self, name: str, for_s: float = 30.0, **more: Any) -> Json:
        fault = self.envoy.faults[name]
        assert fault.http is not None
        params = fault.http.model_dump(mode="json", by_alias=True, exclude_none=True)
        return await asyncio.to_thread(self.gateway.put, name, "http", for_s, params=params, **more)

    async def report(self, name: str) -> Json:
        return await asyncio.to_thread(self.gateway.report, name)


@asynccontextmanager
async def whole(
    directory: Path,
    *faults: Fault,
    sources: tuple[str, ...] = (),
    python_path: Path | None = None,
) -> AsyncIterator[Whole]:
    async with HttpOrigin() as origin:
        listener = a_listener(origin.port, sources=sources)
        envoy = EnvoyProcess(directory, faults, [listener])
        envoy.launch()
        gateway = Gateway(
            {"orders": origin.port},
            envoy={"orders": listener["envoy"]} if listener["envoy"] else {},
            http_faults=list(envoy.faults),
            envoy_directory=directory,
            envoy_admin_port=envoy.admin_port,
            log=directory / "gateway.log",
            python_path=python_path,
        )
        try:
            await asyncio.to_thread(gateway.__enter__)
            try:
                yield Whole(origin, envoy, gateway)
            finally:
                await asyncio.to_thread(gateway.__exit__)
        finally:
            envoy.kill()


FAILS = an_http_fault("fails", abort={"status": 503})


async def test_an_order_by_the_control_interface_is_met_and_reported(tmp_path: Path) -> None:
    async with whole(tmp_path, FAILS) as all_, httpx.AsyncClient(base_url=all_.url) as user:
        before = await user.get("/")
        put = await all_.put("fails", for_s=1.0)
        during = [(await user.get("/")).status_code for _ in range(3)]
        await asyncio.sleep(1.05)
        after = await user.get("/")
        report = await all_.report("fails")

        assert put["state"] == "active"
        assert (before.text, during, after.text) == ("hello", [503] * 3, "hello")
        assert (report["state"], report["endedBy"], report["hits"]) == ("ended", "deadline", 3)


async def test_a_source_is_told_apart_by_its_address(tmp_path: Path) -> None:
    fault = an_http_fault("fails", target={"from": ["shop"]}, abort={"status": 503})

    def status(address: str) -> int:
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(transport=transport) as user:
            return user.get(all_.url).status_code

    async with whole(tmp_path, fault, sources=("shop",)) as all_:
        all_.gateway.set_sources(shop=["127.0.0.7"], web=["127.0.0.8"])
        await all_.put("fails")

        assert await asyncio.to_thread(status, "127.0.0.7") == 503
        assert await asyncio.to_thread(status, "127.0.0.8") == 200
        assert await asyncio.to_thread(status, "127.0.0.9") == 200
        assert (await all_.report("fails"))["hits"] == 1


async def test_envoy_killed_during_a_fault_leaves_nothing_on(tmp_path: Path) -> None:
    async with whole(tmp_path, FAILS) as all_:
        await all_.put("fails")
        async with httpx.AsyncClient(base_url=all_.url) as user:
            assert (await user.get("/")).status_code == 503
        all_.envoy.kill()
        killed = time.monotonic()
        report = await all_.report("fails")
        while report["state"] != "ended":
            assert time.monotonic() < killed + 5
            report = await all_.report("fails")
        all_.envoy.launch()
        await asyncio.to_thread(all_.gateway.wait_until_ready)
        async with httpx.AsyncClient(base_url=all_.url) as user:
            after = await user.get("/")

        assert (report["endedBy"], report["hits"]) == (None, 1)
        assert after.text == "hello"
        assert (await all_.put("fails"))["state"] == "active"  # and it can be had again


@pytest.mark.parametrize(
    "http", [{"abort": {"status": 503}}, {"body": {"replace": ""}}, {"delay": "1m"}], ids=str
)
async def test_a_controller_killed_during_a_fault_leaves_nothing_on(
    tmp_path: Path, http: Json
) -> None:
    fault = an_http_fault("odd", **http)
    async with whole(tmp_path, fault) as all_:
        boot = (await all_.put("odd"))["boot"]
        await asyncio.to_thread(all_.gateway.kill, all_.gateway.children["controller"])
        await asyncio.to_thread(all_.gateway.wait_until_ready)
        begun = time.monotonic()
        async with httpx.AsyncClient(base_url=all_.url) as user:
            after = await user.get("/")
        abilities = (await asyncio.to_thread(all_.gateway.client.get, "/v1/abilities")).json()

        assert (after.status_code, after.text) == (200, "hello")
        assert time.monotonic() - begun < 5
        assert abilities["boot"] != boot
        assert abilities["abilities"]["http"] == ""


# Loading the controller takes as long as on a machine that has other things to do.
SLOWLY = """
import sys, time

class Slowly:
    def find_spec(self, name, path=None, target=None):
        if name == "seatrial_runner.gateway.controller":
            time.sleep(1.5)

sys.meta_path.insert(0, Slowly())
"""


async def test_a_fault_is_off_before_the_heir_of_a_killed_controller_is_loaded(
    tmp_path: Path,
) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sitecustomize.py").write_text(SLOWLY)
    slowly = whole(tmp_path, FAILS, python_path=tmp_path / "python")
    async with slowly as all_, httpx.AsyncClient(base_url=all_.url) as user:
        boot = (await all_.put("fails"))["boot"]
        assert (await user.get("/")).status_code == 503
        begun = time.monotonic()
        all_.gateway.kill(all_.gateway.children["controller"])
        while (await user.get("/")).status_code == 503:
            assert time.monotonic() - begun < 5
        took = time.monotonic() - begun
        everything: Json = (await asyncio.to_thread(all_.gateway.client.get, "/v1/faults")).json()

        assert took < 0.5
        # A new boot says that it has ended early, and by nobody's order.
        assert (everything["boot"] != boot, everything["faults"]) == (True, [])


async def test_a_port_that_refuses_does_so_while_envoy_is_killed_and_made_anew(
    tmp_path: Path,
) -> None:
    async with whole(tmp_path, FAILS) as all_:
        await all_.put("fails")
        await asyncio.to_thread(all_.gateway.put, "closed", "refuse")
        port = all_.gateway.ports["orders"]

        async def through(until: float) -> int:
            """Count the connections that got through."""
            count = 0
            while time.monotonic() < until:
                with contextlib.suppress(ConnectionRefusedError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    count += 1
                await asyncio.sleep(0.001)
            return count

        assert await through(time.monotonic() + 0.1) == 0
        all_.envoy.kill()
        assert await through(time.monotonic() + 1.0) == 0
        all_.envoy.launch()
        assert await through(time.monotonic() + 2.0) == 0
        closed, fails = await all_.report("closed"), await all_.report("fails")

        assert (closed["state"], fails["state"], fails["endedBy"]) == ("active", "ended", None)
        assert closed["hits"] >= 10


async def test_a_fault_of_the_network_and_one_of_http_are_met_together(tmp_path: Path) -> None:
    async with whole(tmp_path, FAILS) as all_, httpx.AsyncClient(base_url=all_.url) as user:
        await all_.put("fails")
        params = {"delay": "100ms", "direction": "request"}
        await asyncio.to_thread(all_.gateway.put, "late", "latency", params=params)
        begun = time.monotonic()
        answer = await user.get("/")

        assert answer.status_code == 503
        assert time.monotonic() - begun >= 0.1


# PostgreSQL --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[int]:
    with postgres() as port:
        client(port, "pgbench", "-i", "-q", "-s", "1")
        yield port


@contextlib.contextmanager
def the_way(kind: str, database: int, directory: Path) -> Iterator[int]:
    """Lead to the database: by layer 4 alone, with a fault for others, or also through Envoy."""
    if kind != "through-envoy":
        with Gateway({"db": database, "other": database}) as gateway:
            if kind == "with-faults-elsewhere":
                elsewhere = [{"service": "other", "port": None, "sources": None}]
                gateway.put("slow", "latency", params={"delay": "1s"}, paths=elsewhere)
                gateway.put("odd", "corrupt", params={}, paths=elsewhere)
            yield gateway.ports["db"]
        return
    listener = a_listener(database)
    assert listener["envoy"] is not None
    envoy = EnvoyProcess(directory, [FAILS], [listener])
    envoy.launch()
    try:
        with Gateway(
            {"db": database},
            envoy={"db": listener["envoy"]},
            http_faults=["fails"],
            envoy_directory=directory,
            envoy_admin_port=envoy.admin_port,
        ) as gateway:
            gateway.put("fails", "http", params={"abort": {"status": 503}})
            yield gateway.ports["db"]
    finally:
        envoy.kill()


WAYS = ["layer-4", "with-faults-elsewhere", "through-envoy"]


@pytest.mark.parametrize("kind", WAYS)
def test_pgbench_runs_without_an_error(database: int, kind: str, tmp_path: Path) -> None:
    with the_way(kind, database, tmp_path) as port:
        said = client(port, "pgbench", "-c", "8", "-t", "100", "-n").decode()
        # A new connection for each transaction.
        anew = client(port, "pgbench", "-C", "-c", "4", "-t", "25", "-n", "-S").decode()

    assert "number of transactions actually processed: 800/800" in said
    assert "number of failed transactions: 0 (0.000%)" in said
    assert "number of transactions actually processed: 100/100" in anew


@pytest.mark.parametrize("kind", WAYS)
def test_a_long_copy_arrives_whole_in_both_directions(
    database: int, kind: str, tmp_path: Path
) -> None:
    rows = b"".join(b"%d\t%s\n" % (n, os.urandom(100).hex().encode()) for n in range(100_000))
    with the_way(kind, database, tmp_path) as port:
        client(port, "psql", "-c", "drop table if exists long; create table long (n int, t text)")
        client(port, "psql", "-c", "copy long from stdin", stdin=rows)
        copied = client(port, "psql", "-c", "copy (select * from long order by n) to stdout")

    assert len(rows) > 20_000_000
    assert hashlib.sha256(copied).digest() == hashlib.sha256(rows).digest()


def test_a_database_is_slow_while_the_fault_lasts_and_no_longer(database: int) -> None:
    with Gateway({"db": database}) as gateway:
        port = gateway.ports["db"]
        before = seconds_of(port, "select 1")
        gateway.put("slow", "latency", params={"delay": "500ms"})
        during = seconds_of(port, "select 1")
        gateway.delete("slow")
        after = seconds_of(port, "select 1")

    assert max(before, after) < 1.5 <= during  # at least three ways there and back
