"""The reference pages, generated from the models and the reasons."""

from __future__ import annotations


def resource_page() -> str:
    """Describe every field of the resource, in Markdown."""
    return ""


def outcomes_page() -> str:
    """Describe verdicts, conditions and reasons, in Markdown."""
    return ""
