"""What was answered is in the archive, byte for byte, and in a log that only grows.

A reply is looked for a few seconds after it came, since it is stored a moment after it is handed out. What waited in a
process that was killed may be missing, and nothing else.
"""

import json
import time
from collections import deque
from dataclasses import dataclass

from devstack.endurance.calls import Connection, Ended
from devstack.endurance.ledger import Ledger
from tytle_verifier import LogError, log
from tytle_verifier.log import Head

KIND = "archive read"
MISSING = "error 404"
WAIT_SECONDS = 5.0  # far above the 0.1 s for which replies are gathered
GATHERED_SECONDS = 1.0  # a process that is killed later than this after an answer has stored it
MAX_WAITING = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """A reply to look for. It left the parent between `asked` and `came` (on `time.monotonic()`)."""

    asked: float
    came: float
    reply: bytes


class Reader:
    """Reads for one client, on its connection."""

    def __init__(self, connection: Connection, ledger: Ledger) -> None:
        self._connection = connection
        self._ledger = ledger
        self._due: deque[_Due] = deque(maxlen=MAX_WAITING)
        self._head: Head | None = None

    def later(self, reply: bytes, *, asked: float) -> None:
        """Look in a while for this reply to what was asked at this instant."""
        self._due.append(_Due(asked=asked, came=time.monotonic(), reply=reply))

    def read_due(self) -> None:
        """Look for one reply whose time has come."""
        if self._due and time.monotonic() - self._due[0].came >= WAIT_SECONDS:
            due = self._due.popleft()
            began, ended = time.monotonic(), None
            try:
                outcome, text = self._read(due.reply), ""
            except Ended as exc:
                outcome, text = exc.outcome, exc.text
                if outcome.startswith(MISSING):  # what counts is what happened when it was to be stored
                    began, ended = due.asked, due.came + GATHERED_SECONDS
            except LogError as exc:
                outcome, text = "UNVERIFIED", f"{exc!r:.500}"
            self._ledger.end(KIND, KIND, outcome, began=began, ended=ended, text=text)

    def _read(self, reply: bytes) -> str:
        """Return how looking for a reply ended. Raises: Ended, LogError."""
        name = json.loads(reply)["attestation"]["attestationId"]
        if self._connection.get(f"/attestations/{name}").data != reply:
            raise Ended("WRONG", f"the archive has other bytes under {name}")
        head = log.decode_head(self._connection.get("/log/head").data)
        self._check_growth(head)
        leaf = log.leaf_of(reply)
        proof = self._connection.get(f"/log/proof?leaf={leaf.hex()}&size={head.size}")
        log.check_inclusion(leaf, log.decode_inclusion(proof.data), head)
        return "verified"

    def _check_growth(self, head: Head) -> None:
        before, self._head = self._head, head
        if before is not None and before.size:
            path = f"/log/consistency?from={before.size}&to={head.size}"
            log.check_consistency(before, head, log.decode_consistency(self._connection.get(path).data))
