"""What tests load is removed, and only that: by tags that are some, of tables that are known."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.data_specification import DataError
from seatrial_runner.runner.databases import Data, Sql

from tests.support.scenarios import a_world, run_steps


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("create table customers (id int, tag text)")
        connection.execute("insert into customers values (1, 'other'), (2, null)")
    return file


@pytest.fixture
def ids(database: Path) -> Callable[[], list[int]]:
    def ids() -> list[int]:
        with closing(sqlite3.connect(database)) as connection:
            return [row[0] for row in connection.execute("select id from customers order by id")]

    return ids


@pytest.fixture
def data(database: Path) -> Iterator[Data]:
    sql = Sql({"db": f"sqlite:///{database}"})
    yield Data(sql, "seed", [database.parent])
    sql.close()


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"tag": None}, "tag: is null, which is no tag: give the value"),
        ({"id": 3, "tag": None}, "tag: is null, which is no tag: give the value"),
        ({}, ": names no column: give values of the rows"),
    ],
)
def test_tags_that_are_none_remove_nothing(
    data: Data, ids: Callable[[], list[int]], tags: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError, match=rf"^clean\.?{told}"):
        data.rows("db", customers=[{"id": 3}], clean=tags)
    with pytest.raises(DataError, match=rf"^where\.?{told}"):
        data.clean("db", "customers", where=tags)
    with pytest.raises(DataError, match=rf"^where\.?{told}"):
        data.assert_none_left("db", "customers", where=tags)
    data.close()
    assert ids() == [1, 2]


@pytest.mark.parametrize("by", ["delete", "nothing"])
def test_a_step_by_a_tag_that_is_null_is_refused(
    database: Path, ids: Callable[[], list[int]], by: str
) -> None:
    where = {"id": 2, "tag": "{{ tag }}"}
    steps = [
        {"set": {"tag": "null"}},
        {"data": {"service": "db", "clean": {"tables": ["customers"], "by": by, "where": where}}},
    ]
    failed = run_steps(steps, a_world(connections={"db": f"sqlite:///{database}"}))
    assert "db: clean.where.tag: is null, which is no tag: give the value" in failed.message
    assert ids() == [1, 2]


@pytest.mark.parametrize("clean", [{}, {"clean": "empty"}, {"clean": {"tag": "mine"}}])
def test_a_script_which_nobody_can_remove_by_its_tables_has_to_be_kept(
    data: Data, database: Path, ids: Callable[[], list[int]], clean: dict[str, Any]
) -> None:
    script = database.with_name("more.sql")
    script.write_text("insert into customers values (3, 'mine')")
    with pytest.raises(DataError, match=r"^more\.sql: names no tables .*: give clean=None, and"):
        data.file("db", script.name, **clean)
    assert ids() == [1, 2]
    data.file("db", script.name, clean=None)
    data.close()
    assert ids() == [1, 2, 3]
