"""The journal of a run: what happened, in order, and the summary the operator judges it by."""

from seatrial_runner.journal.entries import Entries, Entry
from seatrial_runner.journal.store import FencedError, Journal, JournalEdge, Stored
from seatrial_runner.journal.summary import bounded_json, new_summary

__all__ = [
    "Entries",
    "Entry",
    "FencedError",
    "Journal",
    "JournalEdge",
    "Stored",
    "bounded_json",
    "new_summary",
]
