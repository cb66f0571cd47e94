"""The answer to `POST /attest/sealed`: the sealed bytes, or somebody's word that the call was not opened."""

from __future__ import annotations

from typing import Final

from tytle_verifier import jsontext
from tytle_verifier.errors import InputError, NotOpened, SealedAnswerError, UnknownKey
from tytle_verifier.reply import MAX_REPLY_BYTES
from tytle_verifier.sealed import container, suite
from tytle_verifier.shape import Fields, WrongShape

UNKNOWN_KEY: Final = "sealed.unknown-key"
MAX_SEALED_BYTES = container.ANSWER.most + suite.OVERHEAD_BYTES


def decode(data: bytes) -> bytes:
    """Return the sealed bytes, still closed. Raises: NotOpened (hearsay), SealedAnswerError.

    An answer that is not sealed is refused, whatever it holds: a genuine attested reply among them.
    """
    if not 1 <= len(data) <= MAX_REPLY_BYTES:
        raise SealedAnswerError("answer size", got=f"{len(data)} bytes", expected=f"1..{MAX_REPLY_BYTES}")
    try:
        value = jsontext.decode(data, "answer")
        _refuse_refusal(value)
        sealed = jsontext.from_base64(Fields(value, "", required=("sealed",)).text("sealed"), "sealed")
    except (InputError, WrongShape) as error:
        raise SealedAnswerError(f"answer: {error.problem}", got=error.got, expected="a sealed answer") from error
    if len(sealed) > MAX_SEALED_BYTES:
        raise SealedAnswerError("sealed answer size", got=f"{len(sealed)} bytes", expected=f"<= {MAX_SEALED_BYTES}")
    return sealed


def _refuse_refusal(value: object) -> None:
    """Raise: NotOpened for what says that it is a refusal. Evidence beside it makes it none."""
    if not isinstance(value, dict) or value.get("success") is not False or value.keys() & {"attestation", "sealed"}:
        return
    status, code, said = value.get("status"), value.get("code"), value.get("error", "no reason given")
    if type(status) is not int or not 400 <= status <= 599:
        return
    kind = UnknownKey if code == UNKNOWN_KEY else NotOpened
    raise kind(status, code if isinstance(code, str) else None, str(said))
