"""When an http fault begins and ends, which of several wins, and what is told of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.control import PROBE_HOST
from seatrial.api.errors import NotInjectedError
from seatrial.api.names import ENVOY_SWITCHES, PROBE_HEADER

from tests.support.envoy_process import (
    EVERY_VARIANT,
    an_http_fault,
    behind_envoy,
    every_variant,
    until,
)


async def test_of_two_faults_on_one_request_the_first_declared_wins(tmp_path: Path) -> None:
    first = an_http_fault("first", match={"path": "/a"}, abort={"status": 500})
    second = an_http_fault("second", abort={"status": 501})
    async with behind_envoy(tmp_path, first, second) as (_, envoy, client):
        await envoy.order("second")
        await envoy.order("first")

        assert (await client.get("/a")).status_code == 500
        assert (await client.get("/b")).status_code == 501
        assert (await envoy.hits("first"), await envoy.hits("second")) == (1, 1)


async def test_a_fault_ends_at_its_deadline_by_itself(tmp_path: Path) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        begun = time.monotonic()
        await envoy.order("fails", for_s=2.0)
        first = (await client.get("/")).status_code
        assert first == 503 or time.monotonic() - begun > 2.0
        while (await client.get("/")).status_code == 503:
            pass
        assert time.monotonic() - begun > 1.99
        assert [(await client.get("/")).status_code for _ in range(50)] == [200] * 50


async def test_envoy_keeps_the_deadline_when_nobody_else_does(tmp_path: Path) -> None:
    faults = [
        an_http_fault("fails", match={"path": "/fails"}, abort={"status": 503}),
        an_http_fault("wrong", body={"replace": "<html>"}),
    ]
    async with behind_envoy(tmp_path, *faults) as (_, envoy, client):
        begun = time.monotonic()
        await envoy.order("fails", for_s=2.0)
        await envoy.order("wrong", for_s=2.0)
        envoy.abandon()
        assert (await client.get("/")).text == "<html>"
        assert (await client.get("/fails")).status_code == 503
        while (await client.get("/")).text == "<html>":
            assert time.monotonic() - begun < 60
        assert time.monotonic() - begun > 1.99
        assert (await client.get("/fails")).text == "hello"


async def test_faults_with_shares_draw_each_for_itself(tmp_path: Path) -> None:
    first = an_http_fault("first", share="50%", abort={"status": 500})
    second = an_http_fault("second", share="50%", abort={"status": 501})
    async with behind_envoy(tmp_path, first, second) as (_, envoy, client):
        await envoy.order("first")
        await envoy.order("second")
        statuses = [(await client.get("/")).status_code for _ in range(400)]

        # 50, 25 and 25%, each within four standard deviations of 400 draws
        assert 160 <= statuses.count(500) <= 240
        assert 65 <= statuses.count(501) <= 135
        assert 65 <= statuses.count(200) <= 135


async def test_the_same_seed_meets_the_same_requests(tmp_path: Path) -> None:
    fault = an_http_fault("fails", share="10%", abort={"status": 503})
    met = []
    for number, seed in enumerate((5, 5, 6)):
        directory = tmp_path / str(number)
        directory.mkdir()
        async with behind_envoy(directory, fault) as (_, envoy, client):
            await envoy.order("fails", seed=seed)
            met.append([(await client.get("/")).status_code for _ in range(100)])

    assert 503 in met[0]
    assert met[0] == met[1] != met[2]


async def test_a_switch_that_cannot_be_written_is_an_order_that_failed(tmp_path: Path) -> None:
    faults = [an_http_fault(name, abort={"status": 503}) for name in ("first", "second")]
    async with behind_envoy(tmp_path, *faults) as (_, envoy, client):
        await envoy.order("first")
        blocked = tmp_path / f"{ENVOY_SWITCHES}.new"
        blocked.mkdir()
        with pytest.raises(NotInjectedError, match="cannot be told of second"):
            await envoy.order("second")
        await envoy.end("first")
        assert (await client.get("/")).text == "hello"


async def test_a_path_of_the_service_is_no_mark(tmp_path: Path) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("fails")
        await client.get("/mark/77777")
        await client.get("/")
        evidence = await envoy.switches.evidence("fails")

        assert evidence.counts == {"requests": 2, "answered": 2}


async def test_a_host_that_only_begins_like_that_of_probes_is_none(tmp_path: Path) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("fails")
        await client.get("/", headers={"host": f"{PROBE_HOST}.example"})
        await client.get("/", headers={"host": f"{PROBE_HOST}:80"})

        assert await envoy.hits("fails") == 1


async def test_a_client_cannot_say_which_faults_it_meets_and_no_service_hears_of_them(
    tmp_path: Path,
) -> None:
    fails = an_http_fault("fails", match={"path": "/fails"}, abort={"status": 503})
    slow = an_http_fault("slow", delay="1ms")
    async with behind_envoy(tmp_path, fails, slow) as (origin, envoy, client):
        said = {"X-Seatrial-On": ",fails,"}
        assert (await client.get("/fails", headers=said)).text == "hello"
        await envoy.order("slow")
        assert (await client.get("/fails", headers=said)).text == "hello"

        assert await envoy.hits("slow") == 1
        assert "x-seatrial" not in "".join(each.head.decode().lower() for each in origin.came)


async def test_an_order_that_is_renewed_lasts_longer(tmp_path: Path) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("fails", for_s=3.0)
        order: Any = {"kind": "http", "params": {}, "forS": 60.0, "seed": 1}
        await envoy.switches.renew("fails", order, time.monotonic() + 60)
        await asyncio.sleep(3.1)

        assert (await client.get("/")).status_code == 503


async def test_a_repeated_fault_is_counted_anew(tmp_path: Path) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("fails.1")
        await client.get("/")
        await envoy.end("fails.1")
        await asyncio.sleep(0.002)  # lines of the log are told apart by their millisecond
        await envoy.order("fails.2")
        await envoy.end("fails.1")  # again: it must not end the second
        statuses = [(await client.get("/")).status_code for _ in range(2)]

        assert statuses == [503, 503]
        assert await envoy.hits("fails.2") == 2


async def test_a_fault_that_is_ordered_again_while_it_ends_can_be_ended_too(
    tmp_path: Path,
) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        for number in range(20):
            await envoy.order(f"fails.{number}")
            async with asyncio.TaskGroup() as group:
                group.create_task(envoy.end(f"fails.{number}"))
                await asyncio.sleep(0)
                group.create_task(envoy.order(f"fails.{number}-again"))
                await asyncio.sleep(0)
                await envoy.end(f"fails.{number}-again")

            assert (await client.get("/")).text == "hello"


async def test_evidence_has_the_first_and_the_last_hit(tmp_path: Path) -> None:
    fault = an_http_fault("slow", delay="100ms")
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("slow")
        begun = time.time()
        await client.get("/one")
        await client.get("/two")
        await envoy.end("slow")
        evidence = await envoy.switches.evidence("slow")

        assert evidence.first_hit is not None
        assert evidence.last_hit is not None
        assert evidence.first_hit.timestamp() - begun > -0.01
        # Envoy counts a delay from when it woke up, which is before it writes the first down.
        assert (evidence.last_hit - evidence.first_hit).total_seconds() >= 0.05
        assert evidence.counts == {"requests": 2, "answered": 2}


async def test_a_request_counts_while_it_is_still_held_up(tmp_path: Path) -> None:
    fault = an_http_fault("slow", delay="1m")
    async with behind_envoy(tmp_path, fault) as (_, envoy, client):
        await envoy.order("slow")
        request = asyncio.create_task(client.get("/"))
        await until(lambda: envoy.has_hits("slow"))
        await envoy.end("slow")
        assert (await request).status_code == 200


PROBED: list[Any] = [
    pytest.param({"abort": {"status": 503}}, id="abort"),
    pytest.param({"abort": {"grpcStatus": 14}}, id="grpc"),
    pytest.param({"delay": "200ms"}, id="delay"),
    pytest.param({"rate": "4Ki"}, id="rate"),
    pytest.param({"body": {"replace": "<html>"}}, id="replace"),
    pytest.param({"body": {"contentType": "text/x"}}, id="contentType"),
    pytest.param({"body": {"truncate": 2000}}, id="truncate"),
]


@pytest.mark.parametrize("http", PROBED)
async def test_a_probe_meets_the_fault_whatever_its_share_and_is_no_hit(
    tmp_path: Path, http: dict[str, Any]
) -> None:
    fault = an_http_fault("odd", share="0.1%", match={"pathPrefix": "/a"}, **http)
    async with behind_envoy(tmp_path, fault) as (origin, envoy, client):
        probe = {"host": PROBE_HOST}
        before = await client.get("/a", headers=probe)
        await envoy.order("odd")
        begun = time.monotonic()
        during = await client.get("/a", headers=probe)
        took = time.monotonic() - begun
        elsewhere = await client.get("/b", headers=probe)
        await envoy.end("odd")
        after = await client.get("/a", headers=probe)

        assert before.status_code == after.status_code == elsewhere.status_code == 204
        assert not any(PROBE_HEADER in each.headers for each in (before, after, elsewhere))
        assert during.headers[PROBE_HEADER] == "odd"
        if "delay" in http or "rate" in http:
            assert took >= 0.2
        assert origin.came == []
        assert await envoy.hits("odd") == 0


async def test_what_envoy_was_not_configured_for_is_refused(tmp_path: Path) -> None:
    fault = an_http_fault("fails", abort={"status": 503})
    async with behind_envoy(tmp_path, fault) as (_, envoy, _client):
        envoy.faults["other"] = fault
        with pytest.raises(NotInjectedError, match="not been configured for a fault named other"):
            await envoy.order("other")


async def test_a_new_gateway_ends_what_the_one_before_has_left(tmp_path: Path) -> None:
    faults = [
        an_http_fault("fails", match={"path": "/fails"}, abort={"status": 503}),
        an_http_fault("wrong", body={"replace": "<html>"}),
    ]
    async with behind_envoy(tmp_path, *faults) as (_, envoy, client):
        await envoy.order("fails")
        await envoy.order("wrong")
        assert (await client.get("/fails")).status_code == 503
        await envoy.new_switches()  # as after SIGKILL: nothing of the old ones is called any more

        assert (await client.get("/fails")).text == "hello"
        assert (await client.get("/")).text == "hello"


async def test_with_envoy_its_faults_end_and_it_is_said(tmp_path: Path) -> None:
    async with behind_envoy(tmp_path, *every_variant()) as (_, envoy, client):
        for name in EVERY_VARIANT:
            await envoy.order(name)
        assert (await client.get("/fails")).status_code == 503
        assert (await client.get("/other")).text == "<html>"
        envoy.kill()
        await until(lambda: len(envoy.lost) == len(EVERY_VARIANT))
        for name in EVERY_VARIANT:
            with pytest.raises(NotInjectedError, match="Envoy is not running"):
                await envoy.order(name)
            await envoy.end(name)  # there is nothing left to end
        envoy.launch()
        await envoy.serving()

        assert sorted(envoy.lost) == sorted(EVERY_VARIANT)
        for name in EVERY_VARIANT:
            async with asyncio.timeout(30):
                after = await client.get(f"/{name}")
            assert (after.status_code, after.text) == (200, "hello"), name
            assert "content-type" not in after.headers, name
            await envoy.order(name)  # and can be had again
