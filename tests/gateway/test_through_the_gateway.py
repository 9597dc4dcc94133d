"""The whole way: a client, the gateway's processes, the real Envoy beside it, and a service."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from seatrial.api.faults import Fault

from tests.support.envoy_process import EVERY_VARIANT, an_http_fault, every_variant
from tests.support.http_origin import HttpOrigin
from tests.support.whole import Whole, whole

Json = dict[str, Any]


@asynccontextmanager
async def serving(directory: Path, *faults: Fault, **more: Any) -> AsyncIterator[Whole]:
    """Orders that answers hello, through the gateway and Envoy."""
    async with HttpOrigin() as origin:
        with whole(directory, origin.port, *faults, **more) as all_:
            yield all_


async def report_of(all_: Whole, name: str) -> Json:
    return await asyncio.to_thread(all_.gateway.report, name)


async def report_with(all_: Whole, name: str, **facts: Any) -> Json:
    """Wait until a report says so, and give it."""
    async with asyncio.timeout(40):
        while True:
            report = await report_of(all_, name)
            if facts.items() <= report.items():
                return report


FAILS = an_http_fault("fails", abort={"status": 503})


async def test_an_order_by_the_control_interface_is_met_and_reported(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, FAILS) as all_,
        httpx.AsyncClient(base_url=all_.url, timeout=30) as user,
    ):
        before = await user.get("/")
        put = all_.put_http("fails", for_s=5.0)
        during = [(await user.get("/")).status_code for _ in range(3)]
        report = await report_with(all_, "fails", state="ended")
        after = await user.get("/")

        assert put["state"] == "active"
        assert (before.text, during, after.text) == ("hello", [503] * 3, "hello")
        assert (report["state"], report["endedBy"], report["hits"]) == ("ended", "deadline", 3)


async def test_a_source_is_told_apart_by_its_address(tmp_path: Path) -> None:
    fault = an_http_fault("fails", target={"from": ["shop"]}, abort={"status": 503})

    def status(address: str) -> int:
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(transport=transport, timeout=30) as user:
            return user.get(all_.url).status_code

    async with serving(tmp_path, fault, sources=("shop",)) as all_:
        all_.gateway.set_sources(shop=["127.0.0.7"], web=["127.0.0.8"])
        all_.put_http("fails")

        assert await asyncio.to_thread(status, "127.0.0.7") == 503
        assert await asyncio.to_thread(status, "127.0.0.8") == 200
        assert await asyncio.to_thread(status, "127.0.0.9") == 200
        assert (await report_of(all_, "fails"))["hits"] == 1


async def test_envoy_killed_during_a_fault_leaves_nothing_on(tmp_path: Path) -> None:
    async with serving(tmp_path, FAILS) as all_:
        all_.put_http("fails", for_s=120)
        async with httpx.AsyncClient(base_url=all_.url, timeout=30) as user:
            assert (await user.get("/")).status_code == 503
        await report_with(all_, "fails", hits=1)  # else its log may go with it
        all_.envoy.kill()
        report = await report_with(all_, "fails", state="ended")
        all_.envoy.launch()
        await asyncio.to_thread(all_.gateway.wait_until_ready)
        async with httpx.AsyncClient(base_url=all_.url, timeout=30) as user:
            after = await user.get("/")

        assert (report["endedBy"], report["hits"]) == (None, 1)
        assert after.text == "hello"
        assert (all_.put_http("fails"))["state"] == "active"  # and it can be had again


async def test_a_controller_killed_during_faults_leaves_nothing_on(tmp_path: Path) -> None:
    async with serving(tmp_path, *every_variant()) as all_:
        boots = {all_.put_http(name)["boot"] for name in EVERY_VARIANT}
        async with httpx.AsyncClient(base_url=all_.url, timeout=30) as user:
            assert (await user.get("/fails")).status_code == 503
        await asyncio.to_thread(all_.gateway.kill, all_.gateway.children["controller"])
        await asyncio.to_thread(all_.gateway.wait_until_ready)
        async with httpx.AsyncClient(base_url=all_.url, timeout=30) as user:
            for name in EVERY_VARIANT:
                async with asyncio.timeout(30):
                    after = await user.get(f"/{name}")
                assert (after.status_code, after.text) == (200, "hello"), name
                assert "content-type" not in after.headers, name
        abilities = (await asyncio.to_thread(all_.gateway.client.get, "/v1/abilities")).json()

        assert abilities["boot"] not in boots
        assert abilities["abilities"]["http"] == ""


async def test_connections_that_broke_with_a_worker_are_no_doing_of_an_http_fault(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, FAILS) as all_:
        all_.put_http("fails")
        async with httpx.AsyncClient(base_url=all_.url, timeout=30) as user:
            assert (await user.get("/")).status_code == 503  # and the connection stays open
            for worker in ("worker-0", "worker-1"):
                pid = all_.gateway.children[worker]
                all_.gateway.kill(pid)
                async with asyncio.timeout(30):
                    while all_.gateway.children.get(worker, pid) == pid:  # noqa: ASYNC110 - a process
                        await asyncio.sleep(0.01)
            report = await report_of(all_, "fails")

        assert (report["state"], report["hits"]) == ("active", 1)
        assert report["counts"]["lostConnections"] == 1


# Loading the controller takes until there is a file.
SLOWLY = """
import os, sys, time

class Slowly:
    def find_spec(self, name, path=None, target=None):
        if name == "seatrial_runner.gateway.controller":
            while not os.path.exists({go_on!r}):
                time.sleep(0.01)

sys.meta_path.insert(0, Slowly())
"""


async def test_a_fault_is_off_before_the_heir_of_a_killed_controller_is_loaded(
    tmp_path: Path,
) -> None:
    go_on = tmp_path / "go-on"
    go_on.touch()
    (tmp_path / "python").mkdir()
    slowly_loaded = SLOWLY.format(go_on=str(go_on))
    (tmp_path / "python" / "sitecustomize.py").write_text(slowly_loaded)
    slowly = serving(tmp_path, FAILS, python_path=tmp_path / "python")
    async with slowly as all_, httpx.AsyncClient(base_url=all_.url, timeout=30) as user:
        boot = (all_.put_http("fails", for_s=300))["boot"]
        assert (await user.get("/")).status_code == 503
        go_on.unlink()
        all_.gateway.kill(all_.gateway.children["controller"])
        async with asyncio.timeout(60):
            while (await user.get("/")).status_code == 503:
                pass
        go_on.touch()
        everything: Json = (await asyncio.to_thread(all_.gateway.client.get, "/v1/faults")).json()

        # A new boot says that it has ended early, and by nobody's order.
        assert (everything["boot"] != boot, everything["faults"]) == (True, [])


async def test_a_port_that_refuses_does_so_while_envoy_is_killed_and_made_anew(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, FAILS) as all_:
        all_.put_http("fails", for_s=120)
        await asyncio.to_thread(all_.gateway.put, "closed", "refuse", 120)
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
        fails = await report_with(all_, "fails", state="ended")
        async with asyncio.timeout(40):
            while (closed := await report_of(all_, "closed"))["hits"] < 10:
                assert await through(time.monotonic() + 0.1) == 0

        assert (closed["state"], fails["endedBy"]) == ("active", None)


async def test_a_fault_of_the_network_and_one_of_http_are_met_together(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, FAILS) as all_,
        httpx.AsyncClient(base_url=all_.url, timeout=30) as user,
    ):
        all_.put_http("fails")
        params = {"delay": "100ms", "direction": "request"}
        await asyncio.to_thread(all_.gateway.put, "late", "latency", params=params)
        begun = time.monotonic()
        answer = await user.get("/")

        assert answer.status_code == 503
        assert time.monotonic() - begun >= 0.1
