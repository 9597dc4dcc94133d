"""
``python -m tests.bench.sql_steps``: what a sql step costs beside psycopg and asyncpg alone.

On a PostgreSQL of its own on loopback. ``tests.bench.steps`` has these lines in its table.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import asyncpg
import psycopg
from seatrial_runner.scenario import World

from tests.bench.steps import HEAD, Row, in_turns, per_second, run_steps
from tests.support.postgres import client, postgres

COUNT = 1000
QUERY = "select id, status from orders where id = :id"
STEP: dict[str, object] = {
    "sql": {"service": "db", "query": QUERY, "params": {"id": 7}},
    "expect": ["row.status == 'paid'"],
    "capture": {"order": "row.id"},
}


def sql_steps(url: str) -> Iterator[Row]:
    """Measure sql steps with an expectation and a capture against loops that check the same."""
    world = World(connections={"db": url})

    def ours() -> float:
        return per_second(COUNT, lambda: run_steps(STEP, COUNT, world))

    def with_psycopg() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(COUNT):
                found = connection.execute(QUERY.replace(":id", "%s"), (7,)).fetchone()
                assert found == (7, "paid")

    async def with_asyncpg() -> None:
        connection = await asyncpg.connect(url)
        try:
            for _ in range(COUNT):
                found = await connection.fetchrow(QUERY.replace(":id", "$1"), 7)
                assert found is not None
                assert found["status"] == "paid"
        finally:
            await connection.close()

    yield Row(
        "sql steps, against psycopg",
        "/s",
        *in_turns(ours, lambda: per_second(COUNT, with_psycopg)),
    )
    yield Row(
        "sql steps, against asyncpg",
        "/s",
        *in_turns(ours, lambda: per_second(COUNT, lambda: asyncio.run(with_asyncpg()))),
    )


def measured() -> Iterator[Row]:
    """Run a database, and measure on it."""
    with postgres() as port:
        client(port, "psql", "-c", "create table orders (id int primary key, status text)")
        client(port, "psql", "-c", "insert into orders values (7, 'paid')")
        yield from sql_steps(f"postgresql://postgres@127.0.0.1:{port}/postgres")


def main() -> int:
    """Measure, and print the table."""
    print(HEAD)
    for row in measured():
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
