"""Calls of services come through the conductor's port to the scenario that waits for them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from seatrial_runner.conductor import webhooks, workers
from seatrial_runner.conductor.webhooks import WebhookPort
from seatrial_runner.runner.webhooks import Webhooks
from seatrial_runner.scenario import callbacks

from tests.support.conducted import a_conductor, a_run_doc, a_scenario, order
from tests.support.payments import Payments, paid, pay, run
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller has its answer before the endpoint closes, on a busy machine too."""
    monkeypatch.setattr(callbacks, "_FINISH_S", 30.0)


@pytest.fixture
def payments() -> Iterator[Payments]:
    with Payments() as each:
        yield each


async def behind_a_port(use: Callable[[WebhookPort], Any]) -> Any:
    port = WebhookPort(0)
    serving = asyncio.create_task(port.keep_serving())
    try:
        return await asyncio.to_thread(use, port)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        port.close()


async def test_calls_go_through_the_port_to_the_scenario_with_that_webhook(
    payments: Payments,
) -> None:
    def use(port: WebhookPort) -> Any:
        answer = {"status": 201, "json": {"id": "{{ request.json.id }}"}, "headers": {"X-A": "1"}}
        steps = [paid(answer=answer), pay({"id": 7}, path="/x?y=1"), paid("request.path == '/x'")]
        result = run(payments, *steps, webhooks=port.place)
        return result, payments.results()  # before the port closes: it has the answer to pass on

    result, [answered] = await behind_a_port(use)
    assert result.outcome == "passed", result.details
    assert (answered.status_code, answered.json()) == (201, {"id": 7})
    assert answered.headers["x-a"] == "1"


async def test_a_webhook_of_no_test_that_runs_is_told_to_the_caller() -> None:
    def use(port: WebhookPort) -> httpx.Response:
        with httpx.Client(trust_env=False, verify=False) as client:
            return client.post(f"{port.place.url}/nothing", json={})

    answered = await behind_a_port(use)
    assert answered.status_code == 503
    assert answered.json() == {"error": "no test that runs now has a webhook 'nothing'"}


async def test_two_tests_at_once_cannot_have_one_webhook(payments: Payments) -> None:
    def use(port: WebhookPort) -> Any:
        first = Webhooks(port.place)
        first("paid")
        try:
            return run(payments, paid(within="50ms"), webhooks=port.place)
        finally:
            first.close()

    result = await behind_a_port(use)
    assert "webhook 'paid' is open in another test that runs at the same time" in result.message


async def test_many_calls_at_once_all_arrive() -> None:
    def use(port: WebhookPort) -> int:
        opened = Webhooks(port.place)
        try:
            hook = opened("paid")
            with httpx.Client(trust_env=False, verify=False, timeout=30) as client:

                def call(start: int) -> None:
                    for n in range(start, start + 50):
                        assert client.post(hook.url, json={"n": n}).status_code == 200

                threads = [threading.Thread(target=call, args=(i * 50,)) for i in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            return len({each["json"]["n"] for each in hook.wait(count=400, within=30)})
        finally:
            opened.close()

    assert await behind_a_port(use) == 400


async def test_a_process_that_is_killed_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_PAUSE_S", 0.01)
    pids: list[int] = []
    forked = workers._fork

    def noting(*arguments: Any) -> Any:
        pid, connection = forked(*arguments)
        pids.append(pid)
        return pid, connection

    monkeypatch.setattr(workers, "_fork", noting)

    def use(port: WebhookPort) -> int:
        opened = Webhooks(port.place)
        try:
            hook = opened("paid")
            with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
                assert client.post(hook.url, json={}).status_code == 200
            os.kill(pids[0], signal.SIGKILL)
            with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
                return client.post(hook.url, json={}).status_code
        finally:
            opened.close()

    assert await behind_a_port(use) == 200
    assert len(pids) == 2


def test_a_scenario_in_a_worker_of_a_conductor_is_called_back(payments: Payments) -> None:
    """The whole way: run.json says so, the conductor listens, its worker gets the call."""
    steps = [pay({"id": 7}), paid("request.json.id == 7")]
    steps[0]["http"]["post"] = f"{payments.url}/pay"

    async def course() -> RunNamespace:
        namespace = RunNamespace()
        order(namespace, a_run_doc(tests=[a_scenario("calls-back", *steps)], webhooks=True))
        await a_conductor(namespace)
        return namespace

    [test] = in_virtual_time(course()).summary()["tests"]
    assert (test["outcome"], test["passed"]) == ("Passed", 1), test
    # The run may be over, and its port closed, before the answer is passed on.
    assert {each.status_code for each in payments.results()} <= {200}
