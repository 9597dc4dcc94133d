"""The pod of namespaces, once for all tests; an agent for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.pod import Agent, Pod


@pytest.fixture(scope="session")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    if os.geteuid():
        pytest.skip("namespaces are made by root only")
    folder: Path = tmp_path_factory.mktemp("pod")
    made = Pod(folder)
    yield made
    made.close()


@pytest.fixture
def agent(pod: Pod) -> Iterator[Agent]:
    started = Agent(pod)
    yield started
    started.close()
