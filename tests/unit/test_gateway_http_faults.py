"""Without Envoy, http faults are refused in words."""

from __future__ import annotations

import pytest
from seatrial.api.control import FaultOrder
from seatrial.api.errors import NotInjectedError
from seatrial_runner.gateway.http_faults import HttpFaults, NoHttpFaults


async def test_without_envoy_http_faults_are_refused() -> None:
    faults: HttpFaults = NoHttpFaults()
    order = FaultOrder(kind="http", params={}, forS=1, seed=0)

    with pytest.raises(NotInjectedError, match="need Envoy"):
        await faults.put("f", order, 1.0)

    assert await faults.abilities() == {"http": "Envoy is not beside this gateway"}
