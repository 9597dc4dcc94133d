"""A run as it changes, through outages of the API server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from seatrial.api.errors import ForbiddenError, NotFoundError
from seatrial.cli.client import QUIET_WATCH_S, Cluster, RefusedError, UnreachableError, runs_path
from seatrial.cli.exits import CommandError, Exit

Json = dict[str, Any]

RETRY_S = 1.0
# An API server that has just started refuses everybody until it has read its roles and accounts,
# and knows no runs until it has read their definition.
DENIED_RETRIES = 15


def follow(cluster: Cluster, run: Json, deadline: float | None = None) -> Iterator[Json | None]:
    """
    Give the run now and after each change, for ever; now and then the same again.

    Gives None while the API server cannot be reached, once a second.

    Args:
        cluster: Where the run is.
        run: The run, as last seen.
        deadline: Moment on the monotonic clock at which the caller wants to have a look.

    Raises:
        CommandError: The run, the one with this UID, was deleted.
    """
    metadata = run["metadata"]
    namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    denied = 0
    while True:
        try:
            run = cluster.get(runs_path(namespace, name))
            yield _same(run, name, uid)
            events = cluster.watch(
                runs_path(namespace),
                quiet_s=_patience_s(deadline),
                fieldSelector=f"metadata.name={name}",
                resourceVersion=run["metadata"]["resourceVersion"],
            )
            for event in events:
                if event["type"] == "DELETED":
                    raise _GoneError(name)
                yield _same(event["object"], name, uid)
            denied = 0
        except NotFoundError:
            raise _GoneError(name) from None
        except UnreachableError:
            yield None
            time.sleep(RETRY_S)
        except (ForbiddenError, CommandError) as error:
            denied += 1
            if denied > DENIED_RETRIES or isinstance(error, _GoneError):
                raise
            yield None
            time.sleep(RETRY_S)
        except RefusedError as error:
            # 410 Gone: the watch was too far behind; read the run again.
            if error.status != 410:
                raise


def _patience_s(deadline: float | None) -> float:
    if deadline is None:
        return QUIET_WATCH_S
    return min(QUIET_WATCH_S, max(0.1, deadline - time.monotonic()))


def _same(run: Json, name: str, uid: str) -> Json:
    if run["metadata"]["uid"] != uid:
        raise _GoneError(name)
    return run


class _GoneError(CommandError):
    def __init__(self, name: str) -> None:
        super().__init__(f"run {name} was deleted by somebody while it went on", Exit.NOT_FOUND)
