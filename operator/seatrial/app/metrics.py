"""What Prometheus can read of the operator."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from seatrial.api.duration import parse_duration
from seatrial.api.status import RunStatus

_SECONDS = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_QUICK = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The operator's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._verdicts = Counter(
            "seatrial_runs_ended", "Runs ended, by verdict.", ["verdict"], registry=self.registry
        )
        self._phases = Histogram(
            "seatrial_phase_seconds",
            "Time by phase: queued, provisioning, tests, total.",
            ["phase"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.looks = Histogram(
            "seatrial_reconcile_seconds",
            "Time of one look at a run.",
            buckets=_QUICK,
            registry=self.registry,
        )
        self._errors = Counter(
            "seatrial_reconcile_errors",
            "Looks at a run that failed, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self._requests = Counter(
            "seatrial_api_requests",
            "Requests to the API server; code 0 means no answer.",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self.leader = Gauge(
            "seatrial_leader", "1 while this operator is the one at work.", registry=self.registry
        )

    def watch(
        self, queue_depth: Callable[[], int], phases: Callable[[], Iterable[tuple[str, str]]]
    ) -> None:
        """Read queue depth, and phase and verdict of every run, whenever metrics are asked for."""
        depth = Gauge("seatrial_queue_depth", "Runs waiting for a look.", registry=self.registry)
        depth.set_function(queue_depth)
        self.registry.register(_Runs(phases))

    def request(self, verb: str, kind: str, status: int, seconds: float) -> None:
        """Count a request to the API server."""
        self._requests.labels(verb, kind, status).inc()

    def failed(self, reason: str) -> None:
        """Count a look that failed."""
        self._errors.labels(reason).inc()

    def ended(self, status: RunStatus) -> None:
        """Count a run that has come to its verdict."""
        self._verdicts.labels(status.verdict).inc()
        for phase in ("queued", "provisioning", "tests", "total"):
            if text := getattr(status.timings, phase):
                self._phases.labels(phase).observe(parse_duration(text).total_seconds())


class _Runs(Collector):
    def __init__(self, phases: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._phases = phases

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("seatrial_runs", "Runs that exist.", labels=["phase", "verdict"])
        for (phase, verdict), count in Tally(self._phases()).items():
            family.add_metric([phase, verdict], count)
        yield family
