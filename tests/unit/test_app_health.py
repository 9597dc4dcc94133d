"""The operator's HTTP server."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from seatrial.app.health import serve

from localcluster.ports import free_port


@pytest.fixture
def port():
    return free_port()


async def get(port, path):
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}{path}"
        async with session.get(url) as answer:
            return answer.status, await answer.text()


async def test_it_is_alive_at_once_and_ready_when_it_says_so(port):
    ready = False
    async with serve(port, CollectorRegistry(), lambda: ready):
        assert await get(port, "/healthz") == (200, "ok")
        assert (await get(port, "/readyz"))[0] == 503
        ready = True
        assert (await get(port, "/readyz"))[0] == 200


async def test_it_shows_the_metrics_of_its_registry(port):
    registry = CollectorRegistry()
    Counter("looks", "Looks.", registry=registry).inc()
    async with serve(port, registry, lambda: True):
        status, text = await get(port, "/metrics")
    assert status == 200
    assert "looks_total 1.0" in text
