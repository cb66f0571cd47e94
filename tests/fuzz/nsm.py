"""Replies of the Nitro Secure Module and the documents in them (`nsm`), against the verifier's strict reader.

1. Any bytes are a reply or an NsmError, for each question that can be asked; an answer to another question is refused.
2. A document is handed out only where it echoes exactly what was asked for.
3. What the verifier reads of a document, `nsm.document` reads too, and the same: nonce, user data, key, PCRs, time.
4. CBOR that the strict reader takes is the same value to `nsm.responses.one_item`.
5. A reply that was read, written anew, is read as the same one.

The first byte of an input says what it is: a reply, a document, a document's payload, or any CBOR.
"""

import datetime as dt
from collections.abc import Callable
from functools import cache

import cbor2

from devstack.soft_nsm import SoftNsm
from nsm import client, document, responses
from nsm.client import Attested
from nsm.document import Fields
from nsm.errors import ErrorCode, NsmError, Refused
from nsm.responses import NsmDescription, PcrDescription, PcrExtended, Randomness, Response
from tests.fuzz import mutators
from tests.fuzz.target import Seeds, Target
from tytle_verifier import cbor, cose
from tytle_verifier import document as verifier_document
from tytle_verifier.document import Document, Rules
from tytle_verifier.errors import VerificationError

ASKED = {"nonce": b"n" * 20, "user_data": b"u" * 30, "public_key": b"k" * 40}
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC).timestamp()
QUESTIONS: tuple[Callable[[client.Exchange], object], ...] = (
    client.describe,
    lambda exchange: client.describe_pcr(exchange, 3),
    lambda exchange: client.extend_pcr(exchange, 16, b"data"),
    lambda exchange: client.lock_pcr(exchange, 16),
    lambda exchange: client.lock_pcrs(exchange, 16),
    client.get_random,
)


def _reply(data: bytes) -> None:
    for question in QUESTIONS:
        try:
            question(lambda _: data)
        except NsmError:
            continue
    _a_document_is_handed_out_only_where_it_echoes(data)
    try:
        read = responses.decode(data)
    except NsmError:
        return
    assert responses.decode(_written(read)) == read


def _a_document_is_handed_out_only_where_it_echoes(data: bytes) -> None:
    for asked in (ASKED, {}):
        try:
            given = client.attest(lambda _: data, **asked)
        except NsmError:
            continue
        assert isinstance(given, Attested)
        echoed = (given.fields.nonce, given.fields.user_data, given.fields.public_key)
        assert echoed == tuple(asked.get(name) for name in ("nonce", "user_data", "public_key"))
        assert given.document in data


def _written(reply: Response) -> bytes:
    match reply:
        case NsmDescription():
            fields: dict[str, object] = {name: getattr(reply, name) for name in NsmDescription.__slots__}
            return cbor2.dumps(
                {"DescribeNSM": {**fields, "locked_pcrs": list(reply.locked_pcrs), "digest": reply.digest.value}}
            )
        case PcrDescription():
            return cbor2.dumps({"DescribePCR": {"lock": reply.lock, "data": reply.data}})
        case PcrExtended():
            return cbor2.dumps({"ExtendPCR": {"data": reply.data}})
        case Randomness():
            return cbor2.dumps({"GetRandom": {"random": reply.random}})
        case responses.AttestationReply():
            return cbor2.dumps({"Attestation": {"document": reply.document}})
        case _:
            return cbor2.dumps("LockPCR" if isinstance(reply, responses.PcrLocked) else "LockPCRs")


def _document(data: bytes) -> None:
    strict = _strictly(data)
    try:
        read = document.read(data)
    except NsmError:
        assert strict is None
        return
    if strict is not None:
        assert read == _as_fields(strict)


def _strictly(data: bytes) -> Document | None:
    """Return what the verifier reads of a document; None where it refuses it."""
    try:
        return verifier_document.decode(cose.decode(data).payload, Rules())
    except VerificationError:
        return None


def _as_fields(read: Document) -> Fields:
    return Fields(
        module_id=read.module_id,
        timestamp_ms=read.timestamp_ms,
        digest="SHA384",
        pcrs=read.pcrs,
        user_data=read.user_data,
        nonce=read.nonce,
        public_key=read.public_key,
        certificate=read.certificate.der,
    )


def _payload(data: bytes) -> None:
    _document(cbor2.dumps([cose.PROTECTED_ES384, {}, data, bytes(96)]))


def _item(data: bytes) -> None:
    try:
        loose: object = responses.one_item(data)
    except NsmError:
        loose = NsmError
    try:
        strict = cbor.decode(data, cbor.PAYLOAD)
    except VerificationError:
        return
    if loose is NsmError:
        assert _depth(strict) >= 8  # the module's replies are flat, and a nesting of 8 is where its reader stops
        return
    assert repr(loose) == repr(strict)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


READERS = (_reply, _document, _payload, _item)


def one_input(data: bytes) -> None:
    """Read one input as what its first byte says."""
    if data:
        READERS[data[0] % len(READERS)](data[1:])


@cache
def _module() -> SoftNsm:
    return SoftNsm(clock=lambda: NOW)


def seeds() -> Seeds:
    """What the soft module answers to each question, a document and its payload, and each error."""
    answers: list[bytes] = []

    def kept(request: bytes) -> bytes:
        answers.append(_module().exchange(request))
        return answers[-1]

    for question in QUESTIONS:
        try:
            question(kept)
        except Refused:
            continue
    attested = client.attest(kept, **ASKED)
    for index, answer in enumerate(answers):
        yield f"reply-{index}", b"\x00" + answer
    for code in ErrorCode:
        yield f"error-{code.name}", b"\x00" + cbor2.dumps({"Error": code.name})
    payload = cose.decode(attested.document).payload
    yield "document", b"\x01" + attested.document
    yield "document-tagged", b"\x01\xd2" + attested.document
    yield "payload", b"\x02" + payload
    yield "payload-definite", b"\x02" + cbor2.dumps(cbor2.loads(payload))
    yield "item", b"\x03" + cbor2.dumps([{"a": [1, b"b", {2: None}]}, -5, "text", True])


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    mutate=mutators.cbor_behind(1),
    words=(
        b"\xd2\x84",
        b"\xbf",
        b"\xff",
        b"\x9f",
        b"\xc2\x41",
        b"\xf9\x00\x00",
        b"\xf7",
        b"\x1b" + bytes(8),
        b"pcrs",
        b"nonce",
    ),
    max_bytes=6000,
)
