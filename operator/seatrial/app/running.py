"""The operator at work: watches, workers, events; from taking the Lease to letting go of it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta

import kopf
from kubernetes.aio.client import Configuration

from seatrial.api.errors import ClusterError, ConflictError
from seatrial.api.run import Metadata
from seatrial.app import clock, watches
from seatrial.app.election import lead
from seatrial.app.health import serve
from seatrial.app.metrics import Metrics
from seatrial.app.reconciler import Reconciler
from seatrial.app.settings import Settings
from seatrial.app.workqueue import WorkQueue
from seatrial.app.world import World, log_fields
from seatrial.cluster.client import Client
from seatrial.cluster.connection import certificates, configuration
from seatrial.cluster.events import post_event
from seatrial.cluster.kinds import RUN
from seatrial.cluster.lease import Fence, Lease
from seatrial.plan.events import Event

logger = logging.getLogger(__name__)

_WORKERS = 32  # they mostly wait for the API server
_MAX_DELAY = timedelta(seconds=30)
_SHUTDOWN_S = 5.0
_MAX_EVENTS = 1000  # waiting to be told; more are dropped, because nothing rests on them


async def run_operator(settings: Settings, kubeconfig: str | None, stop: asyncio.Event) -> None:
    """
    Run until told to stop.

    Args:
        settings: From the environment.
        kubeconfig: Path of a kubeconfig file; None in a pod.
        stop: Set by the signal handlers.

    Raises:
        LeaseLostError: Another operator has taken over; this process must end.
    """
    config = await configuration(kubeconfig)
    metrics = Metrics()
    ready = asyncio.Event()
    async with AsyncExitStack() as stack:
        fence = Fence()
        client = Client(config, metrics.request, fence.is_open)
        stack.push_async_callback(client.close)
        work = _Work(settings, config, client, metrics, ready)
        await stack.enter_async_context(serve(settings.http_port, metrics.registry, ready.is_set))
        identity = settings.identity
        lease = Lease(client, settings.namespace, settings.lease, identity, clock.now, fence)
        await lead(lease, work.run, stop, on_standby=ready.set)


class _Work:
    """Everything that only the leader does."""

    def __init__(
        self,
        settings: Settings,
        config: Configuration,
        client: Client,
        metrics: Metrics,
        ready: asyncio.Event,
    ) -> None:
        self._config = config
        self._client = client
        self._metrics = metrics
        self._ready = ready
        self._queue = WorkQueue()
        self._world = World(self._queue, settings.plan.max_concurrent_runs)
        self._events: asyncio.Queue[tuple[Metadata, Event]] = asyncio.Queue(_MAX_EVENTS)
        self._failures: dict[str, int] = {}
        self._reconciler = Reconciler(
            client=client,
            world=self._world,
            queue=self._queue,
            settings=replace(settings.plan, api_ca=certificates(config)),
            metrics=metrics,
            now=clock.now,
            tell=self._tell,
        )
        metrics.watch(self._queue.__len__, self._world.phases.values)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; then end the looks that are under way."""
        self._metrics.leader.set(1)
        await self._list_runs(stop)
        # NB: before kopf starts: at its end it cancels every task that was not there at its start.
        workers = [asyncio.create_task(self._work(), name=f"worker {n}") for n in range(_WORKERS)]
        telling = asyncio.create_task(self._tell_events(), name="events")
        grace_s = 0.0  # for looks that are under way, if the Lease is lost
        try:
            await kopf.operator(
                registry=watches.registry(self._world, self._config),
                settings=watches.settings(),
                clusterwide=True,
                stop_flag=stop,
                ready_flag=self._ready,
            )
            grace_s = _SHUTDOWN_S
        finally:
            self._queue.close()
            await asyncio.wait(workers, timeout=grace_s)
            for task in (*workers, telling):
                task.cancel()
            await asyncio.gather(*workers, telling, return_exceptions=True)
            self._metrics.leader.set(0)

    async def _list_runs(self, stop: asyncio.Event) -> None:
        """Learn of all runs before the first is admitted: others may have taken its place."""
        while not stop.is_set():
            try:
                async for body in self._client.items(RUN):
                    self._world.see_run(body)
            except ClusterError as error:
                logger.warning("the runs could not be listed", extra={"error": str(error)})
                await asyncio.sleep(1)
            else:
                return

    async def _work(self) -> None:
        while (key := await self._queue.take()) is not None:
            try:
                with self._metrics.looks.time():
                    await self._reconciler.look(key)
                self._failures.pop(key, None)
            except ConflictError:
                # What it was decided on is old: the watch brings the newer state, or has already.
                self._retry(key, "Conflict", timedelta(milliseconds=50))
            except ClusterError as error:
                self._complain(key, error)
            # A bug that one run meets must not take a worker from all the others.
            except Exception:
                logger.exception("a look at a run broke", extra=self._world.log_fields(key))
                self._retry(key, "Bug", timedelta(seconds=15))
            finally:
                self._queue.done(key)

    def _complain(self, key: str, error: ClusterError) -> None:
        fields = {**self._world.log_fields(key), "error": str(error)}
        logger.warning("a look at a run failed", extra=fields)
        self._retry(key, error.reason, error.retry_after or timedelta(seconds=15))

    def _retry(self, key: str, reason: str, delay: timedelta) -> None:
        self._metrics.failed(reason)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._queue.add_after(key, min(delay * 2 ** min(failures - 1, 5), _MAX_DELAY))

    def _tell(self, metadata: Metadata, event: Event) -> None:
        with suppress(asyncio.QueueFull):
            self._events.put_nowait((metadata, event))

    async def _tell_events(self) -> None:
        while True:
            metadata, event = await self._events.get()
            try:
                await post_event(self._client, metadata, event, clock.now())
            except ClusterError as error:
                fields = {**log_fields(metadata), "event": event.reason, "error": str(error)}
                logger.info("an event was not told", extra=fields)
