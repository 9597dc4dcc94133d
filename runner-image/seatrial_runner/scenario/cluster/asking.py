"""How a kind of step speaks to the cluster: what it may not do is a failed step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from seatrial_runner.scenario.action import Call, StepFailure
from seatrial_runner.scenario.world import Cluster, ClusterStepError


@contextmanager
def the_cluster(call: Call) -> Iterator[Cluster]:
    """
    Give the run's namespace.

    Raises:
        StepFailure: It did not do what it was asked.
    """
    ask = call.tools.world.cluster
    assert ask is not None  # else the scenario was skipped
    try:
        cluster = ask()
        # What pods say may hold the passwords they were given.
        for url in call.tools.world.connections.values():
            call.tools.redactor.learn_url(url)
        yield cluster
    except ClusterStepError as error:
        raise StepFailure(
            str(error), error.details, permanent=error.permanent, out_of_time=error.out_of_time
        ) from error
