"""Steps load files: of the run's spec, or beside the scenarios; into real databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult
from seatrial_runner.scenario.files import GivenFiles

from tests.support.scenarios import a_world, run_steps
from tests.support.suites import run_pytest, write

pytest_plugins = ["pytester"]

FILES = {
    "customers.csv": 'id,name,tag\n1,"Lovelace, Ada",t\n2,Grace,\n',
    "orders.json": '{"orders": [{"customer": 1}, {"customer": 2}]}',
    "more.yaml": "generate:\n  customers: {count: 3, fields: {id: {sequence: {start: 10}}}}\n",
    "change.sql": "update customers set name = 'Hopper' where id = 2;\n"
    "insert into orders (customer) values (2);\n",
    "broken.csv": "id,name\n1\n",
    "broken.json": "{",
    "broken.yaml": "a: [",
    "broken.sql": "insert into customers (id) values (77); insert into nowhere values (1);",
    "other.csv": "id\n1\n",
}
Run = Callable[..., InstanceResult]


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(product: str, url: str) -> Run:
    number = {
        "postgresql": "id serial primary key",
        "mariadb": "id int auto_increment primary key",
        "sqlite": "id integer primary key autoincrement",
    }[product]
    world = a_world(connections={"db": url}, files=GivenFiles(FILES))
    script = f"""
    drop table if exists orders; drop table if exists customers;
    create table customers (id int primary key, name varchar(80), tag varchar(40));
    create table orders ({number}, customer int not null);
    """

    def steps(*steps: dict[str, Any], **test: Any) -> InstanceResult:
        return run_steps([{"sql": {"service": "db", "script": script}}, *steps], world, **test)

    return steps


def passed(result: InstanceResult) -> None:
    assert result.outcome == "passed", f"{result.message}\n{result.details}"


def load(file: str, *expected: str, **more: Any) -> dict[str, Any]:
    return {"data": {"service": "db", "file": file, **more}, "expect": [*expected]}


def test_every_format_is_loaded(run: Run) -> None:
    customers = "select name, tag from customers order by id"
    passed(
        run(
            load("fixtures/customers.csv", "data.counts == {'customers': 2}"),
            {
                "sql": {"service": "db", "query": customers},
                "expect": ["rows[0].name == 'Lovelace, Ada'", "rows[1].tag == null"],
            },
            load("orders.json", "data.counts.orders == 2", "data.rows.orders[0].customer == 1"),
            load("more.yaml", "data.counts.customers == 3", "data.seed == run.id"),
            load("change.sql", "data.counts == {}"),
            {
                "sql": {"service": "db", "query": customers},
                "expect": ["rows[1].name == 'Hopper'", "size(rows) == 5"],
            },
            {
                "sql": {"service": "db", "query": "select count(*) as n from orders"},
                "expect": ["row.n == 3"],
            },
        )
    )


def test_the_name_of_a_file_may_be_filled_in(run: Run) -> None:
    passed(run({"set": {"kind": "'customers'"}}, load("{{ kind }}.csv", "size(data.rows) == 1")))


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("nowhere.csv", "db: there is no file nowhere.csv in spec.fixtures; its files are: cust"),
        ("broken.csv", "db: broken.csv: row 2 has 1 values, and there are 2 columns"),
        ("broken.json", "db: broken.json: is no JSON: "),
        ("broken.yaml", "db: broken.yaml: is no YAML: "),
        ("other.csv", "(undefinedTable, "),
        ("customers.txt", "db: there is no file customers.txt"),
    ],
)
def test_what_cannot_be_loaded_is_told(run: Run, file: str, told: str) -> None:
    failed = run(load(file))
    assert failed.outcome == "failed"
    assert told in failed.message


def test_a_script_that_fails_leaves_nothing(run: Run, product: str) -> None:
    if product == "sqlite":
        pytest.skip("its driver commits what is under way before a script")
    empty = {"data": {"service": "db", "clean": {"tables": ["customers"], "by": "nothing"}}}
    failed = run(load("broken.sql"), teardown=[empty])
    assert "(undefinedTable, " in failed.message
    assert failed.steps[-1].outcome == "passed"


SCENARIO = """
scenario:
- sql: {{service: db, script: "drop table if exists people; create table people (id int)"}}
- data: {{service: db, file: {file}}}
  expect: ["data.counts.people == 2"]
"""


def test_on_a_laptop_files_are_beside_the_scenarios(
    pytester: pytest.Pytester, postgresql_url: str
) -> None:
    where = f"--connection=db={postgresql_url}"
    files = {"deep/test_a.yaml": SCENARIO.format(file="data/people.csv")}
    write(pytester.path, {**files, "deep/data/people.csv": "id\n1\n2\n"})
    assert "1 passed" in run_pytest(pytester, "deep", where).stdout
    write(pytester.path, {"deep/test_a.yaml": SCENARIO.format(file="data/peple.csv")})
    assert "db: there is no file data/peple.csv in: " in run_pytest(pytester, "deep", where).stdout


def test_on_a_laptop_a_run_has_the_files_of_its_spec(
    pytester: pytest.Pytester, postgresql_url: str
) -> None:
    run = (
        "apiVersion: seatrial.dev/v1alpha1\nkind: IntegrationTestRun\nmetadata: {name: a}\nspec:\n"
        "  services: [{name: db, preset: postgres}]\n"
        '  fixtures: {content: {people.csv: "id\\n1\\n2\\n"}}\n'
        "  tests:\n  - name: loads\n    scenario:\n"
        "    - sql: {service: db, script: 'drop table if exists people;"
        " create table people (id int)'}\n"
        "    - data: {service: db, file: data/people.csv}\n"
        "      expect: ['data.counts.people == 2']\n"
    )
    write(pytester.path, {"run.yaml": run})
    done = run_pytest(pytester, "run.yaml", f"--connection=db={postgresql_url}")
    assert "1 passed" in done.stdout
