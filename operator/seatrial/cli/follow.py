"""A run as it changes, through outages of the API server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from seatrial.api.errors import ForbiddenError, NotFoundError
from seatrial.cli.client import Cluster, RefusedError, UnreachableError, runs_path
from seatrial.cli.exits import CommandError, Exit

Json = dict[str, Any]

RETRY_S = 1.0
# An API server that has just started refuses everybody until it has read its roles.
FORBIDDEN_RETRIES = 15


def follow(cluster: Cluster, namespace: str, name: str, uid: str) -> Iterator[Json | None]:
    """
    Give the run now and after each change, for ever; now and then the same again.

    Gives None while the API server cannot be reached, once a second.

    Raises:
        CommandError: The run, the one with this UID, was deleted.
    """
    forbidden = 0
    while True:
        try:
            run = cluster.get(runs_path(namespace, name))
            forbidden = 0
            yield _same(run, name, uid)
            events = cluster.watch(
                runs_path(namespace),
                fieldSelector=f"metadata.name={name}",
                resourceVersion=run["metadata"]["resourceVersion"],
            )
            for event in events:
                if event["type"] == "DELETED":
                    raise _gone(name)
                yield _same(event["object"], name, uid)
        except NotFoundError:
            raise _gone(name) from None
        except (UnreachableError, ForbiddenError) as error:
            forbidden += isinstance(error, ForbiddenError)
            if forbidden > FORBIDDEN_RETRIES:
                raise
            yield None
            time.sleep(RETRY_S)
        except RefusedError as error:
            # 410 Gone: the watch was too far behind; read the run again.
            if error.status != 410:
                raise


def _same(run: Json, name: str, uid: str) -> Json:
    if run["metadata"]["uid"] != uid:
        raise _gone(name)
    return run


def _gone(name: str) -> CommandError:
    return CommandError(f"run {name} was deleted by somebody while it went on", Exit.NOT_FOUND)
