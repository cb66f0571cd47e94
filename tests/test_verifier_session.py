"""Mode session: what is genuine verifies, and one mutant per way to fail. The rest: test_verifier_reply."""

import base64
import json
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import verifier_kit as kit
import verifier_queries as queries
import verifier_session as sessions
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from test_verifier_query import ASKED
from test_verifier_reply import OTHERS, drop, put
from verifier_cases import NOW, RELEASE, policy, refused, verify

from tytle_verifier import Archive, At, Live, VerificationError
from tytle_verifier.inspection import claims
from tytle_verifier.session import MAX_EARLY_MS, MAX_MESSAGE_BYTES

LEAF_ENDS_MS = 1_772_377_200_000  # 2026-03-01T15:00:00Z: the kit's leaf, in whole seconds as certificates are
HOUR_MS = 3_600_000
OTHER = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())


def at(ms: int, **changes: Any) -> Live:
    """Live time `ms` after the document was signed."""
    return Live(now=kit.SIGNED_AT + timedelta(milliseconds=ms), **changes)


def later(ms: int, **changes: Any) -> bytes:
    """An answer of `ms` after the document was signed."""
    return sessions.reply(on_statement=put("time", value=kit.SIGNED_MS + ms), **changes)


GENUINE_ONES: list[tuple[bytes, dict[str, Any]]] = [
    (sessions.reply(), {}),
    (sessions.reply(), {"request": None}),
    (sessions.reply(), {"time": Archive()}),
    (sessions.reply(on_statement=kit.failed), {}),
    (sessions.reply(on_message=lambda message: b"\xd2" + message), {}),
    (queries.reply(**sessions.hooks(on_user_data=put("fields", value=queries.FIELDS))), {"request": ASKED}),
    (queries.reply(**sessions.hooks()), {"request": ASKED}),
    (queries.unanswered(**sessions.hooks()), {"request": ASKED}),
]


@pytest.mark.parametrize(("data", "given"), GENUINE_ONES, ids=range(len(GENUINE_ONES)))
def test_what_is_genuine_verifies(data: bytes, given: dict[str, Any]) -> None:
    assert verify(data, **given).statement.boot == bytes(range(16))


def test_a_genuine_answer_passes_all_ten_steps() -> None:
    verified = verify(sessions.reply())
    assert [step.number for step in verified.report.steps] == list(range(10))
    assert (verified.response.status, verified.body, verified.document.nonce) == (200, kit.BODY, None)
    assert "the enclave's clock since its session began" in verified.report.not_checked
    assert any(bytes(range(16)).hex() in line for line in verified.report.steps[7].compared)


def test_the_reply_may_show_the_right_nonce_and_a_trivial_inclusion() -> None:
    nonce = kit.legacy(kit.statement(), kit.BODY)["nonce"]
    verify(sessions.reply(on_reply=put("attestation", "nonce", value=nonce)))
    refused(9, "nonce", verify, sessions.reply(on_reply=put("attestation", "nonce", value="0" * 64)))
    trivial = put("attestation", "inclusion", value={"index": 0, "size": 1, "path": []})
    verify(sessions.reply(on_reply=trivial))


# --- step 7 --------------------------------------------------------------------------------------------------------


def spki(of: Any) -> bytes:
    encoded: bytes = of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def compressed(of: ec.EllipticCurvePrivateKey) -> bytes:
    point = of.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point


def vouching(key: bytes | None) -> dict[str, Any]:
    return {"on_document": put("public_key", value=key)}


def cut(change: Any) -> dict[str, Any]:
    """The message taken apart, changed by `change` (a list of four) and put together again."""

    def on_message(message: bytes) -> bytes:
        payload_at = 1 + 1 + len(sessions.PROTECTED) + 1
        payload_size = len(message) - payload_at - 2 - 66
        payload = message[payload_at + 2 : payload_at + 2 + payload_size]
        return kit.cbor(change([sessions.PROTECTED, {}, payload, message[-64:]]))

    return {"on_message": on_message}


def changed(index: int, value: Any) -> dict[str, Any]:
    return cut(lambda parts: [*parts[:index], value(parts[index]) if callable(value) else value, *parts[index + 1 :]])


def twin(user_data: dict[str, Any]) -> None:
    user_data.update(size=2, root=kit.tree([user_data["root"], OTHERS[0]]))


beside = put("attestation", "inclusion", value={"index": 0, "size": 2, "path": [kit.b64(OTHERS[0])]})
PUBLIC = sessions.public()
KEYS: list[tuple[str, Any, dict[str, Any]]] = [
    ("the key did not sign", "another key signed", {"signer": lambda data: sessions.sign(data, OTHER)}),
    ("the key did not sign", "another key is vouched for", vouching(sessions.public(OTHER))),
    ("public_key", "another curve", {"signer": lambda data: sessions.sign(data, P384), **vouching(spki(P384))}),
    ("public_key", "another curve of the same size", vouching(spki(ec.generate_private_key(ec.SECP256K1())))),
    ("public_key", "another algorithm", vouching(spki(ed25519.Ed25519PrivateKey.generate()))),
    ("public_key", "none", vouching(None)),
    ("public_key", "empty", vouching(b"")),
    ("public_key", "a byte more", vouching(PUBLIC + b"\0")),
    ("public_key", "a byte less", vouching(PUBLIC[:-1])),
    ("public_key", "a compressed point", vouching(compressed(sessions.key()))),
    ("public_key", "a hybrid point", vouching(PUBLIC[:26] + bytes([6 | PUBLIC[-1] & 1]) + PUBLIC[27:])),
    ("public_key", "a point off the curve", vouching(PUBLIC[:-1] + bytes([PUBLIC[-1] ^ 1]))),
    ("public_key", "the bare point", vouching(PUBLIC[26:])),
    ("public_key", "a length in two bytes", vouching(b"\x30\x81" + PUBLIC[1:])),
    ("public_key", "PEM", vouching(b"-----BEGIN PUBLIC KEY-----\n")),
    ("public_key", "the leaf's key", vouching(spki(kit.pki().leaf.key))),
]
PURPOSES: list[tuple[str, Any, dict[str, Any]]] = [
    ("service of another session", "service", {"on_purpose": put("service", value="stripe")}),
    ("manifest of another session", "manifest", {"on_purpose": put("manifest", value=bytes(32))}),
    ("boot of another session", "boot", {"on_purpose": put("boot", value=b"another process.")}),
    ("profile", "the profile of answers", {"on_purpose": put("profile", value="tytle/attested-fetch/v1")}),
    ("profile", "the profile of identities", {"on_purpose": put("profile", value="tytle/enclave-identity/v1")}),
    ("profile", "another version", {"on_purpose": put("profile", value="tytle/attested-session/v2")}),
    ("missing key", "no boot", {"on_purpose": drop("boot")}),
    ("unknown key", "one key more", {"on_purpose": put("key", value=bytes(32))}),
    ("manifest", "a short manifest", {"on_purpose": put("manifest", value=bytes(31))}),
    ("boot", "a long boot", {"on_purpose": put("boot", value=bytes(17))}),
    ("service", "a service that is no text", {"on_purpose": put("service", value=b"vies")}),
    ("no user_data", "no purpose", {"on_document": put("user_data", value=None)}),
    ("user_data", "an empty purpose", {"on_document": put("user_data", value=b"")}),
    ("user_data", "a purpose and more", {"on_document": lambda made: made.update(user_data=made["user_data"] + b"\0")}),
    ("nonce in mode session", "a nonce", {"on_document": put("nonce", value=bytes(32))}),
    ("nonce in mode session", "an empty nonce", {"on_document": put("nonce", value=b"")}),
]
MESSAGES: list[tuple[str, Any, dict[str, Any]]] = [
    ("expected a message", "no message", {"on_reply": drop("attestation", "session")}),
    ("session", "an empty message", {"on_message": lambda _: b""}),
    ("session size", "a long message", {"on_message": lambda message: message + bytes(MAX_MESSAGE_BYTES)}),
    ("bytes after", "a byte more", {"on_message": lambda message: message + b"\0"}),
    ("longer than its input", "a byte less", {"on_message": lambda message: message[:-1]}),
    ("tag", "two tags", {"on_message": lambda message: b"\xd2\xd2" + message}),
    ("tag", "another tag", {"on_message": lambda message: b"\xd1" + message}),
    ("tag", "a long tag", {"on_message": lambda message: b"\xd8\x12" + message}),
    ("not a COSE_Sign1", "an array of three", cut(lambda parts: parts[:3])),
    ("protected header", "ES384", changed(0, bytes.fromhex("a1013822"))),
    ("protected header", "ES512", changed(0, bytes.fromhex("a1013823"))),
    ("protected header", "more in it", changed(0, bytes.fromhex("a201260400"))),
    ("protected header", "none", changed(0, b"")),
    ("unprotected header", "one entry", changed(1, {4: b"k"})),
    ("payload", "none", changed(2, b"")),
    ("payload", "null", changed(2, None)),
    ("the key did not sign", "another payload", changed(2, lambda data: data[:-1] + bytes([data[-1] ^ 1]))),
    ("the key did not sign", "another signature", changed(3, lambda data: data[:-1] + bytes([data[-1] ^ 1]))),
    ("the key did not sign", "s and r", changed(3, lambda data: data[32:] + data[:32])),
    ("signature length", "short", changed(3, lambda data: data[:-1])),
    ("signature length", "as for P-384", changed(3, lambda data: data + bytes(32))),
    ("signature length", "none", changed(3, b"")),
    ("out of range", "r of zero", changed(3, lambda data: bytes(32) + data[32:])),
    ("out of range", "s of the order", changed(3, lambda data: data[:32] + b"\xff" * 32)),
    ("the key did not sign", "SHA-384", {"signer": lambda data: sessions.sign(data, digest=SHA384())}),
    ("protected header", "ES384 signed", {"signer": lambda d: sessions.sign(d, protected=bytes.fromhex("a1013822"))}),
    ("size in mode session", "a tree of two", {"on_user_data": twin, "on_reply": beside}),
    ("inclusion size", "an inclusion of two", {"on_reply": beside}),
    ("tree root", "another root", {"on_user_data": put("root", value=bytes(32))}),
    ("profile", "another profile", {"on_user_data": put("profile", value=sessions.PROFILE)}),
    ("unknown key", "one key more", {"on_user_data": put("boot", value=bytes(16))}),
    ("user_data.fields", "fields of nothing", {"on_user_data": put("fields", value=bytes(32))}),
    (
        "user_data",
        "the purpose itself",
        {"signer": lambda _: sessions.sign(kit.cbor(sessions.purpose(kit.statement())))},
    ),
]
MUTANTS = [*KEYS, *PURPOSES, *MESSAGES]


@pytest.mark.parametrize(("problem", "changes"), [(problem, changes) for problem, _, changes in MUTANTS])
def test_step_7_refuses_one_mutant_per_way_to_fail(problem: str, changes: dict[str, Any]) -> None:
    refused(7, problem, verify, sessions.reply(**changes))


def test_step_7_ties_a_message_to_its_statement_and_a_statement_to_its_process() -> None:
    other = json.loads(sessions.reply(on_statement=put("seq", value=8)))["attestation"]
    for key in ("session", "statement"):
        refused(7, "tree root", verify, sessions.reply(on_reply=put("attestation", key, value=other[key])))
    elsewhere = sessions.reply(on_statement=put("boot", value=bytes(16)))
    document = put("attestation", "nsmDocument", value=json.loads(elsewhere)["attestation"]["nsmDocument"])
    refused(7, "boot of another session", verify, sessions.reply(on_reply=document))


AS_IF: list[tuple[str, bytes]] = [
    ("nonce in mode session", kit.reply(on_reply=put("attestation", "mode", value="session"))),
    ("expected a message", kit.reply(others=(), on_reply=put("attestation", "mode", value="session"))),
    ("session in mode document", kit.reply(on_reply=put("attestation", "session", value=""))),
    ("session in mode batch", kit.reply(others=(), on_reply=put("attestation", "session", value="oQ=="))),
    ("session in mode batch", sessions.reply(on_reply=put("attestation", "mode", value="batch"))),
    ("session in mode document", sessions.reply(on_reply=put("attestation", "mode", value="document"))),
]


@pytest.mark.parametrize(("problem", "data"), AS_IF, ids=range(len(AS_IF)))
def test_step_7_keeps_the_modes_apart(problem: str, data: bytes) -> None:
    refused(7, problem, verify, data)


def test_a_document_that_vouches_for_a_key_vouches_for_no_statement() -> None:
    for mode in ("batch", "document"):

        def unsigned(whole: dict[str, Any], mode: str = mode) -> None:
            del whole["attestation"]["session"]
            whole["attestation"]["mode"] = mode

        refused(7, "user_data", verify, sessions.reply(on_reply=unsigned))


NO_BASE64: list[Any] = [None, 1, "oQ", "oQ==\n", {}]


@pytest.mark.parametrize("value", NO_BASE64)
def test_step_0_refuses_a_message_that_is_no_base64(value: Any) -> None:
    refused(0, "session", verify, sessions.reply(on_reply=put("attestation", "session", value=value)))


# --- time ----------------------------------------------------------------------------------------------------------


END_MS = LEAF_ENDS_MS - kit.SIGNED_MS
OLD_MS = 2 * HOUR_MS
FUTURE = put("timestamp", value=kit.SIGNED_MS + 6 * 60_000)


def until(ms: int) -> dict[str, Any]:
    """A policy whose release ends `ms` after the document was signed."""
    release = replace(RELEASE, not_after=kit.SIGNED_AT + timedelta(milliseconds=ms))
    return {"time": Archive(), "policy": policy(releases=(release,))}


# (the step that refuses it, or None; what the refusal says; the reply; what the verifier is given)
TIMES: list[tuple[int | None, str, bytes, dict[str, Any]]] = [
    *((None, "", later(ms), {"time": Archive()}) for ms in (-MAX_EARLY_MS, 0, HOUR_MS, END_MS)),
    *(
        (8, "outside the session", later(ms), {"time": Archive()})
        for ms in (-MAX_EARLY_MS - 1, END_MS + 1, 2**64 - 1 - kit.SIGNED_MS, -kit.SIGNED_MS)
    ),
    (None, "", later(OLD_MS), {"time": at(OLD_MS + 300_000)}),
    (None, "", later(OLD_MS), {"time": at(OLD_MS - 300_000)}),
    (8, "statement: too old", later(OLD_MS), {"time": at(OLD_MS + 300_001)}),
    (8, "statement: signed in the future", later(OLD_MS), {"time": at(OLD_MS - 300_001)}),
    (
        8,
        "statement: too old",
        later(OLD_MS),
        {"time": at(OLD_MS + 1001), "policy": policy(max_age=timedelta(seconds=1))},
    ),
    (None, "", later(OLD_MS), {"time": at(OLD_MS + 999), "policy": policy(max_age=timedelta(seconds=1))}),
    (8, "statement: too old", later(OLD_MS), {"time": at(OLD_MS + 600_000, max_age=timedelta(minutes=9))}),
    (8, "statement: too old", sessions.reply(), {"time": at(OLD_MS)}),
    (5, "too old", kit.reply(), {"time": at(OLD_MS)}),
    (None, "", sessions.reply(), {"time": At(instant=kit.SIGNED_AT + timedelta(hours=2))}),
    (None, "", later(END_MS), {"time": at(END_MS)}),
    (3, "not valid", later(END_MS), {"time": at(END_MS + 1)}),
    (5, "future", sessions.reply(on_document=FUTURE), {"time": NOW}),
    (None, "", later(HOUR_MS), until(HOUR_MS)),
    (8, "does not cover the statement's time", later(HOUR_MS), until(HOUR_MS - 1)),
    (6, "does not cover the signed time", later(0), until(-1)),
]


@pytest.mark.parametrize(("step", "problem", "data", "given"), TIMES, ids=range(len(TIMES)))
def test_a_session_and_its_statement_have_their_times(
    step: int | None, problem: str, data: bytes, given: dict[str, Any]
) -> None:
    """Live, the statement is judged and not the age of its document, whose leaf must be valid all the same."""
    if step is None:
        verify(data, **given)
    else:
        refused(step, problem, verify, data, **given)


# --- the policy, and garbage ---------------------------------------------------------------------------------------


IN_MODES = {"document": kit.reply(), "batch": kit.reply(others=OTHERS), "session": sessions.reply()}


def test_a_policy_says_which_modes_it_accepts() -> None:
    for mode, data in IN_MODES.items():
        verified = verify(data, policy=policy(modes=frozenset({mode})))
        assert "mode: the policy lists none" not in verified.report.not_checked
        assert "mode: the policy lists none" in verify(data).report.not_checked
        others = policy(modes=frozenset(IN_MODES) - {mode})
        refused(8, "mode", verify, data, policy=others)


def test_what_a_session_claims_is_shown_unverified() -> None:
    shown = claims(sessions.reply())
    assert (shown["verified"], shown["mode"]) == (False, "session")
    assert isinstance(shown["session"], dict)
    assert shown["session"]["size"] == 1
    assert claims(kit.reply())["session"] is None
    for wrong in (b"", bytes(MAX_MESSAGE_BYTES + 1)):
        with pytest.raises(VerificationError):
            claims(sessions.reply(on_message=lambda _, wrong=wrong: wrong))


GENUINE = json.loads(sessions.reply())


def with_message(message: bytes) -> bytes:
    return json.dumps({**GENUINE, "attestation": {**GENUINE["attestation"], "session": kit.b64(message)}}).encode()


def garbage_messages(draw: random.Random) -> list[bytes]:
    """Messages that are none, for the page's tests; the genuine one with single bytes changed among them."""
    message = base64.b64decode(GENUINE["attestation"]["session"])
    places = [draw.randrange(len(message)) for _ in range(60)]
    flipped = [message[:n] + bytes([message[n] ^ (1 << draw.randrange(8))]) + message[n + 1 :] for n in places]
    return flipped + [draw.randbytes(draw.randrange(120)) for _ in range(30)]


def garbage_keys(draw: random.Random) -> list[bytes]:
    """Keys that are none, for the page's tests; the genuine one with single bytes changed among them."""
    places = [draw.randrange(len(PUBLIC)) for _ in range(60)]
    return [PUBLIC[:n] + bytes([PUBLIC[n] ^ (1 << draw.randrange(8))]) + PUBLIC[n + 1 :] for n in places]


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_bytes_for_a_message_are_refused_with_an_error_of_this_room(message: bytes) -> None:
    refused(7, "", verify, with_message(message))


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_message_with_one_byte_changed_is_refused(place: int, change: int) -> None:
    message = bytearray(base64.b64decode(GENUINE["attestation"]["session"]))
    message[place % len(message)] ^= change
    refused(7, "", verify, with_message(bytes(message)))


@given(st.binary(max_size=120) | st.integers(0, 90).map(lambda size: PUBLIC[:size]))
@settings(max_examples=60, deadline=None)
def test_any_bytes_for_a_key_are_refused_with_an_error_of_this_room(key: bytes) -> None:
    refused(7, "", verify, sessions.reply(**vouching(key)))
