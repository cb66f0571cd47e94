"""From a sealed call to what is inside, and back to a sealed answer.

What a refusal says is one of five fixed texts. Whoever altered, cut or misdirected a request learns no more than that
it did not open; what was inside is in no error and no log.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey

from enclave_worker.sealed import envelope, padding
from enclave_worker.sealed.envelope import NotSealed
from enclave_worker.sealed.keys import KeyRing
from enclave_worker.sealed.padding import NotPadded
from enclave_worker.sealed.replays import MemoryFull, Replayed, ReplayMemory, Stale
from wire import fields, jsontext
from wire.errors import MessageError
from wire.sealed import SealedCall

# code: (status, text). The codes are an interface; VERIFICATION.md lists them.
REFUSALS = {
    "sealed.unknown-key": (409, "The key is not one of this enclave's: ask for its identity and seal again"),
    "sealed.unreadable": (400, "The request does not open"),
    "sealed.stale": (400, "The request's time is too far from the enclave's"),
    "sealed.replayed": (409, "The request was here before"),
    "sealed.full": (503, "The enclave cannot remember more requests at the moment"),
}
MAX_SEALED_BYTES = padding.MAX_REQUEST_BYTES + envelope.OVERHEAD_BYTES
_INSIDE = frozenset({"time", "replyKey", "request"})


class SealedRefused(Exception):
    """A sealed call is refused. `code` is a key of `REFUSALS`, `status` the reply's."""

    def __init__(self, code: str) -> None:
        self.status, text = REFUSALS[code]
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What was inside: `request` is the JSON object that an unsealed call would have been, not looked at yet."""

    request: dict[str, Any] = field(repr=False)
    reply_key: MLKEM768X25519PublicKey = field(repr=False)
    answer_info: bytes

    def seal(self, reply: bytes) -> bytes:
        """Return the reply, of at most `padding.MAX_ANSWER_BYTES` with its length, sealed to whoever asked."""
        return envelope.seal(padding.pad(reply, least=padding.LEAST_ANSWER_BYTES), self.reply_key, self.answer_info)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """Opens sealed calls to `service`. `clock_ms` never goes back."""

    service: str
    keys: KeyRing
    replays: ReplayMemory
    clock_ms: Callable[[], int]

    def open(self, call: SealedCall) -> Opened:
        """Return what is inside.

        Raises:
            SealedRefused: see `REFUSALS`.
        """
        key = self.keys.find(call.key_id)
        if key is None:
            raise SealedRefused("sealed.unknown-key")
        if len(call.sealed) > MAX_SEALED_BYTES:
            raise SealedRefused("sealed.unreadable")
        try:
            padded = envelope.unseal(call.sealed, key.private, envelope.request_info(self.service, key.id))
            inside = jsontext.parse_object(padding.unpad(padded, least=padding.LEAST_REQUEST_BYTES))
            stated_ms, name, request = _read(inside)
            reply_key = envelope.public_key(name)
        except (NotSealed, NotPadded, MessageError) as exc:
            raise SealedRefused("sealed.unreadable") from exc
        self._admit(name, stated_ms)
        info = envelope.answer_info(self.service, key.id, call.sealed)
        return Opened(request=request, reply_key=reply_key, answer_info=info)

    def _admit(self, name: bytes, stated_ms: int) -> None:
        try:
            self.replays.admit(name, stated_ms=stated_ms, now_ms=self.clock_ms())
        except Stale as exc:
            raise SealedRefused("sealed.stale") from exc
        except Replayed as exc:
            raise SealedRefused("sealed.replayed") from exc
        except MemoryFull as exc:
            raise SealedRefused("sealed.full") from exc


def _read(inside: dict[str, Any]) -> tuple[int, bytes, dict[str, Any]]:
    """Return stated time in ms, reply key and request. Raises: MessageError, which says nothing of the content."""
    if inside.keys() != _INSIDE:
        raise MessageError("", "not what a sealed request holds")
    stated, name, request = inside["time"], inside["replyKey"], inside["request"]
    if type(stated) is not int or type(request) is not dict:
        raise MessageError("", "not what a sealed request holds")
    return stated, fields.base64_bytes("replyKey", name), request
