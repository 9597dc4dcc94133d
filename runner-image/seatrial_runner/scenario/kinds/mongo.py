"""``mongo``: one operation on a collection of MongoDB, or a command."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.connections import connection_url
from seatrial_runner.scenario.databases.urls import without_password
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.stores.mongo_client import close, failure, make_client
from seatrial_runner.scenario.stores.mongo_values import DocumentError, to_bson, to_json
from seatrial_runner.scenario.values import show_duration

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection

SCHEMES = ("mongodb",)
DEFAULT_TIMEOUT_S = 10.0
MAX_DOCUMENTS = 1000
MAX_BYTES = 4 * 1024 * 1024
VERBS = (
    "find",
    "count",
    "aggregate",
    "insertOne",
    "insertMany",
    "updateOne",
    "updateMany",
    "deleteOne",
    "deleteMany",
    "command",
)
_MAX_SHOWN = 2000


def title(document: dict[str, Any]) -> str:
    """Give the operation, and what it is done to."""
    return f"{_verb(document)} {document.get('collection') or ''}".strip()


def preload() -> None:
    """Import the driver once, before workers are forked; its absence is told by the step."""
    try:
        import pymongo  # noqa: F401
    except ImportError:
        return


def act(document: dict[str, Any], call: Call) -> Observation:
    """Carry out the operation."""
    began = call.tools.world.monotonic()
    url = connection_url(document, call, SCHEMES)
    where = document.get("service") or "url"
    filled = {key: call.json(value) for key, value in document.items() if key != "url"}
    call.tools.redactor.learn_json(filled)
    shown = _shown(filled, where)
    given = document.get("timeout")
    wanted = parse_duration(given).total_seconds() if given else DEFAULT_TIMEOUT_S
    seconds = max(0.001, min(wanted, call.seconds()))

    def elapsed() -> timedelta:
        return timedelta(seconds=call.tools.world.monotonic() - began)

    try:
        import pymongo

        client = call.tools.resources.get(("mongo", url), lambda: make_client(url), close)
        with pymongo.timeout(seconds):
            documents, reply = _carried_out(client, filled)
    except ImportError as error:
        text = f"mongo needs the extra: pip install 'seatrial[mongo]' ({error})"
        raise StepFailure(text, outcome="error", permanent=True) from error
    except DocumentError as error:
        raise StepFailure(f"{where}: {error}", shown, permanent=True) from error
    except Exception as error:
        raise failure(error, where, without_password(url), shown, elapsed()) from error
    if len(documents) > (most := _most(filled)):
        finds = _verb(filled) == "find"
        remedy = "narrow the filter, or give limit" if finds else "let the pipeline give fewer"
        raise StepFailure(f"{where}: more than {most} documents: {remedy}", shown)
    return _observation(documents, reply, elapsed(), call, shown, where)


def _carried_out(
    client: MongoClient[Any], filled: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Give the documents that were found, and what else was answered."""
    from pymongo.errors import ConfigurationError

    try:
        database = client.get_database(filled.get("database"))
    except ConfigurationError:
        if not filled.get("database"):
            raise DocumentError("the URL names no database: give database") from None
        raise
    verb = _verb(filled)
    argument = to_bson(filled[verb])
    if verb == "command":
        return [], dict(database.command(argument))
    return _on_collection(database[filled["collection"]], verb, argument, filled)


def _on_collection(
    collection: Collection[Any], verb: str, argument: Any, filled: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    most = _most(filled)
    match verb:
        case "find":
            sort = list((filled.get("sort") or {}).items()) or None
            projection = to_bson(filled.get("projection"))
            found = collection.find(argument, projection, sort=sort, limit=filled.get("limit") or 0)
            return list(islice(found, most + 1)), {}
        case "aggregate":
            return list(islice(collection.aggregate(argument), most + 1)), {}
        case "count":
            return [], {"count": collection.count_documents(argument)}
        case "insertOne":
            return [], {"insertedIds": [collection.insert_one(argument).inserted_id]}
        case "insertMany":
            return [], {"insertedIds": collection.insert_many(argument).inserted_ids}
        case "updateOne" | "updateMany":
            update = collection.update_one if verb == "updateOne" else collection.update_many
            done = update(argument, to_bson(filled["update"]), upsert=bool(filled.get("upsert")))
            counts = {"matched": done.matched_count, "modified": done.modified_count}
            return [], {**counts, "upsertedId": done.upserted_id}
        case _:
            delete = collection.delete_one if verb == "deleteOne" else collection.delete_many
            return [], {"deleted": delete(argument).deleted_count}


def _observation(
    found: list[Any], reply: dict[str, Any], elapsed: timedelta, call: Call, shown: str, where: str
) -> Observation:
    documents = [to_json(each) for each in found]
    told = to_json(reply)
    size = len(json.dumps([documents, told]))
    if size > MAX_BYTES:
        problem = f"more than {MAX_BYTES // 2**20} MiB: narrow the filter, or give projection"
        raise StepFailure(f"{where}: {problem}", shown)
    call.tools.redactor.learn_json([documents, told])
    values = {
        "documents": documents,
        "document": documents[0] if documents else None,
        "reply": told,
        "elapsed": elapsed,
    }
    lines = [json.dumps(each, ensure_ascii=False) for each in documents or [told]]
    text = cut("\n".join(f"  {line}" for line in lines), _MAX_SHOWN)
    head = f"Documents: {len(documents)}" if documents or not reply else "Reply"
    notes = {} if documents else {"document": "there are no documents"}
    seen = f"{head}, after {show_duration(elapsed)}\n{text if documents or reply else ''}"
    return Observation(values, f"{shown}\n\n{seen.rstrip()}", notes)


def _most(filled: dict[str, Any]) -> int:
    """Give how many documents a step may have: one more is fetched, and refused."""
    return max(filled.get("limit") or 0, MAX_DOCUMENTS)


def _verb(document: dict[str, Any]) -> str:
    return next((verb for verb in VERBS if document.get(verb) is not None), "?")


def _shown(filled: dict[str, Any], where: str) -> str:
    operation = {key: value for key, value in filled.items() if key not in ("service", "timeout")}
    return f"Operation ({where}):\n  {cut(json.dumps(operation, ensure_ascii=False), _MAX_SHOWN)}"
