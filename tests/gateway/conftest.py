"""A gateway for each module: it starts in a moment, and faults do not outlive their test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway_process import Gateway, carried


@pytest.fixture(scope="module")
def _gateway() -> Iterator[Gateway]:
    with carried() as gateway:
        yield gateway


@pytest.fixture
def gateway(_gateway: Gateway) -> Iterator[Gateway]:
    yield _gateway
    assert _gateway.client.delete("/v1/faults").status_code == 200
    _gateway.set_sources()
