"""``mongo`` against FerretDB, which speaks MongoDB's protocol."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult

from tests.support.ferretdb import PASSWORD, USER, ferretdb_process
from tests.support.frozen import freeze
from tests.support.scenarios import a_world, run_steps
from tests.support.talker import Talker

Run = Callable[..., InstanceResult]


@pytest.fixture
def run(mongo_url: str) -> Run:
    world = a_world(connections={"docs": mongo_url})

    def steps(*steps: dict[str, Any], **test: Any) -> InstanceResult:
        return run_steps(list(steps), world, **test)

    cleaned = steps({"mongo": mongo(deleteMany={})})
    assert cleaned.outcome == "passed", cleaned.details
    return steps


def mongo(**more: Any) -> dict[str, Any]:
    return {"service": "docs", "collection": "orders", **more}


def passed(result: InstanceResult) -> None:
    assert result.outcome == "passed", f"{result.message}\n{result.details}"


def test_what_is_inserted_is_found_changed_and_deleted(run: Run) -> None:
    order = {
        "_id": {"$oid": "507f1f77bcf86cd799439011"},
        "number": "{{ number }}",
        "at": {"$date": "2026-01-31T12:00:00Z"},
        "long": {"$numberLong": "9007199254740993"},
        "bytes": {"$binary": {"base64": "AP8=", "subType": "00"}},
        "items": [{"sku": "A1", "quantity": 2}],
        "status": "new",
    }
    passed(
        run(
            {"set": {"number": "7"}},
            {
                "mongo": mongo(insertOne=order),
                "expect": ["reply.insertedIds == ['507f1f77bcf86cd799439011']"],
            },
            {
                "mongo": mongo(find={"number": "{{ number }}"}),
                "expect": [
                    "size(documents) == 1",
                    "document == documents[0]",
                    "document._id == '507f1f77bcf86cd799439011'",
                    "document.number == number",
                    "document.at == '2026-01-31T12:00:00Z'",
                    "document.long == 9007199254740993",
                    "document.bytes == 'AP8='",
                    "document.items[0].sku == 'A1'",
                ],
                "capture": {"id": "document._id"},
            },
            {
                "mongo": mongo(
                    updateOne={"_id": {"$oid": "{{ id }}"}}, update={"$set": {"status": "paid"}}
                ),
                "expect": ["reply.matched == 1", "reply.modified == 1"],
            },
            {"mongo": mongo(count={"status": "paid"}), "expect": ["reply.count == 1"]},
            {"mongo": mongo(deleteOne={"status": "paid"}), "expect": ["reply.deleted == 1"]},
            {"mongo": mongo(find={}), "expect": ["documents == []", "document == null"]},
        )
    )


def test_many_are_sorted_limited_and_aggregated(run: Run) -> None:
    orders = [{"_id": n, "customer": n % 3, "total": n * 10} for n in range(30)]
    stages = [{"$match": {"customer": 1}}, {"$group": {"_id": "$customer", "n": {"$sum": 1}}}]
    passed(
        run(
            {"mongo": mongo(insertMany=orders), "expect": ["size(reply.insertedIds) == 30"]},
            {
                "mongo": mongo(
                    find={"total": {"$gt": 100}},
                    sort={"total": -1},
                    limit=2,
                    projection={"total": 1, "_id": 0},
                ),
                "expect": ["documents == [{'total': 290}, {'total': 280}]"],
            },
            {"mongo": mongo(aggregate=stages), "expect": ["documents == [{'_id': 1, 'n': 10}]"]},
            {
                "mongo": mongo(updateMany={"customer": 2}, update={"$inc": {"total": 1}}),
                "expect": ["reply.modified == 10"],
            },
            {
                "mongo": {"service": "docs", "command": {"ping": 1}},
                "expect": ["reply.ok == 1.0"],
            },
        )
    )


def test_an_error_has_a_name_and_a_code(run: Run) -> None:
    insert = {"mongo": mongo(insertOne={"_id": 1})}
    expected = ["error.name == 'uniqueViolation'", "error.code == '11000'"]
    passed(run(insert, {**insert, "expectError": expected}))
    failed = run(insert, insert)
    assert "(uniqueViolation, 11000)" in failed.message
    nothing = {"mongo": {"service": "docs", "command": {"nothing": 1}}}
    passed(run({**nothing, "expectError": ["error.name == 'unknownCommand'"]}))


def test_an_error_that_does_not_come_or_is_another_is_told(run: Run) -> None:
    insert = {"mongo": mongo(insertOne={"_id": 1}), "expectError": ["error.name == 'timeout'"]}
    failed = run(insert)
    assert failed.message.endswith("no error, where one was expected: error.name == 'timeout'")
    failed = run(insert)  # again
    assert 'error.name is "uniqueViolation"; the error is: docs: ' in failed.message


def test_a_server_that_stops_answering_is_given_up_in_time() -> None:
    with ferretdb_process() as (port, process):
        url = f"mongodb://{USER}:{PASSWORD}@127.0.0.1:{port}/app"
        world = a_world(connections={"docs": url})
        freeze = FreezesWhenTold(process)
        steps = [
            {"mongo": mongo(find={}, timeout="30s")},
            {"fault": {"start": "freeze"}},
            {"mongo": mongo(find={}, timeout="1s")},
        ]
        failed = run_steps(steps, replace(world, faults=freeze))
    assert re.search(r"step 3 of 3 .*docs: no answer within [\d.]+s \(timeout\)$", failed.message)
    assert "the test's time" not in failed.message


class FreezesWhenTold:
    """A fault in which a server goes on to be there, and does nothing any more."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def start(self, name: str) -> None:
        freeze(self._process.pid)

    def stop(self, name: str) -> None:
        self._process.send_signal(signal.SIGCONT)

    def status(self, name: str) -> dict[str, Any]:
        return {}


def test_many_that_are_inserted_may_fail_in_the_middle(run: Run) -> None:
    many = {"mongo": mongo(insertMany=[{"_id": 1}, {"_id": 2}, {"_id": 1}])}
    passed(
        run(
            {
                **many,
                "expectError": ["error.name == 'uniqueViolation'", "error.details.index == 2"],
            },
            {"mongo": mongo(count={}), "expect": ["reply.count == 2"]},
        )
    )


def test_an_expectation_that_does_not_hold_shows_the_documents(run: Run) -> None:
    failed = run(
        {"mongo": mongo(insertOne={"_id": 1, "status": "new"})},
        {"mongo": mongo(find={"_id": 1}), "expect": ["document.status == 'paid'"]},
    )
    assert 'document.status is "new"' in failed.message
    assert '{"_id": 1, "status": "new"}' in failed.details


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"find": {"_id": {"$oid": "x"}}}, "docs: no extended JSON: "),
        ({"aggregate": [{"$nothing": 1}]}, "docs: "),
        ({"updateOne": {}, "update": {"status": "x"}}, "docs: update only works with $ operators"),
    ],
)
def test_what_cannot_work_is_said(run: Run, more: dict[str, Any], message: str) -> None:
    failed = run({"mongo": mongo(**more)})
    assert failed.outcome == "failed"
    assert message in failed.message


def test_too_many_documents_are_refused(run: Run) -> None:
    for first in (0, 600):
        many = [{"_id": first + n} for n in range(600)]
        passed(run({"mongo": mongo(insertMany=many)}))
    # A word in the operation is no limit.
    for find in ({}, {"limit_reached": {"$exists": False}}):
        failed = run({"mongo": mongo(find=find)})
        assert "more than 1000 documents: narrow the filter, or give limit" in failed.message
    passed(run({"mongo": mongo(find={}, limit=1200), "expect": ["size(documents) == 1200"]}))
    for stages in ([{"$match": {}}], [{"$limit": 1100}]):
        failed = run({"mongo": mongo(aggregate=stages)})
        assert "more than 1000 documents: let the pipeline give fewer" in failed.message
    passed(
        run({"mongo": mongo(aggregate=[{"$limit": 1000}]), "expect": ["size(documents) == 1000"]})
    )


def test_a_database_that_is_away_is_said_in_time() -> None:
    step = {
        "mongo": {
            "url": "mongodb://127.0.0.1:1/app",
            "collection": "c",
            "find": {},
            "timeout": "1s",
        }
    }
    failed = run_steps([step])
    assert "mongodb://127.0.0.1:1/app: " in failed.message
    assert "(unavailable)" in failed.message
    assert "the test's time" not in failed.message


def test_wrong_credentials_are_said_without_the_password(mongo_url: str) -> None:
    url = mongo_url.replace(PASSWORD, "wr0ng-word")
    step = {"mongo": {"url": url, "collection": "c", "find": {}, "timeout": "30s"}}
    failed = run_steps([step])
    assert "(accessDenied, 18)" in failed.message
    assert "wr0ng-word" not in failed.message + failed.details


def test_a_url_without_a_database_needs_one(mongo_url: str) -> None:
    url = mongo_url.removesuffix("app") + "?authSource=app"
    step = {"mongo": {"url": url, "collection": "c", "find": {}}}
    assert "the URL names no database: give database" in run_steps([step]).message
    passed(run_steps([{"mongo": {**step["mongo"], "database": "other"}}]))


def test_what_is_no_database_is_given_up_in_time() -> None:
    for talker in (Talker(), Talker(b"HTTP/1.1 400 Bad Request\r\n\r\n")):
        with talker as port:
            url = f"mongodb://127.0.0.1:{port}/app"
            step = {"mongo": {"url": url, "collection": "c", "find": {}, "timeout": "1s"}}
            failed = run_steps([step])
        assert f"mongodb://127.0.0.1:{port}/app: " in failed.message
        assert "the test's time" not in failed.message
