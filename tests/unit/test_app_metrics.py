"""What Prometheus reads."""

from prometheus_client import generate_latest
from seatrial.api.status import RunStatus, Timings
from seatrial.api.verdict import Phase, Verdict
from seatrial.app.metrics import Metrics


def text(metrics):
    return generate_latest(metrics.registry).decode()


def test_runs_are_counted_by_phase_and_verdict():
    metrics = Metrics()
    phases = [("Running", ""), ("Running", ""), ("Finished", "Passed")]
    metrics.watch(lambda: 3, lambda: phases)
    lines = text(metrics)
    assert 'seatrial_runs{phase="Running",verdict=""} 2.0' in lines
    assert 'seatrial_runs{phase="Finished",verdict="Passed"} 1.0' in lines
    assert "seatrial_queue_depth 3.0" in lines


def test_a_run_that_has_ended_is_counted_with_its_times():
    metrics = Metrics()
    timings = Timings(queued="0s", provisioning="6.1s", total="1m6s")
    metrics.ended(RunStatus(phase=Phase.COLLECTING, verdict=Verdict.PASSED, timings=timings))
    lines = text(metrics)
    assert 'seatrial_runs_ended_total{verdict="Passed"} 1.0' in lines
    assert 'seatrial_phase_seconds_sum{phase="provisioning"} 6.1' in lines
    assert 'seatrial_phase_seconds_sum{phase="total"} 66.0' in lines
    assert 'seatrial_phase_seconds_count{phase="tests"}' not in lines


def test_requests_and_failures_are_counted():
    metrics = Metrics()
    metrics.request("PATCH", "Pod", 200, 0.01)
    metrics.request("PATCH", "Pod", 0, 0.01)
    metrics.failed("Conflict")
    lines = text(metrics)
    assert 'seatrial_api_requests_total{code="0",kind="Pod",verb="PATCH"} 1.0' in lines
    assert 'seatrial_reconcile_errors_total{reason="Conflict"} 1.0' in lines
    assert "process_resident_memory_bytes" in lines
