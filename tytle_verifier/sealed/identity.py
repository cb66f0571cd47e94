"""Who an enclave says it is, and which key it has: JSON and CBOR (VERIFICATION.md, "Sealed requests") -> frozen values.

Nothing here says that an identity is true; `verification` ties it to a document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tytle_verifier import committed, jsontext
from tytle_verifier.document import MAX_TIMESTAMP_MS
from tytle_verifier.errors import InputError, NotAttested
from tytle_verifier.sealed.suite import KEY_BYTES
from tytle_verifier.shape import Fields, WrongShape

PROFILE: Final = "tytle/enclave-identity/v1"
MAX_REPLY_BYTES = 131_072  # ours: an identity and a document of their largest sizes, as base64
MAX_IDENTITY_BYTES = 65_536  # ours: the key, and a boot report of some hundred lines


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityReply:
    """The parent's answer: the identity's bytes and the document's; `service` and `pcrs` beside them are not kept."""

    identity: bytes
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the enclave says of itself.

    `boot` numbers the worker's process; `report` is what its boot checked and found, pairs of texts, empty outside an
    enclave; `key` is the 1216 bytes of a public key under `suite`, to be asked for anew from `until_ms` on.
    """

    service: str
    manifest: bytes
    boot: bytes
    report: tuple[tuple[str, str], ...]
    suite: str
    key: bytes = field(repr=False)
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityData:
    """What the document signs: SHA-256 of the identity's bytes, and of the public key's."""

    identity: bytes
    key: bytes


def decode_reply(data: bytes) -> IdentityReply:
    """Read the answer to `GET /enclaves/NAME/identity`. Raises: NotAttested, InputError."""
    if not 1 <= len(data) <= MAX_REPLY_BYTES:
        raise InputError("identity reply size", got=f"{len(data)} bytes", expected=f"1..{MAX_REPLY_BYTES}")
    value = jsontext.decode(data, "identity reply")
    if isinstance(value, dict) and value.get("nsmDocument") is None:
        raise NotAttested("the reply carries no identity", got=value.get("error"))
    try:
        return _reply(value)
    except WrongShape as error:
        raise InputError(f"identity reply: {error.problem}", got=error.got, expected=error.expected) from error


def decode(data: bytes) -> Identity:
    """Read an identity's bytes. Raises: BindingError."""
    return committed.decode("identity", data, MAX_IDENTITY_BYTES, _identity)


def decode_user_data(data: bytes) -> IdentityData:
    """Read the user_data of an identity's document. Raises: BindingError."""
    return committed.decode("user_data", data, committed.MAX_USER_DATA_BYTES, _user_data)


def _reply(value: object) -> IdentityReply:
    fields = Fields(value, "", required=("success", "service", "identity", "nsmDocument", "pcrs"))
    if not fields.flag("success"):
        raise WrongShape("success", got=False, expected=True)
    fields.text("service")
    fields.texts("pcrs")
    return IdentityReply(
        identity=jsontext.from_base64(fields.text("identity"), "identity"),
        document=jsontext.from_base64(fields.text("nsmDocument"), "nsmDocument"),
    )


def _user_data(value: object) -> IdentityData:
    fields = Fields(value, "", required=("profile", "identity", "key"))
    committed.check_profile(fields, PROFILE)
    return IdentityData(identity=fields.sha256("identity"), key=fields.sha256("key"))


def _identity(value: object) -> Identity:
    fields = Fields(value, "", required=("profile", "service", "manifest", "boot", "report", "sealing"))
    committed.check_profile(fields, PROFILE)
    sealing = Fields(fields.raw("sealing"), "sealing", required=("suite", "key", "until"))
    until = sealing.natural("until", least=1)
    if until > MAX_TIMESTAMP_MS:
        raise WrongShape("sealing.until", got=until, expected=f"at most {MAX_TIMESTAMP_MS}")
    return Identity(
        service=fields.text("service"),
        manifest=fields.sha256("manifest"),
        boot=fields.octets("boot", 16, 16),
        report=fields.each("report", _finding),
        suite=sealing.text("suite"),
        key=sealing.octets("key", KEY_BYTES, KEY_BYTES),
        until_ms=until,
    )


def _finding(value: object, where: str) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2 or not all(type(part) is str for part in value):
        raise WrongShape(where, got=type(value).__name__, expected="[check, finding], two texts")
    check, found = value
    return check, found
