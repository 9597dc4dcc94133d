"""What a test pod is told by its environment. Plain: the gate's start depends on it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from seatrial.api import names

# Between the ``pytest`` command and the plugin in the process it starts.
ENV_ATTEMPT = "SEATRIAL_ATTEMPT"
ENV_OUTCOME_FILE = "SEATRIAL_OUTCOME_FILE"  # where the plugin writes what came of the session
ENV_ONLY_FILE = "SEATRIAL_ONLY_FILE"  # JSON list of the node ids to run again


class MissingSettingError(Exception):
    """A variable that the operator sets in every test pod is not there."""


class Settings:
    """Where the conductor is, and which test and shard this pod is for."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.url = environ.get(names.ENV_CONDUCTOR_URL, "")
        self.token = environ.get(names.ENV_TOKEN, "")
        self.test = environ.get(names.ENV_TEST, "")
        self.shard = int(environ.get(names.ENV_SHARD) or 0)
        self.shards = int(environ.get(names.ENV_SHARDS) or 1)
        self.seed = environ.get(names.ENV_SEED, "")
        index, _, of = environ.get(names.ENV_LANE, "").partition("/")
        self.lane = (int(index or 0), int(of or 1))
        self.attempt = int(environ.get(ENV_ATTEMPT) or 1)

    def require(self) -> Settings:
        """
        Make sure that this is a test pod.

        Raises:
            MissingSettingError: It names the variable.
        """
        for name, value in ((names.ENV_CONDUCTOR_URL, self.url), (names.ENV_TEST, self.test)):
            if not value:
                raise MissingSettingError(
                    f"{name} is not set: this command runs in the pods of a Seatrial run"
                )
        return self
