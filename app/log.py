"""The parent's log: one JSON object per line on standard error.

A line holds names, numbers and our own words. It never holds a header value, a body, a path, a query string or a token;
a request is found again by its `requestId`.
"""

import json
import os
import time
from types import TracebackType
from typing import Protocol, TextIO

STANDARD_ERROR = 2  # written to by one system call for each line: lines of several threads and processes do not mix
_ENCODE = json.JSONEncoder().encode


class Named(Protocol):
    """Somebody whose name may be logged."""

    @property
    def name(self) -> str:
        """The name."""


def of_caller(caller: Named | None) -> dict[str, str]:
    """Return what a line says of who asked: nothing where everybody may ask."""
    return {} if caller is None else {"caller": caller.name}


def place(trace: TracebackType | None) -> str:
    """Return file name and line of the innermost frame: no message and no value, which could be a secret."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "unknown"


class Log:
    """Writes events."""

    def __init__(self, *, stream: TextIO | None = None) -> None:
        self._stream = stream

    def event(self, name: str, **fields: str | int | bool | None) -> None:
        """Write one event. A full disk or closed pipe is no reason to stop serving."""
        line = _ENCODE({"time": round(time.time(), 3), "event": name, **fields}) + "\n"
        try:
            if self._stream is None:
                os.write(STANDARD_ERROR, line.encode())
            else:
                self._stream.write(line)
        except (OSError, ValueError):
            return
