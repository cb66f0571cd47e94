"""What the caller asked: the side of step 8 that the relying party knows for certain, because it wrote it.

Read from the JSON that was sent to the parent (`POST /attest/fetch`), or built by the program that sent it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tytle_verifier import jsontext
from tytle_verifier.errors import InputError, PolicyError
from tytle_verifier.reply import body_bytes
from tytle_verifier.shape import Fields, WrongShape
from tytle_verifier.statement import CHALLENGE_BYTES

_OPTIONAL = ("id", "headers", "body", "bodyEncoding", "challenge", "mode", "timeoutMs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as sent: headers in order and as spelt, `body` as bytes (none is b""), `challenge` of 16..64 bytes.

    `id` is the caller's own, None where it let the enclave choose.

    Raises: PolicyError for a challenge of another length.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    challenge: bytes | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        check_challenge(self.challenge)


def check_challenge(challenge: bytes | None) -> None:
    """Demand 16..64 bytes of a challenge. Raises: PolicyError."""
    least, most = CHALLENGE_BYTES
    if challenge is not None and not least <= len(challenge) <= most:
        raise PolicyError(f"a challenge has {least}..{most} bytes, not {len(challenge)}")


def decode(data: bytes) -> Request:
    """Read the JSON of a `POST /attest/fetch`. Its mode and timeoutMs are not kept. Raises: PolicyError."""
    try:
        fields = Fields(jsontext.decode(data, "request"), "", required=("method", "url"), optional=_OPTIONAL)
        return Request(
            method=fields.text("method"),
            url=fields.text("url"),
            headers=fields.maybe("headers", fields.texts) or (),
            body=fields.maybe("body", lambda key: body_bytes(fields, key)) or b"",
            id=fields.maybe("id", fields.text),
            challenge=fields.maybe("challenge", lambda key: jsontext.from_base64(fields.text(key), key)),
        )
    except (InputError, WrongShape) as error:
        raise PolicyError(f"request: {error.detail}") from error
