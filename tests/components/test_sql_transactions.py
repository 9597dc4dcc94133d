"""Transactions across steps: several at once, isolation, locks, deadlocks, and what is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult

Run = Callable[..., InstanceResult]
SCHEMA = """
drop table if exists accounts;
create table accounts (id int primary key, owner varchar(20), balance int not null);
insert into accounts values (1, 'ada', 100), (2, 'grace', 100);
"""
AGAIN = "insert into accounts values (1, 'again', 0)"
BOTH = "select sum(balance) as total from accounts"


@pytest.fixture(params=["postgresql", "mariadb"])
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(run_there: Run) -> Run:
    assert run_there({"sql": {"service": "db", "script": SCHEMA}}).outcome == "passed"
    return run_there


def sql(query: str, transaction: str | None = None, **more: Any) -> dict[str, Any]:
    document = {"service": "db", "query": query, **more}
    return {**document, "transaction": transaction} if transaction else document


def add(account: int, amount: int) -> str:
    return f"update accounts set balance = balance + {amount} where id = {account}"


def passed(result: InstanceResult) -> None:
    assert result.outcome == "passed", f"{result.message}\n{result.details}"


@pytest.mark.parametrize("product", ["postgresql", "mariadb", "sqlite"])
def test_nothing_is_seen_before_the_commit_and_all_after_it(run: Run, product: str) -> None:
    balances = "select balance from accounts order by id"
    passed(
        run(
            {"sql": sql(add(1, -30), "transfer", isolation="repeatableRead")},
            {"sql": sql(balances), "expect": ["rows.map(r, r.balance) == [100, 100]"]},
            {"sql": sql(add(2, 30), "transfer")},
            {"sql": sql(balances, "transfer"), "expect": ["rows.map(r, r.balance) == [70, 130]"]},
            {"sql": {"commit": "transfer"}},
            {"sql": sql(balances), "expect": ["rows.map(r, r.balance) == [70, 130]"]},
        )
    )


@pytest.mark.parametrize("product", ["postgresql", "mariadb", "sqlite"])
def test_what_is_rolled_back_or_left_open_never_was(run: Run, product: str) -> None:
    passed(
        run(
            {"sql": sql(add(1, -30), "one")},
            {"sql": {"rollback": "one"}},
            {"sql": sql(add(2, -30), "two")},
        )
    )
    passed(run({"sql": sql(BOTH), "expect": ["row.total == 200"]}))


def test_a_violated_constraint_dooms_the_transaction_or_undoes_the_statement(
    run: Run, product: str
) -> None:
    ends = {"sql": {"commit": "t"}}
    if product == "postgresql":
        # MariaDB undoes the statement, PostgreSQL dooms the transaction.
        ends["expectError"] = ["error.name == 'transactionAborted'", "error.code == '25P02'"]
    result = run(
        {"sql": sql(add(1, -30), "t")},
        {"sql": sql(AGAIN, "t"), "expectError": ["error.name == 'uniqueViolation'"]},
        ends,
        {
            "sql": sql(BOTH),
            "expect": ["row.total == 200" if product == "postgresql" else "row.total == 170"],
        },
    )
    passed(result)


def test_what_is_rolled_back_after_a_violated_constraint_leaves_no_partial_state(run: Run) -> None:
    passed(
        run(
            {"sql": sql(add(1, -30), "t")},
            {"sql": sql(AGAIN, "t"), "expectError": ["error.name == 'uniqueViolation'"]},
            {"sql": {"rollback": "t"}},
            {"sql": sql(BOTH), "expect": ["row.total == 200"]},
        )
    )


def test_a_statement_after_a_failed_one_says_what_to_do(run: Run, product: str) -> None:
    if product != "postgresql":
        pytest.skip("MariaDB goes on")
    failed = run(
        {"sql": sql("select * from nowhere", "t"), "expectError": ["true"]},
        {"sql": sql("select 1", "t")},
    )
    assert "commands ignored until end of transaction block" in failed.message
    assert "transactionAborted, 25P02" in failed.message


def test_a_writer_waits_for_another(run: Run) -> None:
    passed(
        run(
            {"sql": sql(add(1, 1), "first")},
            {
                "sql": sql(add(1, 1), "second", timeout="1s"),
                "expectError": [
                    "error.name in ['timeout', 'lockTimeout']",
                    "elapsed >= duration('0.9s')",
                ],
            },
            {"sql": {"rollback": "second"}},
            {"sql": {"commit": "first"}},
            {"sql": sql(add(1, 1))},
            {"sql": sql(BOTH), "expect": ["row.total == 202"]},
        )
    )


def test_concurrent_updates_of_parallel_branches_are_all_there(run: Run) -> None:
    def branch(name: str) -> dict[str, Any]:
        steps: list[dict[str, Any]] = []
        for _ in range(5):
            steps += [{"sql": sql(add(1, 1), name)}, {"sql": {"commit": name}}]
        return {"name": name, "steps": steps}

    passed(
        run(
            {"parallel": [branch(f"w{n}") for n in range(4)]},
            {"sql": sql(BOTH), "expect": ["row.total == 220"]},
        )
    )


def test_a_deadlock_is_found(run: Run) -> None:
    result = run(
        {"sql": sql(add(1, 1), "a")},
        {"sql": sql(add(2, 1), "b")},
        {
            "parallel": [
                {"name": "a", "steps": [{"sql": sql(add(2, 1), "a")}]},
                {"name": "b", "steps": [{"sql": sql(add(1, 1), "b")}]},
            ]
        },
    )
    assert result.outcome == "failed"
    assert "(deadlock, 40" in result.message


def test_two_that_read_and_write_crosswise_cannot_both_commit(run: Run, product: str) -> None:
    """Write skew: possible below serializable, refused by it."""

    def crosswise(isolation: str, end: dict[str, Any]) -> InstanceResult:
        return run(
            {"sql": sql("update accounts set balance = 100")},
            {"sql": sql(BOTH, "a", isolation=isolation)},
            {"sql": sql(BOTH, "b", isolation=isolation)},
            {
                "parallel": [
                    {"name": "a", "steps": [{"sql": sql(add(1, -150), "a")}]},
                    {"name": "b", "steps": [{"sql": sql(add(2, -150), "b")}]},
                ]
            },
            {"sql": {"commit": "a"}},
            {"sql": {"commit": "b"}, **end},
        )

    passed(crosswise("repeatableRead", {}))
    passed(run({"sql": sql(BOTH), "expect": ["row.total == -100"]}))
    if product == "postgresql":
        expected = ["error.name == 'serializationFailure'", "error.code == '40001'"]
        passed(crosswise("serializable", {"expectError": expected}))
        return
    # MariaDB locks what it reads, so that each waits for the other.
    result = crosswise("serializable", {})
    assert result.outcome == "failed"
    assert "(deadlock, 40001)" in result.message
    passed(run({"sql": sql(BOTH), "expect": ["row.total == 200"]}))


def test_isolation_decides_what_is_read_twice(run: Run) -> None:
    def twice(isolation: str, second: int) -> InstanceResult:
        read = "select balance from accounts where id = 1"
        return run(
            {"sql": sql("update accounts set balance = 100")},
            {"sql": sql(read, "t", isolation=isolation), "expect": ["row.balance == 100"]},
            {"sql": sql(add(1, 5))},
            {"sql": sql(read, "t"), "expect": [f"row.balance == {second}"]},
            {"sql": {"commit": "t"}},
        )

    passed(twice("readCommitted", 105))
    passed(twice("repeatableRead", 100))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"sql": {"commit": "t"}}], "no transaction 't' is open; open are: none"),
        (
            [
                {"sql": sql("select 1", "t", isolation="serializable")},
                {"sql": sql("select 1", "t", isolation="readCommitted")},
            ],
            "transaction 't' was begun with isolation serializable",
        ),
        (
            [
                {"sql": sql("select 1", "t")},
                {"sql": {"url": "sqlite:////x", "query": "select 1", "transaction": "t"}},
            ],
            "transaction 't' is one of another database",
        ),
    ],
)
def test_what_is_wrong_with_a_transaction_is_said(
    run: Run, steps: list[dict[str, Any]], message: str
) -> None:
    assert message in run(*steps).message
