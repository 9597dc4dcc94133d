"""``sql`` against PostgreSQL, MariaDB and SQLite: rows, values, changes, errors, time limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult

Run = Callable[..., InstanceResult]
SCHEMA = """
create table customers (id int primary key, name varchar(40) not null);
create table orders (
  id int primary key, customer int not null, total decimal(10, 2) check (total >= 0),
  status varchar(20), unique (customer, status), foreign key (customer) references customers (id)
);
insert into customers values (1, 'Ada; with :colon'), (2, 'Grace 100%');
"""
CLEAN = "drop table if exists orders; drop table if exists customers"


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(run_there: Run) -> Run:
    result = run_there({"sql": {"service": "db", "script": CLEAN + ";" + SCHEMA}})
    assert result.outcome == "passed", result.details
    return run_there


def sql(query: str, params: Any = None, **more: Any) -> dict[str, Any]:
    document = {"service": "db", "query": query, **more}
    return document if params is None else {**document, "params": params}


def passed(result: InstanceResult) -> None:
    assert result.outcome == "passed", f"{result.message}\n{result.details}"


def test_what_is_inserted_is_seen_with_its_types(run: Run) -> None:
    values = {"id": "{{ id }}", "total": 12.5}
    insert = "insert into orders (id, customer, total, status) values (:id, 1, :total, 'new')"
    passed(
        run(
            {"set": {"id": "7"}},
            {"sql": sql(insert, values), "expect": ["rowCount == 1", "size(rows) == 0"]},
            {
                "sql": sql("select * from orders where id = :id", {"id": "{{ id }}"}),
                "expect": [
                    "rowCount == 1",
                    "row == rows[0]",
                    "row.id == id",
                    "row.total == 12.5",
                    "row.status == 'new'",
                    "columns == ['id', 'customer', 'total', 'status']",
                    "elapsed > duration('0s')",
                ],
                "capture": {"status": "row.status"},
            },
            {"expect": ["status == 'new'"]},
        )
    )


def test_a_value_is_never_part_of_the_statement(run: Run) -> None:
    evil = "'; drop table customers; --"
    passed(
        run(
            {"sql": sql("select count(*) as n from customers where name = :name", {"name": evil})},
            {"sql": sql("select name from customers order by id"), "expect": ["rowCount == 2"]},
        )
    )


def test_colons_and_percent_signs_in_texts_are_left_alone(run: Run) -> None:
    query = "select id from customers where name in ('Ada; with :colon', 'Grace 100%') and id = :id"
    like = "select id from customers where name like '%100\\%%' -- :x"
    passed(
        run(
            {"sql": sql(query, {"id": 2}), "expect": ["row.id == 2"]},
            {"sql": sql("select id from customers where name like '%:colon'")},
            {"sql": sql(like if "mysql" in like else "select id from customers -- :x")},
        )
    )


def test_a_list_after_in_and_a_list_of_params(run: Run) -> None:
    rows = [{"id": 10 + n, "name": f"n{n}"} for n in range(20)]
    passed(
        run(
            {"sql": sql("insert into customers values (:id, :name)", rows)},
            {
                "sql": sql("select id from customers where id in :ids", {"ids": [1, 12, 13, 99]}),
                "expect": ["rows.map(r, r.id) == [1, 12, 13]"],
            },
        )
    )


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("insert into customers values (1, 'again')", "uniqueViolation"),
        ("insert into orders values (1, 99, 1, 'x')", "foreignKeyViolation"),
        ("insert into customers values (9, null)", "notNullViolation"),
        ("insert into orders values (1, 1, -1, 'x')", "checkViolation"),
        ("select * from nowhere", "undefinedTable"),
        ("select surname from customers", "undefinedColumn"),
        ("selct 1", "syntaxError"),
    ],
)
def test_an_error_has_the_same_name_everywhere(run: Run, statement: str, name: str) -> None:
    expected = [f"error.name == '{name}'", "error.message != ''", "error.code != ''"]
    passed(
        run(
            {
                "sql": sql(statement),
                "expectError": expected,
                "capture": {"told": "error.message"},
            }
        )
    )
    failed = run({"sql": sql(statement)})
    assert failed.outcome == "failed"
    assert f"({name}, " in failed.message
    assert statement in failed.details


def test_an_error_that_does_not_come_fails(run: Run) -> None:
    failed = run({"sql": sql("select 1 as one"), "expectError": ["error.name == 'deadlock'"]})
    assert failed.message.endswith("no error, where one was expected: error.name == 'deadlock'")


def test_another_error_than_the_expected_fails_and_shows_both(run: Run) -> None:
    failed = run({"sql": sql("selct 1"), "expectError": ["error.name == 'deadlock'"]})
    assert "expected error.name == 'deadlock', but error.name is \"syntaxError\"" in failed.message
    assert "the error is: db: " in failed.message


def test_an_expectation_that_does_not_hold_shows_the_rows(run: Run) -> None:
    step = {"sql": sql("select name from customers where id = 2")}
    failed = run({**step, "expect": ["row.name == 'Ada'"]})
    assert 'row.name is "Grace 100%"' in failed.message
    assert '{"name": "Grace 100%"}' in failed.details
    assert "Statement (db):\n  select name from customers" in failed.details


def test_a_row_that_is_not_there_is_said(run: Run) -> None:
    step = {"sql": sql("select name from customers where id = 77")}
    failed = run({**step, "expect": ["row.name == 'Ada'"]})
    assert "there are no rows" in failed.message


@pytest.mark.parametrize(
    ("query", "params", "message"),
    [
        ("select :a", {}, "the query has :a, and params has no 'a'"),
        ("select 1", {"a": 1}, "params.a is not in the query, which has no :name at all"),
        ("select '{{ a }}'", None, "it is not filled in"),
        ("begin", None, "begin: say transaction: NAME"),
        ("-- x\n /* y */ Start  Transaction", None, "start transaction: say transaction: NAME"),
        ("select 1; select 2", None, "use script for several"),
        ("select 1 where 1 in :a", {"a": []}, "params.a is an empty list"),
    ],
)
def test_what_cannot_work_is_said_before_it_is_sent(
    run: Run, query: str, params: Any, message: str
) -> None:
    failed = run({"sql": sql(query, params)})
    assert message in failed.message
    assert failed.outcome == "failed"


def test_too_many_rows_are_refused(run: Run) -> None:
    many = "select 1 as a union all select 2 union all select 3"
    assert "more than 2 rows" in run({"sql": sql(many, maxRows=2)}).message
    passed(run({"sql": sql(many, maxRows=3)}))


def test_two_columns_of_one_name_are_refused(run: Run) -> None:
    assert "two columns are named 'a'" in run({"sql": sql("select 1 as a, 2 as a")}).message


def test_a_script_that_leaves_a_transaction_open_is_undone(run: Run) -> None:
    script = "begin; insert into customers values (5, 'x');"
    failed = run({"sql": {"service": "db", "script": script}})
    assert "the script leaves a transaction open" in failed.message
    passed(
        run({"sql": sql("select * from customers where id = 5"), "expect": ["rowCount == 0"]}),
    )


def test_a_script_ends_with_its_first_mistake(run: Run) -> None:
    script = "insert into customers values (5, 'x'); select * from nowhere; selct"
    failed = run({"sql": {"service": "db", "script": script}})
    assert "undefinedTable" in failed.message or "syntaxError" in failed.message


@pytest.mark.parametrize("product", ["postgresql", "mariadb"])
def test_a_statement_that_takes_too_long_is_ended(run: Run, product: str) -> None:
    # Longer than the test may take.
    sleep = "select pg_sleep(600)" if product == "postgresql" else "select sleep(600)"
    late = {"sql": sql(sleep, timeout="300ms"), "expectError": ["error.name == 'timeout'"]}
    passed(run(late, {"sql": sql("select 1 as one"), "expect": ["row.one == 1"]}))


@pytest.mark.parametrize("product", ["postgresql", "mariadb"])
def test_wrong_credentials_are_said_without_the_password(run: Run, url: str, product: str) -> None:
    wrong = url.replace("s3cret", "wr0ng")
    step = {"sql": {"url": wrong, "query": "select 1 as one"}}
    failed = run(step)
    assert "accessDenied, 28" in failed.message
    assert "wr0ng" not in failed.message + failed.details
    passed(run({**step, "expectError": ["error.name == 'accessDenied'"]}))


def test_a_database_that_is_away_is_said(run: Run, product: str) -> None:
    scheme = {"mariadb": "mysql"}.get(product, product)
    where = f"{scheme}:////nowhere/x" if product == "sqlite" else f"{scheme}://u:p@127.0.0.1:1/x"
    failed = run({"sql": {"url": where, "query": "select 1 as one"}})
    assert failed.outcome == "failed"
    assert "unavailable" in failed.message
