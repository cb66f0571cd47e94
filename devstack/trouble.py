"""Answers that are wrong in the ways of real services, to put in the place of a right one: pages, cuts, other numbers.

Rule: an answer goes in, the wrong one comes out; which number gets which is written in `vies_trouble` and
`hmrc_trouble`. Edits of text fail loudly when there is nothing to edit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from devstack.upstream import Response

Trouble = Callable[[Response], Response]

HTML = (("Content-Type", "text/html; charset=UTF-8"),)
MAINTENANCE = (
    b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body>"
    b"<h1>We are sorry</h1><p>The service is temporarily unavailable.<br></p></body></html>\n"
)


def page(status: int, body: bytes = MAINTENANCE) -> Trouble:
    """A page of the machine in front of the service, with this status."""
    return lambda _answer: Response(status=status, headers=HTML, body=body)


def body(text: bytes, status: int | None = None) -> Trouble:
    """The answer's head with another body."""
    return lambda answer: replace(answer, body=text, status=status or answer.status)


def edited(pattern: bytes, replacement: bytes) -> Trouble:
    """The answer with what matches replaced. Raises: ValueError where nothing does."""

    def edit(answer: Response) -> Response:
        text, count = re.subn(pattern, replacement, answer.body)
        if not count:
            raise ValueError(f"the answer has no {pattern!r}")
        return replace(answer, body=text)

    return edit


def cut(answer: Response) -> Response:
    """The first two thirds of a document in a message that is complete."""
    return replace(answer, body=answer.body[: len(answer.body) * 2 // 3])
