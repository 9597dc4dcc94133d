"""A gRPC call that stays open across steps: each of them sends, receives, or ends it."""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

import grpc
from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.kinds.grpc import messages_of, metadata_of
from seatrial_runner.scenario.kinds.grpc_channel import Link, link_to
from seatrial_runner.scenario.kinds.grpc_schema import Method, method_of
from seatrial_runner.scenario.kinds.grpc_seen import (
    MAX_TOTAL,
    Metadata,
    Seen,
    observed,
    shown,
)
from seatrial_runner.scenario.receiving import Condition
from seatrial_runner.scenario.request import timeout_of
from seatrial_runner.scenario.watch import Watch

_Key = tuple[str, str]


def act(document: dict[str, Any], call: Call) -> Observation:
    """
    Do what the step says, in the order: open, send, end, receive, cancel.

    Raises:
        StepFailure: No such stream is open, the server is not there, or what was awaited stayed
            away.
    """
    lasts = (document.get("receive") or {}).get("for")
    seconds = parse_duration(lasts).total_seconds() if lasts else timeout_of(document)
    watch = Watch(seconds, call.seconds())
    key = ("grpc-stream", document["stream"])
    sent = messages_of(document, call)
    stream = _opened(document, key, call, watch.end) if "method" in document else _known(key, call)
    if sent is None:
        # A method that takes one message takes it with the step that opens it.
        sent = [{}] if "method" in document and not stream.method.takes_many else []
    seen = Seen()
    try:
        _send(sent, stream, call, listens="receive" in document or bool(document.get("end")))
        if document.get("end"):
            stream.no_more()
        _receive(document, stream, call, seen, watch)
        if document.get("cancel") and not stream.is_over:
            seen.code = "CANCELLED"
    except StepFailure as failure:
        failure.details = failure.details or stream.shown(sent, seen)
        raise
    finally:
        if stream.is_over or document.get("cancel"):
            call.tools.resources.forget(key)
            stream.close()
    elapsed = timedelta(seconds=time.monotonic() - watch.began)
    return observed(seen, elapsed, stream.shown(sent, seen))


class Stream:
    """
    A call that is open.

    What the server sends is read as it comes, in a thread, and waits here for a step to ask.
    """

    def __init__(self, what: str, link: Link, method: Method, metadata: Metadata) -> None:
        self.what, self.link, self.method = what, link, method
        self.is_over = False  # its status has been seen
        self.is_half_closed = False  # no message will follow
        self._metadata = metadata
        self._outgoing: SimpleQueue[bytes | None] = SimpleQueue()
        self._inbox = _Inbox()
        # NB: without a deadline. Each step has a time of its own, and the scenario ends it.
        self.running = link.start(method.path, iter(self._outgoing.get, None), metadata, None)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for raw in self.running:
                if not self._inbox.put(raw):
                    return
        except grpc.RpcError:
            pass  # its status is looked at by the step that comes so far
        finally:
            self._inbox.end()

    def send(self, encoded: bytes) -> None:
        """Send a message; nobody says whether it has arrived."""
        self._outgoing.put(encoded)

    def no_more(self) -> None:
        """Say that no message will follow."""
        self.is_half_closed = True
        self._outgoing.put(None)

    def next(self, seconds: float) -> bytes | None:
        """Give the next message, None after the last; raises TimeoutError if there is none yet."""
        return self._inbox.take(seconds)

    def has_ended(self) -> bool:
        """Tell whether the server has said its last."""
        return not self.running.is_active()

    def close(self) -> None:
        """End it, whatever is under way."""
        self._inbox.close()
        self.running.cancel()
        self._outgoing.put(None)

    def shown(self, sent: list[Any], seen: Seen) -> str:
        """Write what a step sent and saw."""
        return shown(self.what, self._metadata, sent, seen, "still open")


class _Inbox:
    """What has come and was not asked for; where it is full, the server has to wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._ended = self._closed = False

    def put(self, raw: bytes) -> bool:
        """Add a message, when there is room; False where nobody will ask for it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._size < MAX_TOTAL)
            self._waiting.append(raw)
            self._size += len(raw) + 1
            self._changed.notify_all()
            return not self._closed

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, seconds: float) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended, max(seconds, 0.0))
            if self._waiting:
                raw = self._waiting.popleft()
                self._size -= len(raw) + 1
                self._changed.notify_all()
                return raw
            if self._ended:
                return None
            raise TimeoutError


def _known(key: _Key, call: Call) -> Stream:
    stream: Stream | None = call.tools.resources.find(key)
    if stream is None:
        raise StepFailure(
            f"no stream named {key[1]!r} is open: open it in a step before, with target and"
            " method; one that has ended is gone",
            permanent=True,
        )
    return stream


def _opened(document: dict[str, Any], key: _Key, call: Call, end: float) -> Stream:
    """Begin the call; one that was open under this name is left."""
    resources = call.tools.resources
    if (old := resources.forget(key)) is not None:
        old.close()
    metadata, tls = metadata_of(document, call)
    link = link_to(call.text(document["target"]), tls, call)
    method = method_of(document, link, metadata, end, call)
    what = f"{document['method']} at {document['target']}, stream {key[1]}"
    return resources.get(key, lambda: Stream(what, link, method, metadata), Stream.close)


def _send(messages: list[Any], stream: Stream, call: Call, *, listens: bool) -> None:
    """Send messages; to a stream that has ended only where the step then hears of it."""
    method = stream.method
    encoded = [method.encode(message, index) for index, message in enumerate(messages)]
    if encoded and not listens and stream.has_ended():
        seen = Seen()
        _ended(stream, call, seen)
        raise StepFailure(
            f"the server has ended the stream ({seen.status()}): no message can be sent",
            answered=True,
        )
    call.tools.client.announce(stream.link.host)
    if not method.takes_many and encoded:
        if stream.is_half_closed:
            text = f"{method.path[1:]} takes one message, which it has had: only receive"
            raise StepFailure(text, permanent=True)
        method.check_count(len(encoded))
    for each in encoded:
        stream.send(each)
    if not method.takes_many:
        stream.no_more()


def _receive(
    document: dict[str, Any], stream: Stream, call: Call, seen: Seen, watch: Watch
) -> None:
    """Wait for as much as the step says; after ``end``, unless told otherwise, for the status."""
    wanted = document.get("receive")
    if wanted is None and not document.get("end"):
        return
    wanted = wanted or {}
    condition, count = Condition(wanted.get("until"), call.scope), wanted.get("count")
    to_the_end = bool(document.get("end")) and not wanted
    if not (wanted.keys() & {"count", "until", "for"}) and not to_the_end:
        count = 1
    awaited = [str(count)] if count is not None else []
    while count is None or len(seen.messages) < count:
        try:
            raw = stream.next(watch.left())
        except TimeoutError as error:
            if "for" in wanted:
                watch.require_whole()
                return
            told = " or ".join([*awaited, *condition.told()]) or "the end of the stream"
            text = f"{_came(seen)} in time from {stream.link.target}, and not {told}"
            raise StepFailure(text, out_of_time=True, answered=bool(seen.messages)) from error
        if raw is None:
            _ended(stream, call, seen)
            if seen.code == "OK" and (missing := [*awaited, *condition.told()]):
                text = f"the stream ended after {_came(seen)}, before {' or '.join(missing)}"
                raise StepFailure(text, answered=True)
            return
        seen.take(raw, stream.method, call)
        if seen.fulfils(condition):
            return


def _ended(stream: Stream, call: Call, seen: Seen) -> None:
    """Look at the status of a call that has ended: an answer, unless the server is not there."""
    stream.is_over = True
    seen.ended(stream.running, call)
    if seen.code == "UNAVAILABLE" and (problem := stream.link.problem(seen.details)):
        raise StepFailure(problem)


def _came(seen: Seen) -> str:
    return "1 message came" if len(seen.messages) == 1 else f"{len(seen.messages)} messages came"
