"""``data`` against PostgreSQL, MariaDB and SQLite: loaded, referred to, removed, nothing left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult
from seatrial_runner.scenario.databases.loading import BATCH

from tests.support.memory import with_most_mib
from tests.support.scenarios import run_steps

Run = Callable[..., InstanceResult]
SCHEMA = {
    "postgresql": "id serial primary key",
    "mariadb": "id int auto_increment primary key",
    "sqlite": "id integer primary key autoincrement",
}
SHOP = {
    "customers": {
        "count": 50,
        "fields": {
            "id": {"sequence": {"start": 1}},
            "name": "fullName",
            "email": {"provider": "email", "unique": True},
            "born": {"date": {"from": "1950-01-01", "to": "2005-12-31"}},
            "tag": {"constant": "{{ run.id }}"},
        },
    },
    "orders": {
        "count": {"per": "customers", "min": 1, "max": 3},
        "fields": {
            "customer": {"reference": "customers.id"},
            "total": {"number": {"min": 1, "max": 500}},
            "document": {"schema": {"type": "object", "properties": {"a": {"const": [1]}}}},
            "tag": {"constant": "{{ run.id }}"},
        },
    },
}


@pytest.fixture(params=list(SCHEMA))
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(product: str, run_there: Run) -> Run:
    number = SCHEMA[product]
    kind = "jsonb" if product == "postgresql" else "json"
    script = f"""
    drop table if exists orders; drop table if exists customers;
    create table customers ({number}, name varchar(80), email varchar(80) unique, born date,
      tag varchar(40));
    create table orders ({number}, customer int not null, total decimal(10, 2), document {kind},
      tag varchar(40), foreign key (customer) references customers (id));
    """
    passed(run_there({"sql": {"service": "db", "script": script}}))
    return run_there


def passed(result: InstanceResult) -> None:
    assert result.outcome == "passed", f"{result.message}\n{result.details}"


def sql(query: str) -> dict[str, Any]:
    return {"service": "db", "query": query}


def clean(**more: Any) -> dict[str, Any]:
    return {"data": {"service": "db", "clean": {"tables": ["customers", "orders"], **more}}}


def test_what_is_generated_is_there_and_refers(run: Run) -> None:
    joined = "select count(*) as n from orders join customers on customers.id = orders.customer"
    passed(
        run(
            {
                "data": {"service": "db", "generate": SHOP},
                "expect": [
                    "data.counts.customers == 50",
                    "data.counts.orders >= 50",
                    "data.rows.customers[0].id == 1",
                    "data.seed == run.id",
                ],
                "capture": {"orders": "data.counts.orders", "first": "data.rows.customers[0]"},
            },
            {"sql": sql(joined), "expect": ["row.n == orders"]},
            {
                "sql": sql("select * from customers where id = 1"),
                "expect": ["row.email == first.email", "row.born == first.born"],
            },
            # The table goes on counting behind what was loaded.
            {"sql": sql("insert into customers (name) values ('next')")},
            {"sql": sql("select max(id) as id from customers"), "expect": ["row.id == 51"]},
        )
    )


def test_a_document_is_json_in_the_database(run: Run, product: str) -> None:
    query = {
        "postgresql": "select document->'a'->>0 as a from orders where document ? 'a'",
        "mariadb": "select json_value(document, '$.a[0]') as a from orders having a is not null",
        "sqlite": "select json_extract(document, '$.a[0]') as a from orders where document <> '{}'",
    }[product]
    passed(
        run(
            {"data": {"service": "db", "generate": SHOP}},
            {"sql": sql(query), "expect": ["string(row.a) == '1'"]},
        )
    )


def test_rows_are_loaded_as_they_are_written(run: Run) -> None:
    rows = {
        "customers": [{"id": 7, "name": "Ada {{ run.test }}"}, {"id": 8, "born": "2001-02-03"}],
        "orders": [{"customer": 7, "total": 12.5, "document": {"x": "'; --"}}],
    }
    passed(
        run(
            {"data": {"service": "db", "rows": rows}, "expect": ["data.counts.orders == 1"]},
            {
                "sql": sql("select name, born from customers order by id"),
                "expect": [
                    "rows[0].name == 'Ada ' + run.test",
                    "rows[0].born == null",
                    "rows[1].born == '2001-02-03'",
                ],
            },
        )
    )


def test_a_load_that_fails_leaves_nothing(run: Run) -> None:
    rows = {"customers": [{"id": 7}], "orders": [{"customer": 99}]}
    failed = run({"data": {"service": "db", "rows": rows}})
    assert "(foreignKeyViolation, " in failed.message
    passed(run(clean(by="nothing")))


@pytest.mark.parametrize("by", ["truncate", "delete"])
def test_tables_are_emptied_whatever_their_order(run: Run, by: str) -> None:
    passed(
        run(
            {"data": {"service": "db", "generate": SHOP}},
            {**clean(by=by), "expect": ["data.counts == {'customers': 0, 'orders': 0}"]},
        )
    )


def test_only_what_has_the_tag_is_deleted(run: Run) -> None:
    others = {"customers": [{"id": 1000, "tag": "other"}]}
    passed(
        run(
            {"data": {"service": "db", "rows": others}},
            {"data": {"service": "db", "generate": SHOP}},
            clean(where={"tag": "{{ run.id }}"}),
            {"sql": sql("select tag from customers"), "expect": ["rows == [{'tag': 'other'}]"]},
        )
    )


def test_what_is_left_fails_with_its_count(run: Run) -> None:
    failed = run({"data": {"service": "db", "generate": SHOP}}, clean(by="nothing"))
    assert "db: something is left: customers has 50 rows, orders has " in failed.message
    passed(run(clean(by="nothing", where={"tag": "{{ run.id }}"})))


def test_a_table_that_others_refer_to_is_not_emptied(run: Run) -> None:
    alone = {"data": {"service": "db", "clean": {"tables": ["customers"]}}}
    failed = run({"data": {"service": "db", "generate": SHOP}}, alone)
    assert "(foreignKeyViolation, " in failed.message


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"generate": {"t": {"fields": {"a": "nam"}}}}, "t.fields.a.provider: there is no 'nam'"),
        ({"generate": {"nowhere": {"fields": {"a": "city"}}}}, "(undefinedTable, "),
        ({"rows": {"customers": [1]}}, "customers: give a list of rows"),
        ({"clean": {"tables": ["nowhere"]}}, "(undefinedTable, "),
        (
            {"clean": {"tables": ["orders"], "by": "truncate", "where": {"tag": "x"}}},
            "truncate removes every row",
        ),
    ],
)
def test_what_cannot_work_is_said(run: Run, document: dict[str, Any], message: str) -> None:
    failed = run({"data": {"service": "db", **document}})
    assert failed.outcome == "failed"
    assert message in failed.message


def test_data_without_a_database_is_only_made() -> None:
    specification = {"people": {"count": 3, "fields": {"name": "fullName"}}}
    step = {
        "data": {"generate": specification, "seed": "s"},
        "expect": ["size(data.rows.people) == 3", "data.rows.people[0].name != ''"],
        "capture": {"name": "data.rows.people[0].name"},
    }
    again = {**step, "expect": ["data.rows.people[0].name == name"], "capture": {}}
    passed(run_steps([step, again]))


def test_loading_ends_when_its_time_is_over(postgresql_url: str) -> None:
    step = {
        "data": {
            "url": postgresql_url,
            "timeout": "500ms",
            "generate": {"late": {"count": 900_000, "fields": {"name": "fullName"}}},
        }
    }
    result = run_steps(
        [
            {
                "sql": {
                    "url": postgresql_url,
                    "script": "create table if not exists late (name text)",
                }
            },
            step,
        ],
    )
    assert "(timeout)" in result.message
    assert "the test's time" not in result.message


FIELDS = {
    "id": {"sequence": {}},
    "customer": {"integer": {"min": 1, "max": 1000}},
    "total": {"number": {"min": 1, "max": 500}},
    "status": {"oneOf": ["new", "paid"]},
}


def of_many(count: int) -> list[dict[str, Any]]:
    """Make a table, and load so many rows."""
    table = "create table many (id int primary key, customer int, total numeric(9, 2), status text)"
    whole = "select count(*) as n, max(id) as last, count(total) as totals from many"
    seen = [f"row == {{'n': {count}, 'last': {count}, 'totals': {count}}}"]
    return [
        {"sql": {"service": "db", "script": f"drop table if exists many; {table}"}},
        {
            "data": {
                "service": "db",
                "timeout": "20m",
                "generate": {"many": {"count": count, "fields": FIELDS}},
            },
            "expect": [f"data.counts.many == {count}"],
        },
        {"sql": sql(whole), "expect": seen},
        {"data": {"service": "db", "clean": {"tables": ["many"], "by": "truncate"}}},
    ]


def test_more_rows_than_go_in_one_batch_are_all_there(run_there: Run) -> None:
    passed(run_there(*of_many(2 * BATCH + 500)))


@pytest.mark.slow
def test_a_million_rows_are_loaded_in_bounded_memory(url: str) -> None:
    result, mib = with_most_mib(of_many(10), of_many(1_000_000), url)
    passed(result)
    print(f"1,000,000 rows in {result.steps[1].duration_s:.1f} s, {mib:.0f} MiB more")
    assert mib < 100
