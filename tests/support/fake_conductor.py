"""A small conductor: the HTTP interface of the architecture page, without a run behind it."""

from __future__ import annotations

import threading
from typing import Any

from tests.support.loopback import Answer, Asked, Loopback

TOKEN = "t0ken-of-the-run"


class FakeConductor(Loopback):
    """
    Keeps what it is told.

    ``outages`` requests are answered with a broken connection before it is well (again).
    """

    def __init__(self) -> None:
        super().__init__()
        self.attempt = 1
        self.open_after = 0  # polls that are answered with "not yet"
        self.cancelled = False
        self.outages = 0
        self.refuse = ""  # results are refused with this reason
        self.answers_to_finished: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.finished: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.junit: dict[str, bytes] = {}
        self.collected: list[int] = []
        self.missing = ""  # of what was to be handed in, as told last
        self.forgets = 0
        self.orders: list[str] = []
        self.faults = {"lose-a-pod": "Pending"}
        self.changed = threading.Condition()

    def environment(self, test: str = "suite", **more: str) -> dict[str, str]:
        return {
            "SEATRIAL_URL": self.url,
            "SEATRIAL_TOKEN": TOKEN,
            "SEATRIAL_TEST": test,
            **more,
        }

    def cases(self, attempt: int | None = None) -> dict[str, dict[str, Any]]:
        """Cases by id, later ones on top."""
        return {
            case["id"]: case
            for body in list(self.results)
            if attempt in (None, body["attempt"])
            for case in body["cases"]
        }

    def respond(self, asked: Asked) -> Answer:
        with self.changed:
            try:
                return self._respond(asked)
            finally:
                self.changed.notify_all()

    def _respond(self, asked: Asked) -> Answer:
        if self.outages > 0:
            self.outages -= 1
            return Answer(broken=True)
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer(401, {"error": "wrong token"})
        match asked.method, asked.path.strip("/").split("/")[1:]:
            case "GET", ["gate"]:
                return self._gate()
            case "POST", ["tests", _, "results"]:
                if self.refuse:
                    return Answer(409, {"error": self.refuse})
                self.results.append(asked.json())
                return Answer(json={})
            case "POST", ["tests", _, "finished"]:
                self.finished.append(asked.json())
                answers = self.answers_to_finished
                return Answer(json=answers.pop(0) if answers else {"retry": False})
            case "POST", ["tests", _, "junit"]:
                self.junit[asked.query["file"][0]] = asked.body
                return Answer(json={})
            case "POST", ["tests", _, "collected"]:
                self.collected.append(asked.json()["files"])
                self.missing = asked.json()["missing"]
                if self.forgets:  # another conductor than the one that has got them
                    self.forgets -= 1
                    self.junit.clear()
                    return Answer(json={"resend": True})
                return Answer(json={"resend": False})
            case "POST", ["requests"]:
                self.requests += asked.json()["requests"]
                return Answer(json={})
            case method, ["faults", name, *verb]:
                return self._fault(method, name, verb, asked)
        return Answer(404, {"error": f"there is no {asked.method} {asked.path}"})

    def _gate(self) -> Answer:
        if self.cancelled:
            return Answer(json={"open": False, "cancelled": True})
        if self.open_after > 0:
            self.open_after -= 1
            return Answer(json={"open": False})
        return Answer(json={"open": True, "attempt": self.attempt})

    def _fault(self, method: str, name: str, verb: list[str], asked: Asked) -> Answer:
        if name not in self.faults:
            return Answer(404, {"error": f"there is no fault {name!r} in this run"})
        if method == "POST":
            recovered = "recovered" if asked.query.get("recovered") == ["true"] else ""
            self.orders.append(f"{verb[0]} {name} {recovered}".strip())
            states = {"start": "Active", "stop": "Recovered" if recovered else "Reverted"}
            self.faults[name] = states[verb[0]]
        return Answer(json={"name": name, "state": self.faults[name]})
