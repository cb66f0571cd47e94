"""What is committed to in deterministic CBOR (`tytle_verifier.cbor`, `statement`, `session`, `sealed.identity`).

1. Any bytes are a value or an error of the verifier's, nothing else.
2. One meaning, one encoding: what is accepted, encoded anew by another encoder, is the same bytes.
3. A statement or user data, written anew from the fields that were read, is the same bytes: nothing goes unread.
4. Containers of indefinite length, where they are allowed, are read as the same value as definite ones.

The first byte of an input names the reader.
"""

from typing import Any

import cbor2

from tests import verifier_kit as kit
from tests.fuzz import mutators, naive_cbor
from tests.fuzz.target import Seeds, Target
from tytle_verifier import cbor, statement
from tytle_verifier.errors import VerifierError
from tytle_verifier.sealed import identity
from tytle_verifier.statement import Digest, Exchange, Failure, NoResult, Response, Result, Statement, UserData


def one_input(data: bytes) -> None:
    """Read one input by the reader that its first byte names."""
    if not data:
        return
    try:
        READERS[data[0] % len(READERS)](data[1:])
    except VerifierError:
        return


def _statement(data: bytes) -> None:
    read = statement.decode(data)
    assert naive_cbor.encode(_as_stated(read)) == data


def _user_data(data: bytes) -> None:
    read = statement.decode_user_data(data)
    assert naive_cbor.encode(_as_signed(read)) == data


def _deterministic(data: bytes) -> None:
    assert naive_cbor.encode(cbor.decode(data, cbor.DETERMINISTIC)) == data


def _envelope(data: bytes) -> None:
    assert naive_cbor.encode(cbor.decode(data, cbor.ENVELOPE), in_order=False) == data


def _payload(data: bytes) -> None:
    value = cbor.decode(data, cbor.PAYLOAD)
    assert repr(cbor.decode(naive_cbor.encode(value, in_order=False), cbor.ENVELOPE)) == repr(value)


def _identity(data: bytes) -> None:
    identity.decode(data)
    assert naive_cbor.encode(cbor2.loads(data)) == data


def _identity_user_data(data: bytes) -> None:
    identity.decode_user_data(data)
    assert naive_cbor.encode(cbor2.loads(data)) == data


READERS = (_statement, _user_data, _deterministic, _envelope, _payload, _identity, _identity_user_data)


def _as_signed(read: UserData) -> dict[str, Any]:
    made: dict[str, Any] = {"profile": statement.PROFILE, "root": read.root, "size": read.size}
    return made if read.fields is None else {**made, "fields": read.fields}


def _as_stated(read: Statement) -> dict[str, Any]:
    made: dict[str, Any] = {
        "profile": statement.PROFILE,
        "service": read.service,
        "manifest": read.manifest,
        "id": read.id,
        "boot": read.boot,
        "seq": read.seq,
        "time": read.time_ms,
        "exchanges": [_exchange(each) for each in read.exchanges],
    }
    if read.challenge is not None:
        made["challenge"] = read.challenge
    if read.result is not None:
        made["result"] = _result(read.result)
    return made


def _exchange(read: Exchange) -> dict[str, Any]:
    upstream = {name: getattr(read.upstream, name) for name in ("cipher", "certificate", "spki")}
    made: dict[str, Any] = {
        "request": {
            "method": read.request.method,
            "url": read.request.url,
            "headers": [list(pair) for pair in read.request.headers],
            "body": _digest(read.request.body),
        },
        "upstream": {
            "tls": read.upstream.tls,
            **{name: value for name, value in upstream.items() if value is not None},
        },
        "attempts": read.attempts,
    }
    match read.outcome:
        case Response() as response:
            made["response"] = {
                "status": response.status,
                "headers": [list(pair) for pair in response.headers],
                "body": _digest(response.body),
                "framing": response.framing,
            }
        case Failure() as failure:
            made["failure"] = {"kind": failure.kind, "detail": failure.detail}
    return made


def _digest(read: Digest) -> dict[str, Any]:
    return {"sha256": read.sha256, "length": read.length}


def _result(read: Result | NoResult) -> dict[str, Any]:
    made: dict[str, Any] = {"operation": read.operation, "schema": read.schema}
    if isinstance(read, NoResult):
        return {**made, "error": read.error}
    return {**made, "values": _thawed(read.values), "fields": read.fields}


def _thawed(value: Any) -> Any:
    if hasattr(value, "items"):
        return {key: _thawed(inner) for key, inner in value.items()}
    return [_thawed(inner) for inner in value] if isinstance(value, tuple) else value


def seeds() -> Seeds:
    """Statements of a fetch, a failure, a query with and without result; user data; an identity."""
    failed = kit.statement()
    kit.failed(failed)
    result = {"operation": "vies.check_vat", "schema": "tytle/vies-check-vat/v1"}
    values = {"valid": True, "name": None, "n": 2**53, "text": "\u00e9", "list": [1, 0.5, {"a": b"b"}]}
    user_data = {"profile": statement.PROFILE, "root": bytes(32), "size": 3}
    profile = "tytle/enclave-identity/v1"
    sealing = {"suite": "X-Wing/HKDF-SHA256/AES-256-GCM", "key": bytes(1216), "until": 1}
    known = {"profile": profile, "service": "vies", "manifest": bytes(32), "boot": bytes(16), "report": [["a", "b"]]}
    made: tuple[tuple[str, int, Any], ...] = (
        ("fetch", 0, kit.statement()),
        ("failure", 0, failed),
        ("values", 0, {**kit.statement(), "result": {**result, "values": values, "fields": bytes(32)}}),
        ("no-result", 0, {**kit.statement(), "result": {**result, "error": "not-found"}}),
        ("user-data", 1, user_data),
        ("user-data-fields", 1, {**user_data, "fields": bytes(32)}),
        ("deterministic", 2, {"a": [1.5, -0.0, float("inf")], 1: None, -1: b"x"}),
        ("envelope", 3, [b"", {}, "text", True, 2**64 - 1]),
        ("payload", 4, {"b": [1], "a": {}}),
        ("identity", 5, {**known, "sealing": sealing}),
        ("identity-user-data", 6, {"profile": profile, "identity": bytes(32), "key": bytes(32)}),
    )
    for name, which, value in made:
        yield name, bytes([which]) + naive_cbor.encode(value)
    yield "unsorted", b"\x02\xa2\x61b\x01\x61a\x02"
    yield "twice", b"\x03\xa2\x61a\x01\x61a\x02"
    yield "indefinite", b"\x04\xbf\x61a\x9f\x01\x02\xff\x61b\xa0\xff"


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    mutate=mutators.cbor_behind(1),
    words=(
        b"\xbf",
        b"\xff",
        b"\x9f",
        b"\xf9\x7e\x00",
        b"\xfb" + bytes(8),
        b"\x18\x17",
        b"\x19\x00\xff",
        b"\xc2\x41",
        b"result",
        b"values",
    ),
)
