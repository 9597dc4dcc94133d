"""Webhooks of test suites: endpoints that services call back, as a fixture."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Mapping
from typing import Any

from seatrial_runner.httpserver import Reply
from seatrial_runner.scenario.callbacks import Answer, Answerer, Call, Endpoint, Endpoints
from seatrial_runner.scenario.resources import Resources
from seatrial_runner.scenario.world import WebhookPlace

_OPEN_S = 10.0


class Webhook:
    """One endpoint; open until the test has ended."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def url(self) -> str:
        """Where services call it."""
        return self._endpoint.url

    @property
    def calls(self) -> list[Call]:
        """The calls that nobody has waited for yet: method, path, query, headers, text, json."""
        return list(self._endpoint.calls)

    def answer(
        self,
        status: int = 200,
        *,
        json: Any = None,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        delay: float = 0.0,
        then: Mapping[str, Any] | None = None,
    ) -> None:
        """Answer like this from now on; ``then`` holds the arguments of every answer after it."""
        answers = [_answerer(status, json, body, headers or {}, delay)]
        if then is not None:
            given = {"status": 200, "json": None, "body": "", "headers": {}, "delay": 0.0, **then}
            answers.append(_answerer(**given))
        self._endpoint.answer_with(answers)

    def wait(
        self,
        where: Callable[[Call], bool] = lambda call: True,
        *,
        count: int = 1,
        within: float = 10.0,
    ) -> list[Call]:
        """
        Wait for calls, and take them.

        Raises:
            AssertionError: Fewer came; or, with ``count=0``, one came, or some were refused.
        """
        found = self._endpoint.wait(where, count, within)
        doubt = self._endpoint.doubt() if len(found) < max(count, 1) else ""
        if len(found) != count or doubt:
            others = len(self._endpoint.calls) - len(found)
            refused = f" ({doubt})" if doubt else ""
            raise AssertionError(
                f"{len(found)} calls of {self.url} are such within {within:g} s, not {count};"
                f" {others} others came{refused}"
            )
        return found


def _answerer(
    status: int, json: Any, body: str, headers: Mapping[str, str], delay: float
) -> Answerer:
    given = {name.lower(): value for name, value in headers.items()}
    content = body.encode()
    if json is not None:
        content = json_module.dumps(json).encode()
        given.setdefault("content-type", "application/json")
    answer = Answer(Reply(status, content, list(given.items())), delay)
    return lambda call: answer


class Webhooks:
    """The webhooks of one test, each opened when it is first asked for."""

    def __init__(self, place: WebhookPlace) -> None:
        self._place = place
        self._resources = Resources()
        self._resources.loop()

    def __call__(self, name: str) -> Webhook:
        """Give a webhook by its name, which is the path of its URL."""
        resources = self._resources

        def made() -> Endpoints:
            endpoints = Endpoints(self._place, [name])
            resources.run(endpoints.open(), _OPEN_S)
            return endpoints

        endpoints = resources.get(name, made, lambda each: resources.run(each.close(), _OPEN_S))
        return Webhook(endpoints[name])

    def close(self) -> None:
        """Stop listening."""
        self._resources.close()
