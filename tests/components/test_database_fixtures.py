"""The fixtures for databases and data, in suites of their own against a real PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.support.suites import Done, run_pytest, write

pytest_plugins = ["pytester"]

SCHEMA = """
import pytest
from sqlalchemy import text

@pytest.fixture(autouse=True, scope="session")
def schema(sql):
    with sql("db").begin() as connection:
        connection.execute(text("drop table if exists orders; drop table if exists customers"))
        connection.execute(text("create table customers (id int primary key, name text, tag text)"))
        connection.execute(text("create table orders (id serial primary key,"
                                " customer int references customers)"))

@pytest.fixture
def count(sql):
    def count(table):
        with sql("db").begin() as connection:
            return connection.execute(text(f"select count(*) from {table}")).scalar()
    return count
"""


@pytest.fixture
def run(pytester: pytest.Pytester, postgresql_url: str) -> object:
    def run(test: str, *arguments: str, **files: str) -> Done:
        write(pytester.path, {"conftest.py": SCHEMA, "test_it.py": test})
        for name, text in files.items():
            path = Path(pytester.path) / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return run_pytest(pytester, f"--connection=db={postgresql_url}", *arguments)

    return run


def test_what_a_test_loads_is_gone_after_it(run) -> None:  # type: ignore[no-untyped-def]
    done = run(
        """
        CUSTOMERS = {"count": 20, "fields": {"id": {"sequence": {}}, "name": "fullName"}}
        ORDERS = {"count": 50, "fields": {"customer": {"reference": "customers.id"}}}

        def test_loads(data, count):
            rows = data.generate("db", {"customers": CUSTOMERS, "orders": ORDERS})
            assert len(rows["orders"]) == count("orders") == 50
            assert rows["customers"][0]["id"] == 1

        def test_finds_nothing(data, count):
            assert count("orders") == count("customers") == 0
            data.assert_none_left("db", "orders", "customers")

        def test_rows_by_tag(data, count, sql):
            data.rows("db", customers=[{"id": 1, "tag": "kept"}], clean=None)
            data.rows("db", customers=[{"id": 2, "tag": "mine"}], clean={"tag": "mine"})

        def test_only_the_tagged_are_gone(data, count):
            assert count("customers") == 1
            data.clean("db", "customers")
        """
    )
    assert done.returncode == 0, done.stdout


def test_what_is_left_is_an_error_of_the_test(run) -> None:  # type: ignore[no-untyped-def]
    done = run(
        """
        from sqlalchemy import text

        def test_leaves(data, sql):
            data.rows("db", customers=[{"id": 1, "tag": "x"}], clean={"tag": "x"})
            with sql("db").begin() as connection:
                connection.execute(text("create rule keep as on delete to customers"
                                        " do instead nothing"))
        """
    )
    assert "LeftoverError: db: something is left: customers has 1 rows with {'tag': 'x'}" in (
        done.stdout
    )
    assert done.returncode == 1


def test_a_table_that_is_not_empty_is_not_emptied(run) -> None:  # type: ignore[no-untyped-def]
    done = run(
        """
        import pytest
        from seatrial_runner.runner.databases import DatabaseError

        def test_it(data, count):
            data.rows("db", customers=[{"id": 1}], clean=None)
            with pytest.raises(DatabaseError, match="customers has 1 rows already"):
                data.rows("db", customers=[{"id": 2}])
            assert count("customers") == 1
        """
    )
    assert done.returncode == 0, done.stdout


def test_files_are_loaded(run) -> None:  # type: ignore[no-untyped-def]
    done = run(
        """
        from sqlalchemy import text

        def test_it(data, count, sql):
            data.file("db", "fixtures/customers.csv", clean=None)
            data.file("db", "fixtures/more.yaml", clean=None)
            data.file("db", "fixtures/some.json", clean=None)
            data.file("db", "fixtures/last.sql", clean=None)
            with sql("db").begin() as connection:
                rows = connection.execute(text("select id, name from customers order by id"))
                assert [tuple(row) for row in rows] == [
                    (1, "Ada, Countess"), (2, None), (3, "Grace"), (4, "four"), (5, "five")]
            data.clean("db", "orders", "customers")
        """,
        fixtures__customers_dot_csv='id,name\n1,"Ada, Countess"\n2,\n',
        fixtures__more_dot_yaml="customers:\n- {id: 3, name: Grace}\norders:\n- {customer: 1}\n",
        fixtures__some_dot_json='{"generate": {"customers": {"fields": {"id": {"constant": 4},'
        ' "name": {"constant": "four"}}}}}',
        fixtures__last_dot_sql="insert into customers values (5, 'five'); select 1;",
    )
    assert done.returncode == 0, done.stdout


def test_a_transaction_is_rolled_back_after_its_test(run) -> None:  # type: ignore[no-untyped-def]
    done = run(
        """
        from sqlalchemy import text

        def test_changes(sql_rolled_back, count):
            connection = sql_rolled_back("db")
            connection.execute(text("insert into customers values (1, 'x', 'y')"))
            assert connection.execute(text("select count(*) from customers")).scalar() == 1
            assert count("customers") == 0

        def test_sees_nothing(count):
            assert count("customers") == 0
        """
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "commit", ["connection.commit()", "connection.execute(text('commit'))"], ids=["call", "text"]
)
def test_what_a_rollback_leaves_is_an_error_of_the_test(run, commit: str) -> None:  # type: ignore[no-untyped-def]
    done = run(
        f"""
        from sqlalchemy import text

        def test_leaves(sql_rolled_back):
            connection = sql_rolled_back("db")
            connection.execute(text("insert into customers values (1, 'x', 'y')"))
            {commit}
        """
    )
    assert "LeftoverError: db: something is left: customers has 1 rows (0 before)" in done.stdout
    assert "leave out the commit" in done.stdout
    assert done.returncode == 1


def test_what_others_commit_meanwhile_is_not_left_by_the_rollback(run) -> None:  # type: ignore[no-untyped-def]
    done = run(
        """
        import pytest
        from sqlalchemy import text

        def test_it(sql_rolled_back, sql):
            connection = sql_rolled_back("db")
            connection.execute(text("insert into customers values (1, 'x', 'y')"))
            with sql("db").begin() as other:
                other.execute(text("insert into customers values (2, 'x', 'y')"))
            with pytest.raises(Exception, match="nothing_like_it"):
                connection.execute(text("select * from nothing_like_it"))

        def test_after_its_own_rollback(sql_rolled_back, count):
            assert count("customers") == 1
            connection = sql_rolled_back("db")
            connection.execute(text("delete from customers"))
            connection.rollback()
            connection.execute(text("delete from customers"))

        def test_all_is_there(count, data):
            assert count("customers") == 1
            data.clean("db", "customers")
        """
    )
    assert done.returncode == 0, done.stdout


def test_shared_data_is_there_for_all_tests(run) -> None:  # type: ignore[no-untyped-def]
    done = run(
        """
        import pytest

        @pytest.fixture(scope="session", autouse=True)
        def customers(shared_data, schema):
            fields = {"id": {"sequence": {}}}
            return shared_data.generate("db", {"customers": {"count": 7, "fields": fields}})

        @pytest.mark.parametrize("n", [1, 2])
        def test_sees_it(n, count):
            assert count("customers") == 7
        """
    )
    assert done.returncode == 0, done.stdout


def test_workers_share_what_the_first_loads_and_the_last_removes(pytester: pytest.Pytester) -> None:
    database = pytester.path / "shared.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table customers (id int primary key, name text)")
        connection.execute("create table loads (id integer primary key)")
        connection.execute("create trigger loaded after insert on customers begin"
                           " insert into loads values (null); end")  # fmt: skip
    connection.close()
    conftest = """
        import pytest

        @pytest.fixture(scope="session")
        def customers(shared_data):
            fields = {"id": {"sequence": {}}, "name": "fullName"}
            rows = shared_data.generate("db", {"customers": {"count": 7, "fields": fields}})
            return rows["customers"]
    """
    # Each waits for the other: both workers are at work, and neither has all the tests.
    test = """
        import time
        from pathlib import Path

        import pytest
        from sqlalchemy import text

        @pytest.mark.parametrize("n", [0, 1])
        def test_sees_it(n, customers, sql, worker_id):
            Path(f"{n}.seen").write_text(worker_id)
            end = time.monotonic() + 60
            while not Path(f"{1 - n}.seen").exists() and time.monotonic() < end:
                time.sleep(0.05)
            assert {Path(f"{each}.seen").read_text() for each in (0, 1)} == {"gw0", "gw1"}
            with sql("db").connect() as connection:
                names = connection.execute(text("select name from customers order by id"))
                assert [row.name for row in names] == [each["name"] for each in customers]
    """
    write(pytester.path, {"conftest.py": conftest, "test_it.py": test})
    done = run_pytest(pytester, f"--connection=db=sqlite:///{database}", "-n", "2")
    assert done.returncode == 0, done.stdout
    with sqlite3.connect(database) as connection:
        [(left,)] = connection.execute("select count(*) from customers")
        [(loads,)] = connection.execute("select count(*) from loads")
    connection.close()
    assert (left, loads) == (0, 7)


def test_a_factory_makes_maps_and_the_seed_is_told(run) -> None:  # type: ignore[no-untyped-def]
    test = """
        def test_it(factory):
            make = factory({"id": "uuid", "name": "fullName", "status": {"oneOf": ["a", "b"]}})
            first, second = make(), make(status="z")
            assert first["id"] != second["id"]
            assert second["status"] == "z"
            print("made", first["id"])
            assert False
        """
    first = run(test, "--seatrial-seed=s1")
    assert "made of --seatrial-seed=s1" in first.stdout
    made = next(line for line in first.stdout.splitlines() if line.startswith("made "))
    assert made in run(test, "--seatrial-seed=s1").stdout
    assert made not in run(test).stdout


def test_what_is_no_sql_database_is_said(run) -> None:  # type: ignore[no-untyped-def]
    done = run("def test_it(sql):\n    sql('mq')\n", "--connection=mq=amqp://localhost")
    assert "mq is no SQL database: its URL begins with amqp" in done.stdout
