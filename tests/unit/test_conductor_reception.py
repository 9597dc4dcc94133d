"""The reception knows each test by the token that the operator has drawn for it."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
from seatrial.api.names import ACCESS_SECRET
from seatrial_runner.conductor.keepsakes import Keepsakes
from seatrial_runner.conductor.nofaults import NoFaults
from seatrial_runner.conductor.reception import Reception
from seatrial_runner.conductor.seen import Seen
from seatrial_runner.conductor.stage import Control, Stage
from seatrial_runner.journal import Entries, Journal, Stored, new_summary

from localcluster.ports import free_port
from tests.support.builders import UID
from tests.support.run_namespace import NAMESPACE, RunNamespace
from tests.support.virtual_time import GATE

TOKENS = {"suite": "t0ken", "any": "r1val"}


async def a_reception(namespace: RunNamespace) -> Reception:
    run: Any = {
        "tests": [{"name": "suite", "pytest": {}}, {"name": "any", "container": {}}],
        "services": [],
        "faults": [],
        "environment": NAMESPACE,
        "uid": UID,
    }
    edge: Any = None
    clock = asyncio.get_running_loop().time
    summary, entries = new_summary(run, at="2026-11-20T12:00:00.000Z"), Entries()
    journal = Journal(
        edge, now=lambda: GATE, monotonic=clock,
        summary=summary, entries=entries, stored=Stored({}, "1"),
    )  # fmt: skip
    control = Control({"abort": False, "suspend": False})
    stage = Stage(run, namespace.api, Seen(), journal, control, lambda: GATE, clock)
    return Reception(stage, NoFaults(stage), Keepsakes(stage))


async def test_a_token_of_the_secret_opens_what_is_of_its_test_alone() -> None:
    namespace, port = RunNamespace(), free_port()
    data = {test: base64.b64encode(token.encode()).decode() for test, token in TOKENS.items()}
    namespace.objects["secrets", ACCESS_SECRET] = {"data": data}
    reception = await a_reception(namespace)
    await reception.open(port)
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
        for asking, token in TOKENS.items():
            for test in TOKENS:
                headers = {"Authorization": f"Bearer {token}"}
                answer = await client.get(f"/v1/gate?test={test}&wait=0", headers=headers)
                assert answer.status_code == (200 if test == asking else 403)
    await reception.close()
