"""``data`` against FerretDB and Redis: loaded in bulk, as documents and hashes, removed again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult
from seatrial_runner.scenario.files import GivenFiles

from tests.support.memory import with_most_mib
from tests.support.scenarios import a_world, run_steps
from tests.support.talker import Talker

Run = Callable[..., InstanceResult]
FILES = {
    "customers.csv": "id,name\n1,Ada\n2,\n",
    "shop.yaml": "customers: [{id: 7, name: Grace}]\n",
    "change.sql": "delete from customers",
}
FEW: dict[str, Any] = {
    "customers": {
        "count": 20,
        "fields": {
            "id": {"sequence": {"start": 1}},
            "name": "fullName",
            "born": {"date": {"from": "1950-01-01", "to": "1950-01-01"}},
            "tag": {"constant": "{{ run.id }}"},
        },
    },
    "orders": {
        "count": {"per": "customers", "min": 1, "max": 1},
        "fields": {
            "id": {"sequence": {}},
            "customer": {"reference": "customers.id"},
            "lines": {"constant": [{"sku": "A1", "count": 2}]},
        },
    },
}
# More than goes in one batch.
MANY = {**FEW, "customers": {**FEW["customers"], "count": 1200}}
BOTH = {"tables": ["customers", "orders"]}


@pytest.fixture(params=["mongo", "redis"])
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(product: str, request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{product}_url"))


@pytest.fixture
def run(url: str) -> Run:
    world = a_world(connections={"store": url}, files=GivenFiles(FILES))

    def steps(*steps: dict[str, Any], **test: Any) -> InstanceResult:
        return run_steps(list(steps), world, **test)

    passed(steps(data(clean={**BOTH, "by": "truncate"})))
    return steps


def data(*expected: str, **document: Any) -> dict[str, Any]:
    return {"data": {"service": "store", **document}, "expect": list(expected)}


def passed(result: InstanceResult) -> None:
    assert result.outcome == "passed", f"{result.message}\n{result.details}"


def customer(product: str, number: int = 1) -> dict[str, Any]:
    """Look at it as the product's own step does."""
    if product == "mongo":
        return {"mongo": {"service": "store", "collection": "customers", "find": {"id": number}}}
    return {"redis": {"service": "store", "command": f"HGETALL customers:{number}"}}


def test_what_is_generated_is_there_in_bulk(run: Run, product: str) -> None:
    seen = {
        "mongo": ["document.name == first.name", "document.born == '1950-01-01T00:00:00Z'"],
        "redis": ["result.name == first.name", "result.born == '1950-01-01'", "result.id == '1'"],
    }[product]
    last, none = {
        "mongo": ("document.id == 1200", "document == null"),
        "redis": ("result.id == '1200'", "result == {}"),
    }[product]
    passed(
        run(
            {
                **data(
                    "data.counts == {'customers': 1200, 'orders': 1200}",
                    "data.seed == run.id",
                    "size(data.rows.orders) == 100",
                    generate=MANY,
                ),
                "capture": {"first": "data.rows.customers[0]"},
            },
            {**customer(product), "expect": seen},
            {**customer(product, 1200), "expect": [last]},
            {**customer(product, 1201), "expect": [none]},
        )
    )


def test_what_is_inside_stays_inside(run: Run, product: str) -> None:
    look, seen = {
        "mongo": (
            {"mongo": {"service": "store", "collection": "orders", "find": {"lines.sku": "A1"}}},
            "document.lines == [{'sku': 'A1', 'count': 2}]",
        ),
        "redis": (
            {"redis": {"service": "store", "command": "HGET orders:5 lines"}},
            """result == '[{"sku": "A1", "count": 2}]'""",
        ),
    }[product]
    rows = {"orders": [{"id": 5, "lines": [{"sku": "A1", "count": 2}], "paid": True}]}
    passed(run(data("data.counts.orders == 1", rows=rows), {**look, "expect": [seen]}))


def test_extended_json_is_read_by_mongo(mongo_url: str) -> None:
    world = a_world(connections={"store": mongo_url})
    rows = {
        "dated": [
            {"_id": {"$oid": "507f1f77bcf86cd799439011"}, "at": {"$date": "2026-01-31T12:00:00Z"}}
        ]
    }
    find = {"mongo": {"service": "store", "collection": "dated", "find": {}}}
    passed(
        run_steps(
            [
                data(clean={"tables": ["dated"]}),
                data(rows=rows),
                {
                    **find,
                    "expect": [
                        "document._id == '507f1f77bcf86cd799439011'",
                        "document.at == '2026-01-31T12:00:00Z'",
                    ],
                },
            ],
            world,
        )
    )


def test_files_are_loaded(run: Run, product: str) -> None:
    missing = {"mongo": "document.id == '1'", "redis": "result == {'id': '1', 'name': 'Ada'}"}
    look = customer(product)
    if product == "mongo":
        look["mongo"]["find"] = {"id": "1"}  # all that a CSV file has is text
    passed(
        run(
            data("data.counts.customers == 2", file="customers.csv"),
            data("data.counts.customers == 1", file="shop.yaml"),
            {**look, "expect": [missing[product]]},
        )
    )
    assert "has no SQL: load YAML, JSON or CSV" in run(data(file="change.sql")).message


def test_everything_is_removed(run: Run) -> None:
    for by, made in (("truncate", MANY), ("delete", FEW)):
        passed(
            run(
                data(generate=made),
                data("data.counts == {'customers': 0, 'orders': 0}", clean={**BOTH, "by": by}),
            )
        )


def test_only_what_has_the_tag_is_removed(run: Run) -> None:
    others = {"customers": [{"id": 9001, "name": "Eve", "tag": "other"}]}
    tagged = {"tables": ["customers"], "where": {"tag": "{{ run.id }}"}}
    none_left = data("data.counts.customers == 0", clean=tagged)
    passed(run(data(rows=others), data(generate=FEW), none_left))
    left = run(data(clean={"tables": ["customers"], "by": "nothing"}))
    assert left.message.endswith("store: something is left: customers has 1 rows")


def test_a_tag_that_is_null_removes_nothing(run: Run) -> None:
    others = {"customers": [{"id": 9001, "name": "Eve"}]}
    by_null = {"tables": ["customers"], "where": {"tag": "{{ tag }}"}}
    failed = run({"set": {"tag": "null"}}, data(rows=others), data(clean=by_null))
    assert "store: clean.where.tag: is null, which is no tag: give the value" in failed.message
    left = run(data(clean={"tables": ["customers"], "by": "nothing"}))
    assert left.message.endswith("store: something is left: customers has 1 rows")


def test_what_is_left_fails_with_its_count(run: Run) -> None:
    failed = run(data(generate=FEW), data(clean={**BOTH, "by": "nothing"}))
    assert "something is left: customers has 20 rows, orders has 20 rows" in failed.message


def test_other_keys_stay_as_they_are(redis_url: str) -> None:
    world = a_world(connections={"store": redis_url})
    commands = ["SET other 1", "SET customersx:1 1", "SET customers:text 1"]
    passed(
        run_steps(
            [
                {"redis": {"service": "store", "pipeline": commands}},
                data(clean={"tables": ["customers", "custom?rs"], "where": {"tag": "x"}}),
                {
                    "redis": {
                        "service": "store",
                        "command": "EXISTS other customersx:1 customers:text",
                    },
                    "expect": ["result == 3"],
                },
                data(clean={"tables": ["customers"]}),
                {
                    "redis": {
                        "service": "store",
                        "command": "EXISTS other customersx:1 customers:text",
                    },
                    "expect": ["result == 2"],
                },
            ],
            world,
        )
    )


def test_a_document_that_is_there_already_is_told(mongo_url: str) -> None:
    world = a_world(connections={"store": mongo_url})
    twice = data(rows={"once": [{"_id": 1}, {"_id": 1}]})
    failed = run_steps([data(clean={"tables": ["once"]}), twice], world)
    assert "(uniqueViolation, 11000)" in failed.message


def test_a_key_of_another_kind_is_told(redis_url: str) -> None:
    world = a_world(connections={"store": redis_url})
    steps = [
        {"redis": {"service": "store", "command": "SET customers:1 text"}},
        data(rows={"customers": [{"id": 1}]}),
    ]
    assert "(wrongType, WRONGTYPE)" in run_steps(steps, world).message


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"customers": [{"name": "a", "id": None}]}, "customers: row 1 has no id, which would be"),
        ({"customers": [{}]}, "customers: row 1 has no column, which would be its key"),
        ({"customers": [1]}, "customers: give a list of rows"),
    ],
)
def test_rows_without_a_key_are_told(redis_url: str, rows: Any, told: str) -> None:
    failed = run_steps([data(rows=rows)], a_world(connections={"store": redis_url}))
    assert told in failed.message


def test_wrong_credentials_are_told(url: str, product: str) -> None:
    wrong = url.replace(url.partition("://")[2].rpartition("@")[0].rpartition(":")[2], "wrong", 1)
    failed = run_steps([data(generate=FEW)], a_world(connections={"store": wrong}))
    assert "(accessDenied, " in failed.message or "(accessDenied)" in failed.message
    assert "wrong" not in failed.message.replace("WRONGPASS", "")


@pytest.mark.parametrize("url", ["mongodb://127.0.0.1:1/app", "redis://127.0.0.1:1/0"])
def test_a_server_that_is_down_is_told(url: str) -> None:
    step = data(generate=FEW, timeout="3s")
    failed = run_steps([step], a_world(connections={"store": url}))
    assert "(unavailable)" in failed.message


@pytest.mark.parametrize("scheme", ["mongodb", "redis"])
def test_a_server_that_says_nothing_or_nonsense_is_told(scheme: str) -> None:
    for talker in (Talker(), Talker(b"HTTP/1.1 400 Bad Request\r\n\r\n")):
        with talker as port:
            url = f"{scheme}://127.0.0.1:{port}/0"
            step = data(generate=FEW, timeout="500ms")
            failed = run_steps([step], a_world(connections={"store": url}))
        assert failed.outcome == "failed"
        assert "store: " in failed.message


def test_loading_ends_when_its_time_is_over(run: Run) -> None:
    many = {"customers": {"count": 900_000, "fields": {"id": {"sequence": {}}}}}
    failed = run(data(generate=many, timeout="2s"))
    assert "(timeout)" in failed.message
    assert "the test's time" not in failed.message


def test_tls_of_mongo_is_said_in_its_url(mongo_url: str) -> None:
    failed = run_steps([data(generate=FEW, tls={})], a_world(connections={"store": mongo_url}))
    assert "tls does not go with MongoDB: say it in the url (?tls=true)" in failed.message


def test_a_url_without_a_database_is_told(mongo_url: str) -> None:
    url = mongo_url.rpartition("/")[0]
    failed = run_steps([data(generate=FEW)], a_world(connections={"store": url}))
    assert "store: the URL names no database" in failed.message


@pytest.mark.parametrize(("module", "extra"), [("pymongo", "mongo"), ("redis", "redis")])
def test_a_missing_driver_is_said_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    scheme = "mongodb" if extra == "mongo" else extra
    failed = run_steps(
        [data(rows={"a": [{"id": 1}]})], a_world(connections={"store": f"{scheme}://x/y"})
    )
    assert failed.outcome == "error"
    assert f"data needs the extra: pip install 'seatrial[{extra}]'" in failed.message


@pytest.mark.slow
def test_a_million_rows_are_loaded_in_bounded_memory(redis_url: str) -> None:
    def of_many(count: int) -> list[dict[str, Any]]:
        fields = {"id": {"sequence": {}}, "status": {"oneOf": ["new", "paid"]}}
        many = {"many": {"count": count, "fields": fields}}
        return [
            {
                "data": {"service": "db", "timeout": "20m", "generate": many},
                "expect": [f"data.counts.many == {count}"],
            },
            {
                "redis": {"service": "db", "command": f"HGET many:{count} id"},
                "expect": [f"result == '{count}'"],
            },
            {"data": {"service": "db", "clean": {"tables": ["many"]}}},
        ]

    result, mib = with_most_mib(of_many(10), of_many(1_000_000), redis_url)
    passed(result)
    print(f"1,000,000 hashes in {result.steps[0].duration_s:.1f} s, {mib:.0f} MiB more")
    assert mib < 100
