"""What one run brings the operator to must not reach the others."""

import asyncio
import json
from types import SimpleNamespace

import kopf
import pytest
from kubernetes.aio.client import Configuration
from seatrial.api import names
from seatrial.api.errors import ForbiddenError
from seatrial.app import reconciler, watches
from seatrial.app.metrics import Metrics
from seatrial.app.running import _Work

from tests.support.builders import a_run, a_service, a_test
from tests.support.simulation import SETTINGS, Simulation


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
        settings = SimpleNamespace(plan=SETTINGS)
        metrics = Metrics()
        work = _Work(settings, Configuration(), None, metrics, asyncio.Event())
        work._reconciler = reconciler = LooksAt(breaks_on={"bad"})
        for key in keys:
            work._queue.add(key)
        worker = asyncio.create_task(work._work())
        await asyncio.wait(
            {worker, asyncio.create_task(reconciler.done.wait())},
            timeout=60,
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


@pytest.mark.parametrize("work", ["parse_spec", "validate", "draw", "plan"])
def test_a_run_that_cannot_be_read_ends_and_keeps_no_place_in_the_queue(work, monkeypatch):
    real = getattr(reconciler, work)

    def breaks(given, *arguments, **more):
        # Without an environment that is to be made, a plan is little.
        if "bad" in str(given) and getattr(given, "blueprint", given) is not None:
            raise KeyError("a bug of ours")
        return real(given, *arguments, **more)

    monkeypatch.setattr(reconciler, work, breaks)
    simulation = Simulation()
    places = SETTINGS.max_concurrent_runs
    tests = [a_test("bad", scenario=[{"expect": ["true"]}])]
    for number in range(places):
        simulation.apply(f"bad-{number}", services=[], tests=tests)
    simulation.apply("good", services=[], tests=[{**tests[0], "name": "good"}])

    simulation.settle()

    assert simulation.status("good")["verdict"] == "Passed"
    for number in range(places):
        status = simulation.status(f"bad-{number}")
        assert status["verdict"] == "Error"
        # What a bug says may quote a Secret.
        assert "cannot be read: KeyError. This is a fault in Seatrial" in status["message"]


def test_a_run_that_takes_too_much_memory_is_not_told_as_a_fault_in_seatrial(monkeypatch):
    def breaks(*_):
        raise MemoryError

    monkeypatch.setattr(reconciler, "validate", breaks)
    simulation = Simulation(services=[a_service()], tests=[a_test()])
    simulation.settle()

    assert simulation.status()["verdict"] == "Error"
    assert "needs more memory than the operator has" in simulation.status()["message"]


def test_a_refusal_that_quotes_a_long_word_fits_into_the_status():
    inline = f"apiVersion: v1\nkind: {'X' * 5000}\nmetadata: {{name: a}}\n"
    simulation = Simulation(services=[{"name": "a", "manifests": {"inline": inline}}])
    simulation.settle()

    assert simulation.status()["verdict"] == "Error"
    assert len(simulation.status()["message"]) <= 2048  # or the API server takes none of it


@pytest.mark.parametrize("error", [ForbiddenError("no"), RuntimeError("a bug of ours")])
def test_a_look_that_fails_is_logged_with_the_run_it_was_at(caplog, error):
    body = a_run()
    body["metadata"]["resourceVersion"] = "1"
    uid = body["metadata"]["uid"]

    async def look(_):
        raise error

    async def course():
        settings = SimpleNamespace(plan=SETTINGS)
        work = _Work(settings, Configuration(), None, Metrics(), asyncio.Event())
        work._reconciler = SimpleNamespace(look=look)
        work._world.see_run(body)
        worker = asyncio.create_task(work._work())
        async with asyncio.timeout(30):
            while not caplog.records:  # noqa: ASYNC110  # a record has no event to wait for
                await asyncio.sleep(0)
        work._queue.close()
        await worker

    asyncio.run(course())

    [record] = caplog.records
    assert (record.run, record.namespace, record.uid) == ("checkout", "shop", uid)


@pytest.mark.parametrize(
    ("plural", "name"), [("configmaps", names.JOURNAL_CONFIGMAP), ("pods", names.CONDUCTOR)]
)
def test_whoever_labels_many_objects_of_theirs_like_ours_does_not_fill_our_memory(plural, name):
    watching = watches.settings().watching
    resource = kopf.Resource("", "v1", plural)

    assert list(watching.field_selectors.collect(resource)) == [f"metadata.name={name}"]
    assert watching.chunk_size <= 100  # at most a MiB each


def test_a_run_that_refers_to_more_than_the_operator_holds_is_refused():
    count, each = 30, {"big": "x" * 1_000_000}
    references = [{"configMap": f"big-{i}"} for i in range(count)]
    tests = [
        a_test(f"t{i}", container={"image": "any:1", "envFrom": references[i : i + 8]})
        for i in range(0, count, 8)
    ]
    simulation = Simulation(services=[], tests=tests)
    for i in range(count):
        metadata = {"name": f"big-{i}", "labels": {names.LABEL_READABLE: "runs"}}
        body = {"kind": "ConfigMap", "metadata": metadata, "data": each}
        simulation.cluster.objects["ConfigMap", "shop", f"big-{i}"] = body

    simulation.settle()

    assert simulation.status()["verdict"] == "Error"
    assert "refers to more than 8 MiB of ConfigMaps" in simulation.status()["message"]
    assert simulation.cluster.requests < count  # the rest is not even read
    assert len(json.dumps(simulation.status())) < 10_000


def test_what_the_environment_was_made_from_is_forgotten_once_it_is_there():
    simulation = Simulation(services=[a_service()], tests=[a_test()])
    simulation.until("Provisioning")
    (entry,) = simulation.world.entries.values()
    assert entry.blueprint is not None

    simulation.until("Running")
    simulation.queue.add(entry.record.run["metadata"]["uid"])
    simulation.look()

    assert entry.blueprint is None
