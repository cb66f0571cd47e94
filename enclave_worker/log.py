"""One JSON object per line on standard error. A log line never holds a header value, body, path, query or secret.

The enclave's console reaches the host in debug mode only; what is written here must be fit for a hostile reader.
"""

import json
import sys
import time
from dataclasses import dataclass
from typing import TextIO

_encode = json.JSONEncoder(ensure_ascii=True).encode


class Log:
    """Writes events. The values are names, numbers and our own words: never bytes from a caller or an upstream."""

    def __init__(self, service: str, *, stream: TextIO = sys.stderr) -> None:
        self._service = service
        self._stream = stream

    def event(self, name: str, **fields: str | int) -> None:
        """Write one event with its fields. A broken console is no reason to stop serving."""
        line = {"time": round(time.time(), 3), "service": self._service, "event": name, **fields}
        try:
            self._stream.write(_encode(line) + "\n")  # in one piece: other threads write, too
            self._stream.flush()
        except OSError:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLog:
    """What may be written about one call, `id`. Of a `sealed` one, only what its carrier can see anyway.

    `trace` is the trace id, in hex, that the carrier named, if it did.
    """

    log: Log
    id: str
    sealed: bool
    trace: str | None = None

    def event(self, name: str, *, inside: dict[str, str | int] | None = None, **fields: str | int) -> None:
        """Write one event. Id and `inside`, what the call or its answer says, are left out where it came sealed."""
        said: dict[str, str | int] = {"sealed": True} if self.sealed else {"id": self.id, **(inside or {})}
        if self.trace is not None:
            said["trace"] = self.trace
        self.log.event(name, **said, **fields)
