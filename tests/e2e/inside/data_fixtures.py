"""Uses every fixture for databases and data; one test leaves a row behind."""

import pytest
from sqlalchemy import text

FIELDS = {"id": {"sequence": {}}, "name": "fullName"}
CUSTOMERS = {"customers": {"count": 20, "fields": FIELDS}}
SHARED = {"articles": {"count": 7, "fields": FIELDS}}
SERVICES = ["db", "other"]  # PostgreSQL, and MySQL


@pytest.fixture
def count(sql):
    def count(service, table):
        with sql(service).connect() as connection:
            return connection.execute(text(f"select count(*) from {table}")).scalar()

    return count


@pytest.fixture(scope="session")
def articles(shared_data):
    return shared_data.generate("db", SHARED)["articles"]


@pytest.mark.parametrize("service", SERVICES)
def test_clean_data(service, data, count, articles):
    made = data.generate(service, CUSTOMERS)["customers"]
    assert [each["id"] for each in made] == list(range(1, 21))
    assert count(service, "customers") == 20
    assert count("db", "articles") == len(articles) == 7


@pytest.mark.parametrize("service", SERVICES)
def test_clean_after_data(service, data, count, articles):
    data.assert_none_left(service, "customers")
    assert count("db", "articles") == len(articles) == 7


@pytest.mark.parametrize("service", SERVICES)
def test_clean_sql_rolled_back(service, sql_rolled_back, count, factory):
    ada = factory({"name": "fullName", "id": {"integer": {"min": 1, "max": 9}}})(name="Ada")
    connection = sql_rolled_back(service)
    connection.execute(text("insert into customers (id, name) values (:id, :name)"), ada)
    seen = connection.execute(text("select name from customers where id = :id"), ada)
    assert seen.scalar() == "Ada"
    assert count(service, "customers") == 0  # nobody else sees it


@pytest.mark.parametrize("service", SERVICES)
def test_clean_after_sql_rolled_back(service, count):
    assert count(service, "customers") == 0


def test_leaves_a_row(data, sql):
    data.rows("db", customers=[{"id": 1, "name": "Ada"}], clean={"name": "Ada"})
    with sql("db").begin() as connection:
        keep = "create rule keep as on delete to customers do instead nothing"
        connection.execute(text(keep))


def test_leaves_what_it_commits(sql_rolled_back):
    connection = sql_rolled_back("other")
    connection.execute(text("insert into customers (id, name) values (1, 'Ada')"))
    connection.commit()


@pytest.mark.parametrize("number", range(4))
def test_shards(number, shared_data):
    raise AssertionError("its pods share nothing")
