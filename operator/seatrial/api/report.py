"""What the parts of a report are, from the conductor to the CLI. Plain."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

_MAX_LINE = 160


class LogDoc(TypedDict):
    """
    What a container has written: the end of it, without what looks like a credential.

    ``logs.json`` is a list of these.
    """

    pod: str
    container: str
    previous: bool  # before its last restart
    service: str | None  # spec.services[].name; of a pod that is of one
    test: str | None  # spec.tests[].name; of a pod that is of one
    text: str


class SubscriptionDoc(TypedDict):
    """A source that a scenario has listened to."""

    name: str
    messages: int
    missed: list[str]  # why there may have been more


# By names of which one is reserved: ``from``, the subscription it came with.
MessageDoc = TypedDict(
    "MessageDoc",
    {
        "number": int,
        "from": str,
        "at": str,
        "headers": dict[str, Any],
        "text": str | None,  # the beginning of it; None of what is no text
        "bytes": int,
        "topic": NotRequired[str],
        "key": NotRequired[str],
        "partition": NotRequired[int],
        "offset": NotRequired[Any],
        "exchange": NotRequired[str],
        "deadLetter": NotRequired[dict[str, Any]],
        "redelivered": NotRequired[bool],
        "retained": NotRequired[bool],
    },
)


class RecordDoc(TypedDict):
    """The messages that came in one run of a scenario: all counted, the first and the last kept."""

    total: int
    leftOut: int  # of the total, not among ``messages``
    withoutBody: int
    dropped: int  # came when there was no room left for any; not in the total
    subscriptions: list[SubscriptionDoc]
    messages: list[MessageDoc]


class MessagesDoc(RecordDoc):
    """Whose they are; ``messages.json`` is a list of these."""

    test: str  # empty: of a tap
    case: str  # or the tap's name
    attempt: int  # of the test


def messages_text(record: RecordDoc, last: int | None = None) -> str:
    """Write a record for people: each subscription, and the messages kept, or the last of them."""
    if not record["subscriptions"]:
        return ""
    lines = [f"Messages recorded: {record['total']}"]
    for each in record["subscriptions"]:
        missed = f" ({'; '.join(each['missed'])})" if each["missed"] else ""
        lines.append(f"  {each['messages']:5d}  {each['name']}{missed}")
    if record["withoutBody"]:
        lines.append(f"  {record['withoutBody']} of them without their bodies: too many came")
    shown = record["messages"] if last is None else record["messages"][-last:]
    if record["total"] > len(shown):
        lines.append(f"Of these {len(shown)}:" if last is None else f"The last {len(shown)}:")
    lines += [_line(each) for each in shown]
    return "\n".join(lines)


def _line(message: MessageDoc) -> str:
    facts = [message.get("topic", "")]
    facts += [f"key {message['key']}"] if "key" in message else []
    facts += [f"offset {message['offset']}"] if "offset" in message else []
    text = message["text"] if message["text"] is not None else f"({message['bytes']} bytes)"
    line = f"  {message['number']:5d}  {message['at']}  {', '.join(facts)}:"
    line = f"{line} {' '.join(text.split())}"
    return line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE - 1]}…"
