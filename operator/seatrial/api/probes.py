"""Steady state: what is checked continuously, before, during and after faults."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from pydantic import Field

from seatrial.api.fields import CEL, Delay, HostPort, Model, TestName, one_of
from seatrial.api.scenario import HttpRequest
from seatrial.api.steps.sql import SqlQuery


class DuringFaults(StrEnum):
    """What a failed check means while a fault is in effect."""

    TOLERATE = "Tolerate"
    MUST_HOLD = "MustHold"


class SteadyState(Model):
    """
    A check that holds while the system is well.

    Outside of faults' windows a failed check fails the run; within, only with
    duringFaults: MustHold.
    """

    __rules__ = (one_of("http", "tcp", "sql", required=True),)

    name: TestName = Field(description="Name of the probe, unique in the run.")
    http: HttpRequest | None = Field(None, description="Request to send.")
    tcp: HostPort | None = Field(None, description="HOST:PORT that must accept a connection.")
    sql: SqlQuery | None = Field(
        None, description="Statement that a database must answer, on a new connection each time."
    )
    expect: list[CEL] = Field(
        default_factory=list,
        max_length=16,
        description="CEL expressions that must be true, over response or rows. Default with http:"
        " response.status < 400; with sql: that it is answered.",
    )
    every: Delay = Field(timedelta(seconds=1), description="Time between checks. Default 1s.")
    timeout: Delay = Field(timedelta(seconds=2), description="Longest time of a check.")
    threshold: int = Field(
        1, ge=1, le=100, description="Failures in a row that count as not holding. Default 1."
    )
    during_faults: DuringFaults = Field(
        DuringFaults.TOLERATE,
        strict=False,  # a text, as JSON has it
        description="Tolerate or MustHold: what a failed check means during a fault.",
    )
