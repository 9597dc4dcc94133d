"""Makes rows, one after another: a million take the memory of one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from seatrial.api.data_specification import MAX_ROWS, DataError, EntityPlan, FieldPlan
from seatrial.api.lanes import Lane

from seatrial_runner.data.fields import Make, chooser, maker, with_nulls
from seatrial_runner.data.json_schema import Sampler


@dataclass
class _Pool:
    """Values of a field that others refer to: computed where it counts up, else kept."""

    first: int = 0
    step: int = 0
    size: int = 0
    values: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        return self.first + index * self.step if self.step else self.values[index]


class Generator:
    """
    Makes the rows of entities that refer to one another.

    The rows of an entity are to be used up before those of the next are asked for.

    Args:
        plans: As ``read_specification`` gives them.
        seed: The same gives the same rows.
        lane: What unique values are made of; of another lane they are others. Without one they are
            unique among these rows.
        owner: Whose fields they are; empty: of the table that the entity is named after.
    """

    def __init__(
        self, plans: list[EntityPlan], seed: str, lane: Lane | None = None, owner: str = ""
    ) -> None:
        self._owner = owner
        self._plans = plans
        self._seed = seed
        self._lane = lane or Lane()
        self._pools: dict[tuple[str, str], _Pool] = {}
        self._total = 0

    def entities(self) -> Iterator[tuple[EntityPlan, list[str], Iterator[tuple[Any, ...]]]]:
        """Give each entity with its columns and rows, in the order in which they refer."""
        for plan in self._plans:
            if plan.schema is None:
                yield plan, [each.name for each in plan.fields], self._rows(plan)
            else:
                yield plan, _columns(plan), self._sampled(plan)

    def documents(self) -> dict[str, list[dict[str, Any]]]:
        """Give all rows as maps, by entity."""
        return {
            plan.name: [dict(zip(columns, row, strict=True)) for row in rows]
            for plan, columns, rows in self.entities()
        }

    def _rng(self, *names: str) -> Random:
        digest = hashlib.sha256("/".join([self._seed, *names]).encode()).digest()
        return Random(int.from_bytes(digest[:16], "big"))

    def _rows(self, plan: EntityPlan) -> Iterator[tuple[Any, ...]]:
        parent = _Parent()
        makers = [self._maker(plan, each, parent) for each in plan.fields]
        kept = self._kept(plan)
        for n in self._numbers(plan, parent):
            row = tuple([make(n) for make in makers])
            for index, pool in kept:
                pool.size = n + 1
                if not pool.step:
                    pool.values.append(row[index])
            yield row

    def _sampled(self, plan: EntityPlan) -> Iterator[tuple[Any, ...]]:
        assert plan.schema is not None
        sampler, rng = Sampler(plan.schema), self._rng(plan.name)
        columns = _columns(plan)
        kept = [
            (name, self._pools.setdefault((plan.name, name), _Pool()))
            for name in self._wanted(plan.name)
        ]
        for n in self._numbers(plan, _Parent()):
            value = sampler.sample(rng)
            if not isinstance(value, dict):
                raise DataError(f"{plan.name}.schema", "is no schema of an object")
            for name, pool in kept:
                pool.size = n + 1
                pool.values.append(value.get(name))
            yield tuple(value.get(name) for name in columns)

    def _numbers(self, plan: EntityPlan, parent: _Parent) -> Iterator[int]:
        """Count the rows of an entity, and say which row of its parent each belongs to."""
        if not plan.per:
            self._count(plan, plan.count)
            yield from range(plan.count)
            return
        rng, n = self._rng(plan.name, "count"), 0
        for index in range(self._size(plan.per)):
            parent.index = index
            for _ in range(rng.randint(plan.count, plan.most)):
                self._count(plan, 1)
                yield n
                n += 1

    def _count(self, plan: EntityPlan, more: int) -> None:
        self._total += more
        if self._total > MAX_ROWS:
            raise DataError(plan.name, f"would be more than {MAX_ROWS} rows in all")

    def _size(self, entity: str) -> int:
        plan = next(each for each in self._plans if each.name == entity)
        if not plan.per:
            return plan.count
        rng = self._rng(entity, "count")
        return sum(rng.randint(plan.count, plan.most) for _ in range(self._size(plan.per)))

    def _maker(self, plan: EntityPlan, each: FieldPlan, parent: _Parent) -> Make:
        rng = self._rng(plan.name, each.name)
        if each.refers_to is None:
            return maker(each, rng, self._lane, (self._owner or plan.name, each.name))
        entity, name = each.refers_to
        where = f"{plan.name}.fields.{each.name}"
        if entity == plan.name:
            return with_nulls(self._earlier(plan, name, rng), each.nulls, rng)
        pool = self._pools.get((entity, name)) or _Pool()
        if plan.per == entity:
            return with_nulls(lambda _: pool[parent.index], each.nulls, rng)
        return with_nulls(_refer(pool, each, rng, where), each.nulls, rng)

    def _earlier(self, plan: EntityPlan, name: str, rng: Random) -> Make:
        """Refer to a row before this one; the first refers to none."""
        pool = self._pools.setdefault((plan.name, name), self._pool(plan, name))
        return lambda n: pool[int(rng.random() * n)] if n else None

    def _kept(self, plan: EntityPlan) -> list[tuple[int, _Pool]]:
        names = [each.name for each in plan.fields]
        return [
            (
                names.index(name),
                self._pools.setdefault((plan.name, name), self._pool(plan, name)),
            )
            for name in self._wanted(plan.name)
        ]

    def _wanted(self, entity: str) -> list[str]:
        """Name the fields of an entity that others refer to."""
        found = [
            each.refers_to[1]
            for plan in self._plans
            for each in plan.fields
            if each.refers_to and each.refers_to[0] == entity
        ]
        return list(dict.fromkeys(found))

    def _pool(self, plan: EntityPlan, name: str) -> _Pool:
        each = next(each for each in plan.fields if each.name == name)
        if each.kind == "sequence" and not each.nulls and not each.unique:
            return _Pool(each.options.get("start", 1), each.options.get("step", 1) or 1)
        return _Pool()


@dataclass
class _Parent:
    """Which row of its parent the row that is made belongs to."""

    index: int = 0


def _refer(pool: _Pool, each: FieldPlan, rng: Random, where: str) -> Make:
    if not len(pool):
        raise DataError(where, "refers to an entity without rows")
    if each.unique:
        if each.distribution != "uniform":
            raise DataError(where, "is unique, and so has no distribution")
        order = list(range(len(pool)))
        rng.shuffle(order)

        def next_one(n: int) -> Any:
            if n >= len(order):
                raise DataError(where, f"is unique, and there are only {len(order)} to refer to")
            return pool[order[n]]

        return next_one
    if each.distribution == "zipf":
        choose: Callable[[int], Any] = chooser(list(range(len(pool))), None, "zipf", rng)
        return lambda n: pool[choose(n)]
    size = len(pool)
    return lambda _: pool[int(rng.random() * size)]


def _columns(plan: EntityPlan) -> list[str]:
    properties = (plan.schema or {}).get("properties")
    if not isinstance(properties, dict) or not properties:
        raise DataError(f"{plan.name}.schema", "give properties: they are the columns")
    return list(properties)
