"""``message``: publishes to a broker, or waits for what a subscription delivers."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.brokers import SCHEMES, adapter
from seatrial_runner.scenario.brokers.interface import (
    CONNECT_S,
    Broker,
    BrokerError,
    Outgoing,
    Place,
    address,
)
from seatrial_runner.scenario.connections import connection_tls, connection_url
from seatrial_runner.scenario.exchange import parsed
from seatrial_runner.scenario.interpolation import is_template
from seatrial_runner.scenario.messages.feed import Feed
from seatrial_runner.scenario.messages.judging import Judge
from seatrial_runner.scenario.messages.receiving import Receiving, Wanted
from seatrial_runner.scenario.messages.recording import recorded
from seatrial_runner.scenario.messages.tape import MAX_BYTES, Tape
from seatrial_runner.scenario.redaction import cut

if TYPE_CHECKING:
    from seatrial_runner.scenario.resources import Resources
    from seatrial_runner.scenario.tls import Tls

T = TypeVar("T")

_PLACES = {
    "topic": "topic", "queue": "queue", "exchange": "exchange", "routingKey": "routing_key",
    "subject": "subject", "stream": "stream", "group": "group", "field": "field",
}  # fmt: skip
_BATCH = 500  # messages handed to a broker together
_CLOSE_S = 5.0
_PUBLISH_S = 30.0


def title(document: dict[str, Any]) -> str:
    """Say what is done, and where."""
    where = next((f"{key} {document[key]}" for key in _PLACES if key in document), "?")
    if "to" in document:
        return f"publish to {where}"
    if document.get("backlog"):
        return f"backlog of {where}"
    return f"subscribe to {where}" if document.get("subscribe") else f"message from {where}"


def before_first_step(documents: list[dict[str, Any]], call: Call) -> None:
    """Open every subscription whose place is known, so that no later step's message is missed."""
    for document in documents:
        if "from" not in document or document.get("backlog"):
            continue
        if not _needs_later_names(document, call):
            _feed(document, call)


def tap(document: dict[str, Any], call: Call, max_bytes: int) -> None:
    """
    Record what a place delivers until ``call.tools.resources`` is closed, and give it to them.

    Args:
        document: The step that would subscribe to it.
        call: With resources of its own.
        max_bytes: Of bodies that are kept, compressed.
    """
    call.tools.resources.get("messages", lambda: _tape(call, max_bytes), lambda _: None)
    _feed(document, call)


def until_quiet(resources: Resources, seconds: float, at_most_s: float) -> None:
    """Return once no message has come for so long to what is tapped there."""
    _, [feed], _ = resources.find("messages")
    end = time.monotonic() + at_most_s
    known = -1
    while len(feed) > known and time.monotonic() < end:
        known = len(feed)
        feed.wait(known, seconds)


def act(document: dict[str, Any], call: Call) -> Observation:
    """Publish, subscribe, or wait for messages."""
    if "to" in document:
        return _publish(document, call)
    if document.get("backlog"):
        return _backlog(document, call)
    feed = _feed(document, call, late=not document.get("subscribe"))
    if document.get("subscribe"):
        return Observation()
    judge = Judge(call.scope.bindings())
    wanted = Wanted.of(document, call.expect)
    wanted = replace(wanted, schema=call.json(wanted.schema)) if wanted.schema else wanted
    clock, redactor = call.tools.world.monotonic, call.tools.redactor
    return Receiving(wanted, feed, judge, redactor, clock, call.seconds).observe()


def _needs_later_names(document: dict[str, Any], call: Call) -> bool:
    texts = [document[key] for key in ("from", *_PLACES) if is_template(document.get(key, ""))]
    try:
        for text in texts:
            call.text(text)
        connection_tls(document, call)
    except StepFailure:
        return True
    return False


def _feed(document: dict[str, Any], call: Call, *, late: bool = False) -> Feed:
    """Give the subscription of a step, opened if nobody has opened it before."""
    url = _url(document["from"], call)
    place, tls = _place(document, call), connection_tls(document, call)
    resources, world = call.tools.resources, call.tools.world
    tape, feeds, numbers = resources.get("messages", lambda: _tape(call), lambda _: None)
    name = f"{place} of {_shown(document['from'], url)}"

    def subscribe() -> Feed:
        # Branches subscribe side by side.
        feed = Feed(name, next(numbers), tape, world.monotonic, world.now)
        broker = _broker(url, tls, call)
        _run(call, broker.subscribe(place, feed), 2 * CONNECT_S, f"subscribing to {name}")
        feed.late = late
        feeds.append(feed)
        return feed

    return resources.get(("feed", url, tls, place), subscribe, lambda _: None)


def _tape(call: Call, max_bytes: int = MAX_BYTES) -> tuple[Tape, list[Feed], Iterator[int]]:
    """Make the scenario's tape, with the subscriptions that record on it; a report has a copy."""
    tape: Tape = Tape(max_bytes=max_bytes)
    feeds: list[Feed] = []
    call.tools.resources.record("messages", lambda: recorded(tape, feeds, call.tools.redactor))
    return tape, feeds, itertools.count()


def _backlog(document: dict[str, Any], call: Call) -> Observation:
    url = _url(document["from"], call)
    place = _place(document, call)
    name = f"{place} of {_shown(document['from'], url)}"
    broker = _broker(url, connection_tls(document, call), call)
    backlog = _run(call, broker.backlog(place), CONNECT_S, f"asking for the backlog of {name}")
    return Observation({"backlog": backlog}, f"Waiting in {name}: {backlog}")


def _publish(document: dict[str, Any], call: Call) -> Observation:
    url = _url(document["to"], call)
    place = _place(document, call)
    name = f"{place} of {_shown(document['to'], url)}"
    broker = _broker(url, connection_tls(document, call), call)
    sent: list[Outgoing] = []
    total = 0
    for batch in _batches(document, call):
        if not sent:  # as many secrets as there can be messages would take minutes to mask
            _learn(batch, call)
        _run(call, broker.publish(place, batch), _PUBLISH_S, f"publishing to {name}")
        total += len(batch)
        sent = sent or batch[:1]
    text = f"Published to {name}{f' ({total} messages)' if total > 1 else ''}:\n"
    return Observation(text=text + "  " + cut(sent[0].body.decode("utf-8", "replace"), 1000))


def _learn(batch: list[Outgoing], call: Call) -> None:
    for each in batch:
        call.tools.redactor.learn_headers(each.headers)
        call.tools.redactor.learn_json(parsed(each.body.decode("utf-8", "replace"))[0])


def _batches(document: dict[str, Any], call: Call) -> Iterator[list[Outgoing]]:
    count = document.get("count", 1)
    if "count" not in document:
        yield [_outgoing(document, call)]
        return
    scope = call.scope.branch()
    numbered = replace(call, scope=scope)
    for start in range(1, count + 1, _BATCH):
        batch = []
        for number in range(start, min(start + _BATCH, count + 1)):
            scope.define("number", number)
            batch.append(_outgoing(document, numbered))
        yield batch


def _outgoing(document: dict[str, Any], call: Call) -> Outgoing:
    return Outgoing(
        _body(document, call),
        call.text(document["key"]).encode() if "key" in document else None,
        {name: call.text(text) for name, text in (document.get("headers") or {}).items()},
        {name: call.text(text) for name, text in (document.get("properties") or {}).items()},
        document.get("partition"),
        bool(document.get("retain")),
    )


def _body(document: dict[str, Any], call: Call) -> bytes:
    if "json" in document:
        return json.dumps(call.json(document["json"]), ensure_ascii=False).encode()
    if "base64" in document:
        try:
            return base64.b64decode(call.text(document["base64"]), validate=True)
        except (binascii.Error, ValueError) as error:
            raise StepFailure(f"base64: it is none: {error}", permanent=True) from error
    return call.text(document.get("text", "")).encode()


def _url(broker: str, call: Call) -> str:
    where = {"url": broker} if "://" in broker else {"service": broker}
    return connection_url(where, call, SCHEMES)


def _shown(broker: str, url: str) -> str:
    return address(url) if "://" in broker else broker


def _place(document: dict[str, Any], call: Call) -> Place:
    texts = {name: call.text(document[key]) for key, name in _PLACES.items() if document.get(key)}
    return Place(
        **texts,
        qos=document.get("qos", 1),
        earlier=bool(document.get("earlier")),
        consume=bool(document.get("consume")),
    )


def _broker(url: str, tls: Tls | None, call: Call) -> Broker:
    resources = call.tools.resources

    def connect() -> Broker:
        try:
            broker = adapter(url, tls)
        except BrokerError as error:
            raise StepFailure(error.message, permanent=error.permanent) from error
        try:
            _run(call, broker.start(), CONNECT_S, f"connecting to {address(url)}")
        except BaseException:
            _close(broker)
            raise
        return broker

    def _close(broker: Broker) -> None:
        resources.run(broker.close(), _CLOSE_S)

    return resources.get(("broker", url, tls), connect, _close)


def _run(call: Call, work: Coroutine[Any, Any, T], seconds: float, doing: str) -> T:
    """Run an adapter's coroutine; what it raises becomes the step's failure."""
    seconds = min(seconds, max(0.0, call.seconds()))
    try:
        return call.tools.resources.run(work, seconds)
    except BrokerError as error:
        raise StepFailure(error.message, permanent=error.permanent) from error
    except TimeoutError as error:
        text = f"{doing} took longer than {seconds:.3g} s"
        raise StepFailure(text, out_of_time=True) from error
