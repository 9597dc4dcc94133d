"""The fixture ``http``: an httpx client whose requests count as traffic."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from seatrial_runner import clock
from seatrial_runner.runner.traffic import Traffic
from seatrial_runner.scenario.exchange import rewritten

TIMEOUT_S = 10.0


class CountingTransport(httpx.BaseTransport):
    """Notes each request, and sends it to where its service is; redirects are requests too."""

    def __init__(
        self, inner: httpx.BaseTransport, traffic: Traffic, base_urls: Mapping[str, str]
    ) -> None:
        self._inner = inner
        self._traffic = traffic
        self._base_urls = base_urls

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        self._traffic.add(clock.now(), request.url.host)
        url = rewritten(str(request.url), self._base_urls)
        if url != str(request.url):
            request.url = httpx.URL(url)
            request.headers["Host"] = request.url.netloc.decode("ascii")
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


def make_client(traffic: Traffic, base_urls: Mapping[str, str]) -> httpx.Client:
    """
    Make a client that ignores proxies of the environment.

    Every request gets a connection of its own, so that requests spread over the pods of a Service
    and none meets a connection that died with its pod.
    """
    inner = httpx.HTTPTransport(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
    return httpx.Client(
        transport=CountingTransport(inner, traffic, base_urls),
        timeout=TIMEOUT_S,
        trust_env=False,
    )
