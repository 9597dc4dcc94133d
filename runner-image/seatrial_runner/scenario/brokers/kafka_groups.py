"""How far Kafka's groups of consumers have come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from seatrial_runner.scenario.brokers.interface import pauses

# A broker makes what it keeps of groups when it is first asked for one.
_NOT_YET = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)


class Groups:
    """Asks for what groups have committed; belongs to none. What it raises is aiokafka's."""

    def __init__(self, **connection: Any) -> None:
        self._admin = AIOKafkaAdminClient(**connection)
        # What a transaction has not yet committed waits for nobody.
        self._topics = AIOKafkaConsumer(isolation_level="read_committed", **connection)

    async def start(self) -> None:
        """Connect."""
        await self._admin.start()
        await self._topics.start()

    async def lag(self, group: str, topic: str, partitions: Iterable[int]) -> int | None:
        """
        Count what a group has not committed of a topic.

        Of a partition of which it has committed nothing, that is all there is. What is committed
        meanwhile may be counted; what came before is never left out.

        Returns:
            None if there is no such group.
        """
        places = [TopicPartition(topic, number) for number in partitions]
        committed = await self._committed(group, places)
        if all(each.offset < 0 for each in committed.values()) and not await self._exists(group):
            return None
        first = await self._topics.beginning_offsets(places)
        ends = await self._topics.end_offsets(places)
        lag: int = sum(
            max(0, ends[each] - max(committed[each].offset, first[each])) for each in places
        )
        return lag

    async def _committed(self, group: str, places: list[TopicPartition]) -> dict[Any, Any]:
        pause = pauses()
        while True:
            with contextlib.suppress(*_NOT_YET):
                found: dict[Any, Any] = await self._admin.list_consumer_group_offsets(
                    group, partitions=places
                )
                # NB: of an answer that is an error as a whole, aiokafka makes one without any.
                if found.keys() >= set(places):
                    return found
            await asyncio.sleep(next(pause))

    async def _exists(self, group: str) -> bool:
        [answer] = await self._admin.describe_consumer_groups([group])
        # Source: Kafka's protocol, DescribeGroups: one that is not there is Dead.
        return all(state != "Dead" for _, _, state, *_ in answer.groups)

    async def close(self) -> None:
        """Disconnect."""
        with contextlib.suppress(KafkaError, OSError):
            await self._topics.stop()
        with contextlib.suppress(KafkaError, OSError):
            await self._admin.close()
