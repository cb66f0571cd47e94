"""Every byte of a genuine reply is flipped, and every flip that changes its meaning is refused.

Three readings of "every byte": of the JSON as it travels; of the document inside it; of the statement inside it. The
one field whose change is accepted is the attestationId, which nothing signs and the report says so.
"""

import json
from typing import Any

import pytest
import verifier_kit as kit
import verifier_session as sessions
from verifier_cases import NOW, REQUEST, ROOT, policy

from tytle_verifier import LinkCache, VerificationError, verify_document, verify_reply

CACHE = LinkCache()
OTHERS = (kit.sha256(b"1"), kit.sha256(b"2"))
GENUINE = {
    "document": kit.reply(),
    "batch": kit.reply(others=OTHERS),
    "failure": kit.reply(on_statement=kit.failed),
    "session": sessions.reply(),
}


def refuses(reply: bytes) -> bool:
    try:
        verify_reply(reply, policy=policy(), time=NOW, root=ROOT, request=REQUEST, cache=CACHE)
    except VerificationError:
        return True
    return False


def flipped(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def meaning(reply: bytes) -> Any:
    """What a reader of the JSON learns, but for the attestationId."""
    value = json.loads(reply)
    del value["attestation"]["attestationId"]
    return value


def places(kind: str) -> list[int]:
    """Every byte of the reply; of the other kinds, those beside the document, which is no different there."""
    reply = GENUINE[kind]
    start, length = reply.index(b"nsmDocument"), len(json.loads(reply)["attestation"]["nsmDocument"])
    return [at for at in range(len(reply)) if kind == "document" or not start <= at < start + length]


@pytest.mark.parametrize(
    ("kind", "mask"),
    [("document", 0x01), ("document", 0x20), ("batch", 0x01), ("failure", 0x01), ("session", 0x01), ("session", 0x20)],
)
def test_every_flip_in_the_json_that_changes_its_meaning_is_refused(kind: str, mask: int) -> None:
    reply = GENUINE[kind]
    assert not refuses(reply)
    accepted = [flipped(reply, at, mask) for at in places(kind) if not refuses(flipped(reply, at, mask))]
    assert [other for other in accepted if meaning(other) != meaning(reply)] == []
    changed = sum(json.loads(other) != json.loads(reply) for other in accepted)
    assert changed <= len("enc-01234567-89ab-4cde-8f01-23456789abcd")


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_every_flip_in_the_document_is_refused(mask: int) -> None:
    document = kit.document(user_data=b"u" * 32, nonce=b"n" * 32, public_key=b"k" * 91)
    verify_document(document, time=NOW, root=ROOT, cache=CACHE)
    for at in range(len(document)):
        with pytest.raises(VerificationError):
            verify_document(flipped(document, at, mask), time=NOW, root=ROOT, cache=CACHE)


def replaced(place: str, data: bytes) -> bytes:
    whole = json.loads(GENUINE["document"])
    whole["attestation"][place] = kit.b64(data)
    return json.dumps(whole).encode()


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_every_flip_in_the_statement_is_refused(mask: int) -> None:
    statement = kit.cbor(kit.statement())
    assert not refuses(replaced("statement", statement))
    assert [
        at for at in range(len(statement)) if not refuses(replaced("statement", flipped(statement, at, mask)))
    ] == []


def test_every_byte_taken_from_or_added_to_the_evidence_is_refused() -> None:
    document, statement = kit.document(), kit.cbor(kit.statement())
    for place, data in (("nsmDocument", document), ("statement", statement)):
        for at in range(0, len(data), 7):
            assert refuses(replaced(place, data[:at] + data[at + 1 :]))
            assert refuses(replaced(place, data[:at] + b"\x00" + data[at:]))


def test_every_prefix_of_a_reply_is_refused() -> None:
    reply = GENUINE["document"]
    assert [length for length in range(len(reply)) if not refuses(reply[:length])] == []
