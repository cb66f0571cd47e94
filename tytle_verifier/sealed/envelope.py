"""A call -> the bytes that go out, and the way to open what comes back. Both are made once, for one call."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tytle_verifier import jsontext
from tytle_verifier.errors import InputError, PolicyError, UnknownKey
from tytle_verifier.sealed import answer, container, suite
from tytle_verifier.sealed.suite import ReplyKey
from tytle_verifier.sealed.verification import VerifiedIdentity
from tytle_verifier.when import Live


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SealedCall:
    """One call for one enclave.

    `data` is the body of `POST /attest/sealed`, to be sent once and never again: whoever carries it may deliver it and
    deny that. `identity` is the enclave that alone can read it.
    """

    data: bytes = field(repr=False)
    identity: VerifiedIdentity = field(repr=False)
    _reply_key: ReplyKey = field(repr=False)
    _info: bytes = field(repr=False)
    _forget: Callable[[], None] = field(repr=False)

    def open(self, body: bytes) -> bytes:
        """Return the reply inside the answer with HTTP status 200, exactly what an unsealed call would have got.

        NOT checked: the reply. Refusals come sealed too; `verify_reply` is for what is left. Raises: SealedAnswerError;
        UnknownKey, after which the identity is forgotten; NotOpened.
        """
        try:
            sealed = answer.decode(body)
        except UnknownKey:
            self._forget()
            raise
        return container.empty(self._reply_key.unseal(sealed, self._info), container.ANSWER)


def seal(call: bytes, *, identity: VerifiedIdentity, time: Live, forget: Callable[[], None]) -> SealedCall:
    """Seal the JSON of one `POST /attest/fetch` to that enclave, under a reply key of its own.

    Its `timeoutMs`, where it has one, is told to the parent too, and nothing else is. `forget` is called when somebody
    says that the enclave does not know the key. Raises: PolicyError for what is no JSON object or too large.
    """
    reply_key = suite.reply_key()
    key_id = identity.key.id
    plain = container.fill(_inside(call, reply_key, time), container.REQUEST)
    sealed = identity.key.seal(plain, suite.request_info(identity.service, key_id))
    outside: dict[str, object] = {
        "service": identity.service,
        "keyId": key_id.hex(),
        "sealed": base64.b64encode(sealed).decode(),
        **_timeout(call),
    }
    return SealedCall(
        data=json.dumps(outside, separators=(",", ":")).encode(),
        identity=identity,
        _reply_key=reply_key,
        _info=suite.answer_info(identity.service, key_id, sealed),
        _forget=forget,
    )


def _inside(call: bytes, reply_key: ReplyKey, time: Live) -> bytes:
    """Return the JSON that is sealed; the call's bytes are in it as they were given."""
    reply = base64.b64encode(reply_key.encoded)
    return b'{"time":%d,"replyKey":"%b","request":%b}' % (time.unix_ms, reply, call)


def _timeout(call: bytes) -> dict[str, object]:
    try:
        value = jsontext.decode(call, "call")
    except InputError as error:
        raise PolicyError(error.detail) from error
    if not isinstance(value, dict):
        raise PolicyError("the call is not a JSON object")
    timeout = value.get("timeoutMs")
    return {"timeoutMs": timeout} if type(timeout) is int else {}
