"""A service that calls webhooks back, and steps that have it do so."""

from __future__ import annotations

import threading
from typing import Any

import httpx
from seatrial_runner.scenario import World

from tests.support.loopback import Answer, Asked, Loopback
from tests.support.scenarios import run_steps


class Payments(Loopback):
    """Calls back whoever asks it to, and remembers what came of that."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: list[httpx.Response] = []
        self.threads: list[threading.Thread] = []

    def respond(self, asked: Asked) -> Answer:
        wish = asked.json()
        thread = threading.Thread(target=self.call, args=(wish,))
        thread.start()
        self.threads.append(thread)
        return Answer(202, json={})

    def call(self, wish: dict[str, Any]) -> None:
        for body in wish["calls"]:
            method = wish.get("method", "POST")
            url = wish["url"] + wish.get("path", "")
            with httpx.Client(trust_env=False, verify=False, timeout=30) as client:
                try:
                    self.answered.append(client.request(method, url, json=body))
                except httpx.HTTPError:
                    return  # the scenario has ended

    def results(self) -> list[httpx.Response]:
        """Give what was answered, once all calls have ended."""
        for thread in self.threads:
            thread.join()
        return self.answered

    def __exit__(self, *error: object) -> None:
        for thread in self.threads:
            thread.join()
        super().__exit__(*error)


def pay(*calls: Any, url: str = "{{ webhooks.paid }}", **more: Any) -> dict[str, Any]:
    wish = {"url": url, "calls": [*calls], **more}
    return {"http": {"post": "http://orders:8080/pay", "json": wish}}


def paid(*expect: str, **document: Any) -> dict[str, Any]:
    return {"webhook": {"name": "paid", **document}, "expect": list(expect)}


def run(payments: Payments, *steps: dict[str, Any], **world: Any) -> Any:
    return run_steps(list(steps), World(base_urls={"orders": payments.url}, **world), timeout="20s")
