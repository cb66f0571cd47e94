"""What each enclave's identity says of its measurements: a claim, since nobody here verifies the document.

An identity costs the NSM a signature. So it is asked for where somebody looks and the enclave's boot is a new one, in
the background; measurements do not change while an enclave runs.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from app.enclave import Enclave
from app.said import json_object
from wire import messages
from wire.errors import WireError
from wire.messages import IdentityQuestion

QUESTION = messages.encode_identity_question(IdentityQuestion(challenge=None))
ANSWER_SECONDS = 6.0  # the worker takes 5 for a document at most
PAUSE_SECONDS = 10.0  # between two questions to the same enclave
MAX_IDENTITY_BYTES = 64 * 1024  # ours: four times the longest that a worker sends
MAX_PCRS = 32  # AWS Nitro Enclaves: nitro_tpm and NSM alike have no more
_NAME = re.compile(r"pcr[0-9]{1,2}")
_VALUE = re.compile(r"[0-9a-f]{96}")  # SHA-384


class NotAnIdentity(Exception):
    """Bytes are no answer to the question for an identity. Without the bytes: it is a stranger's word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """`pcrs` by name in hex; one that is all zero is absent. `boot` is the ping's; `at` is on `time.monotonic()`."""

    pcrs: Mapping[str, str]
    boot: str
    at: float


def read(payload: bytes) -> Mapping[str, str]:
    """Return the PCRs that an identity's JSON says.

    Raises:
        NotAnIdentity: it says none.
    """
    if len(payload) > MAX_IDENTITY_BYTES:
        raise NotAnIdentity("too long")
    given = json_object(payload)
    pcrs = given.get("pcrs") if given is not None and given.get("success") is True else None
    if not isinstance(pcrs, dict) or len(pcrs) > MAX_PCRS:
        raise NotAnIdentity("no PCRs")
    if not all(
        _NAME.fullmatch(name) and isinstance(value, str) and _VALUE.fullmatch(value) for name, value in pcrs.items()
    ):
        raise NotAnIdentity("PCRs are not named or written as such")
    return pcrs


class Claims:
    """The claims of some enclaves, as far as this process has asked. Safe to use from many threads."""

    def __init__(self, enclaves: Iterable[Enclave], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, Claim] = {}
        self._asked = {enclave.name: -PAUSE_SECONDS for enclave in enclaves}
        self._lock = threading.Lock()

    def of(self, enclave: Enclave) -> Claim | None:
        """Return what this boot of an enclave claims; None where that is not known yet: then it is being asked."""
        seen = enclave.seen
        if seen is None or seen.pong is None or seen.pong.boot is None:
            return None
        claim = self._known.get(enclave.name)
        if claim is not None and claim.boot == seen.pong.boot:
            return claim
        if self._is_due(enclave):
            threading.Thread(target=self._ask, args=(enclave, seen.pong.boot), name="claim", daemon=True).start()
        return None

    def _is_due(self, enclave: Enclave) -> bool:
        """Whether to ask now. Whoever is told so does."""
        now = self._clock()
        with self._lock:
            due = now - self._asked[enclave.name] >= PAUSE_SECONDS
            if due:
                self._asked[enclave.name] = now
        return due

    def _ask(self, enclave: Enclave, boot: str) -> None:
        with contextlib.suppress(WireError, NotAnIdentity):  # whoever looks next has it asked again
            reply = enclave.pool.ask_apart(QUESTION, deadline=time.monotonic() + ANSWER_SECONDS)
            self._known[enclave.name] = Claim(pcrs=read(reply), boot=boot, at=self._clock())
