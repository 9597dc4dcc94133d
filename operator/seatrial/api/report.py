"""What a report's ``logs.json`` is: a list of these, from the conductor to the CLI. Plain."""

from __future__ import annotations

from typing import TypedDict


class LogDoc(TypedDict):
    """What a container has written: the end of it, without what looks like a credential."""

    pod: str
    container: str
    previous: bool  # before its last restart
    service: str | None  # spec.services[].name; of a pod that is of one
    test: str | None  # spec.tests[].name; of a pod that is of one
    text: str
