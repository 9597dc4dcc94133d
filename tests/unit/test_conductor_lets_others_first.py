"""On a node that others want as well, a run's report waits for those that start."""

from __future__ import annotations

import pytest
from seatrial_runner.conductor.contention import of_schedstat

from tests.support.conducted import a_conductor, a_run_doc, order
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time, loop


@pytest.mark.parametrize(
    ("counts", "patience_s"),
    [
        pytest.param("200000000 100000000 60\n", 0.0, id="a-node-that-has-time"),
        pytest.param("200000000 1400000000 90\n", 1.4, id="as-long-as-one-had-to-wait"),
        pytest.param("200000000 90000000000 90\n", 5.0, id="but-not-for-ever"),
        pytest.param("0 0 0\n", 0.0, id="a-kernel-that-does-not-count"),
    ],
)
def test_patience_is_what_one_had_to_wait_for_a_processor(counts: str, patience_s: float) -> None:
    assert of_schedstat(counts) == patience_s


@pytest.mark.parametrize(
    ("patience_s", "budget_s", "waits_s"), [(0.0, 60.0, 0.0), (3.0, 60.0, 3.0), (3.0, 10.0, 1.0)]
)
def test_the_verdict_is_written_before_and_the_report_after_it(
    patience_s: float, budget_s: float, waits_s: float
) -> None:
    moments: dict[str, float] = {}

    async def course() -> None:
        namespace = RunNamespace()
        run = a_run_doc()
        run["collectingTimeout"] = budget_s
        order(namespace, run)

        def look(number: int, what: str) -> None:
            summary = namespace.summary()
            for key in ("finished", "reportReady"):
                if summary[key]:
                    moments.setdefault(key, loop().time())

        namespace.after_write = look
        await a_conductor(namespace, patience_s=patience_s)

    in_virtual_time(course())
    assert moments["reportReady"] - moments["finished"] == pytest.approx(waits_s, abs=0.1)
