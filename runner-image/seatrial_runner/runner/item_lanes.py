"""Which unique values the tests of a session make: each others, whatever process it runs in."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from seatrial.api.lanes import Lane

from seatrial_runner.runner.session import SESSION

_NUMBER = pytest.StashKey[int]()
_LANE = pytest.StashKey[Lane]()
_COUNT = pytest.StashKey[int]()


def number_items(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Count all that was collected, before anything is left out: a test alone makes the same."""
    count = config.stash.get(_COUNT, 0)
    new = [item for item in items if _NUMBER not in item.stash]
    for number, item in enumerate(new, start=count):
        item.stash[_NUMBER] = number
    config.stash[_COUNT] = count + len(new)


def lane_of_item(item: pytest.Item) -> Lane:
    """Give what the unique values of a test are made of; when it runs again, it goes on."""
    if _LANE not in item.stash:
        item.stash[_LANE] = _part(item.config, item.stash[_NUMBER] + 1)
    return item.stash[_LANE]


def shared_lane(config: pytest.Config) -> Lane:
    """Give that of what all tests of this session share."""
    return _part(config, 0)


def _part(config: pytest.Config, number: int) -> Lane:
    session, lane = config.stash[SESSION], Lane()
    if session.reports:
        settings = session.settings
        lane = lane.part(*settings.lane).part(settings.shard, settings.shards)
        lane = lane.time(settings.attempt - 1)
    return lane.part(number, config.stash[_COUNT] + 1)
