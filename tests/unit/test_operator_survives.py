"""What one run brings the operator to must not reach the others."""

import asyncio
from types import SimpleNamespace

from seatrial.app.metrics import Metrics
from seatrial.app.running import _Work


class LooksAt:
    """A reconciler that breaks on some runs, and says when it has looked at another."""

    def __init__(self, breaks_on):
        self._breaks_on = breaks_on
        self.seen = []
        self.done = asyncio.Event()

    async def look(self, uid):
        self.seen.append(uid)
        if uid in self._breaks_on:
            raise KeyError("a bug of ours")
        self.done.set()


def test_a_bug_that_one_run_meets_takes_no_worker_from_the_others():
    async def look_at(keys):
        plan = SimpleNamespace(max_concurrent_runs=1)
        metrics = Metrics()
        work = _Work(SimpleNamespace(plan=plan), None, None, metrics, asyncio.Event())
        work._reconciler = reconciler = LooksAt(breaks_on={"bad"})
        for key in keys:
            work._queue.add(key)
        worker = asyncio.create_task(work._work())
        await asyncio.wait(
            {worker, asyncio.create_task(reconciler.done.wait())},
            timeout=5,
            return_when=asyncio.FIRST_COMPLETED,
        )
        work._queue.close()
        await worker
        return (
            reconciler.seen,
            metrics.registry.get_sample_value("seatrial_reconcile_errors_total", {"reason": "Bug"}),
            work._queue._timers,
        )

    seen, failures, timers = asyncio.run(look_at(["bad", "good"]))

    assert seen == ["bad", "good"]
    assert failures == 1
    assert "bad" in timers  # it is looked at again, later
