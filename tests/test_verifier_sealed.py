"""Sealed calls as bytes: containers and their buckets, what HPKE binds, and every way in which an answer is none."""

import base64
import contextlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import verifier_kit as kit
import verifier_sealed as theirs
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from verifier_cases import NOW, ROOT, policy

from tytle_verifier import Live, NotOpened, PolicyError, SealedAnswerError, SealedCall, UnknownKey, verify_identity
from tytle_verifier.sealed import answer, container, seal, suite

CALL = b'{"url": "https://a.example/", "method": "GET", "headers": {"Authorization": "Bearer planted-secret"}}'
REPLY = b'{"success":true,"rawBody":"planted-secret"}'
ENCLAVE = theirs.SealedEnclave()
CHALLENGE = b"c" * 32


def nothing() -> None:
    """Forget nothing."""


VERIFIED = verify_identity(
    ENCLAVE.show(CHALLENGE), policy=policy(), challenge=CHALLENGE, time=NOW, root=ROOT
)  # once for all tests


def sealed_call(call: bytes = CALL, **changes: Any) -> SealedCall:
    return seal(call, **{"identity": VERIFIED, "time": NOW, "forget": nothing, **changes})


def opened(call: SealedCall) -> theirs.Opened:
    return ENCLAVE.open(json.loads(call.data))


def body(sealed: bytes) -> bytes:
    return json.dumps({"sealed": kit.b64(sealed)}).encode()


# --- containers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "size"),
    [(0, 4096), (4096, 4096), (4097, 4352), (4352, 4352), (4353, 4608), (100_000, 100_352), (7_340_032, 7_340_032)],
)
def test_a_container_has_the_size_of_its_bucket(content: int, size: int) -> None:
    assert container.bucket_bytes(content, 4096) == size


@given(st.integers(0, 20_000_000), st.sampled_from([4096, 16_384]))
def test_buckets_are_those_of_padme_and_cost_at_most_an_eighth(content: int, least: int) -> None:
    size = container.bucket_bytes(content, least)
    assert size == theirs.bucket(content, least)
    assert content <= size <= max(least, content * 1.125)


def test_the_largest_containers_are_buckets_and_fit_what_carries_them() -> None:
    for sizes, carrier in ((container.REQUEST, 10 * 2**20), (container.ANSWER, 16 * 2**20)):
        assert container.bucket_bytes(sizes.most, sizes.least) == sizes.most
        assert len(base64.b64encode(bytes(sizes.most + suite.OVERHEAD_BYTES))) + 4096 < carrier


@given(st.binary(max_size=20_000))
def test_what_is_filled_in_comes_out(data: bytes) -> None:
    made = container.fill(data, container.REQUEST)
    assert made == theirs.container(data, 4096)
    assert container.empty(made, container.REQUEST) == data


def test_what_is_too_large_is_not_filled_in() -> None:
    most = container.REQUEST.most
    assert len(container.fill(bytes(most - 4), container.REQUEST)) == most
    with pytest.raises(PolicyError, match="too large to be sealed"):
        container.fill(bytes(most - 3), container.REQUEST)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (b"", "container size"),
        (bytes(4095), "container size"),
        (bytes(4097), "container size"),
        (bytes(4352), "container size"),
        (b"\0\0\x0f\xfd" + bytes(4092), "container size"),
        (b"\xff\xff\xff\xff" + bytes(4092), "container size"),
        (bytes(container.REQUEST.most + 1), "container size"),
        (bytes(4095) + b"\1", "padding"),
        (bytes(4) + b"\1" + bytes(4091), "padding"),
        (b"\0\0\0\2ab" + b"\1" + bytes(4089), "padding"),
    ],
)
def test_a_container_with_another_size_or_padding_is_refused(made: bytes, problem: str) -> None:
    with pytest.raises(SealedAnswerError, match=problem):
        container.empty(made, container.REQUEST)


@given(st.binary(max_size=40), st.integers(4090, 4360))
def test_any_container_gives_its_content_or_an_error_of_this_room(start: bytes, size: int) -> None:
    made = start.ljust(size, b"\0")
    with contextlib.suppress(SealedAnswerError):
        assert theirs.container(container.empty(made, container.REQUEST), 4096) == made


# --- calls -----------------------------------------------------------------------------------------------------------


def test_a_sealed_call_names_the_service_and_the_key_and_holds_the_rest_closed() -> None:
    made = sealed_call()
    outside = json.loads(made.data)
    assert outside.keys() == {"service", "keyId", "sealed"}
    assert (outside["service"], outside["keyId"]) == ("vies", ENCLAVE.key.id.hex())
    assert len(base64.b64decode(outside["sealed"])) == 4096 + 1136
    inside = opened(made).inside
    assert (inside["request"], inside["time"]) == (json.loads(CALL), kit.SIGNED_MS - 123 + 2123)
    assert b"planted-secret" not in made.data + base64.b64decode(outside["sealed"]) + repr(made).encode()


def test_the_sealed_time_is_the_callers_clock_in_milliseconds() -> None:
    now = Live(now=kit.SIGNED_AT + timedelta(milliseconds=1234, microseconds=999))
    assert opened(sealed_call(time=now)).inside["time"] == kit.SIGNED_MS + 1234


def test_the_parent_is_told_how_long_to_wait_and_nothing_else() -> None:
    outside = json.loads(sealed_call(b'{"timeoutMs":700,"id":"private"}').data)
    assert (outside.pop("timeoutMs"), outside.keys()) == (700, {"service", "keyId", "sealed"})


@pytest.mark.parametrize("timeout", ["true", '"1"', "1.5", "null"])
def test_a_timeout_that_is_no_number_is_for_the_enclave_to_refuse(timeout: str) -> None:
    assert "timeoutMs" not in json.loads(sealed_call(f'{{"timeoutMs":{timeout}}}'.encode()).data)


def test_calls_of_similar_length_have_the_same_length_sealed() -> None:
    assert len({len(sealed_call(b'{"body":"%b"}' % (b"x" * size)).data) for size in (0, 1, 500, 2000)}) == 1


def test_every_call_has_a_reply_key_of_its_own() -> None:
    assert len({opened(sealed_call()).reply_key for _ in range(8)}) == 8


@pytest.mark.parametrize(
    "call", [b"", b"[]", b"1", b"{", b'{"a":1}{"b":2}', b'{"a":1,"a":2}', b"\xff", b"\xef\xbb\xbf{}"]
)
def test_what_is_no_json_object_is_not_sealed(call: bytes) -> None:
    with pytest.raises(PolicyError):
        sealed_call(call)


def test_a_call_that_is_no_json_is_not_kept_in_the_error() -> None:
    with pytest.raises(PolicyError) as caught:
        sealed_call(CALL[:-1])
    assert "planted" not in everything_in(caught.value)


def test_a_call_that_is_too_large_is_not_sealed_and_not_quoted() -> None:
    with pytest.raises(PolicyError, match="too large to be sealed") as caught:
        sealed_call(b'{"body":"%b"}' % (b"planted-secret" * 600_000))
    assert "planted" not in str(caught.value)


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        ENCLAVE.key.public[:-1],
        ENCLAVE.key.public + b"\0",
        b"\xff" * 1184 + ENCLAVE.key.public[1184:],  # coefficients not below the modulus
        ENCLAVE.key.public[:1184] + bytes(32),  # a point of low order
        ENCLAVE.key.public[:1184] + b"\1" + bytes(31),
    ],
    ids=["empty", "short", "long", "modulus", "order-4", "order-1"],
)
def test_a_key_that_nothing_can_be_sealed_to_is_refused(encoded: bytes) -> None:
    with pytest.raises(ValueError):
        suite.public_key(encoded)


@given(st.binary(max_size=1300) | st.binary(min_size=1216, max_size=1216))
def test_any_bytes_are_a_key_or_a_value_error(encoded: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert suite.public_key(encoded).encoded == encoded


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_opens_to_the_bytes_that_were_sealed() -> None:
    call = sealed_call()
    assert call.open(body(opened(call).seal(REPLY))) == REPLY
    assert call.open(body(opened_again(call).seal(b""))) == b""


def opened_again(call: SealedCall) -> theirs.Opened:
    ENCLAVE.seen.clear()
    return opened(call)


def test_the_largest_answer_opens_and_a_larger_one_does_not() -> None:
    call = sealed_call()
    once = opened(call)
    most = container.ANSWER.most
    assert len(call.open(body(once.seal(bytes(most - 4))))) == most - 4
    refused(call, body(once.seal(bytes(most - 3))), "sealed answer size")


def refused(call: SealedCall, answered: bytes, problem: str) -> None:
    """Demand one typed error that holds no secret."""
    with pytest.raises(SealedAnswerError, match=problem) as caught:
        call.open(answered)
    assert "planted" not in everything_in(caught.value)


def everything_in(error: BaseException) -> str:
    """What an error, and all that it was raised from, hold; of JSON's own errors the document, too."""
    linked = [error]
    while (before := linked[-1].__cause__ or linked[-1].__context__) is not None:
        linked.append(before)
    return "".join(repr(vars(one)) + repr(one.args) + str(one) for one in linked)


def test_the_answer_of_one_call_is_not_that_of_another() -> None:
    first, second = sealed_call(), sealed_call()
    refused(second, body(opened(first).seal(REPLY)), "does not open")


def test_an_answer_to_other_sealed_bytes_does_not_open_under_the_same_reply_key() -> None:
    call = sealed_call()
    once = opened(call)
    other = theirs.info("answer", "vies", ENCLAVE.key.id, b"other sealed bytes")
    refused(call, body(theirs.Opened(once.inside, other).seal(REPLY)), "does not open")


@pytest.mark.parametrize(
    "bound",
    [
        theirs.info("request", "vies", ENCLAVE.key.id),
        theirs.info("answer", "vies", ENCLAVE.key.id),
        b"",
    ],
    ids=["direction", "no request", "nothing"],
)
def test_an_answer_that_is_bound_to_something_else_does_not_open(bound: bytes) -> None:
    call = sealed_call()
    refused(call, body(theirs.Opened(opened(call).inside, bound).seal(REPLY)), "does not open")


@pytest.mark.parametrize("which", ["service", "key"])
def test_an_answer_of_another_service_or_key_does_not_open(which: str) -> None:
    call = sealed_call()
    said = base64.b64decode(json.loads(call.data)["sealed"])
    service, key_id = ("stripe", ENCLAVE.key.id) if which == "service" else ("vies", bytes(32))
    other = theirs.info("answer", service, key_id, said)
    refused(call, body(theirs.Opened(opened(call).inside, other).seal(REPLY)), "does not open")


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "cut at the end": lambda sealed: sealed[:-1],
    "cut at the start": lambda sealed: sealed[1:],
    "cut to nothing": lambda _: b"",
    "only the encapsulated key": lambda sealed: sealed[:1120],
    "longer": lambda sealed: sealed + b"\0",
    "halves exchanged": lambda sealed: sealed[len(sealed) // 2 :] + sealed[: len(sealed) // 2],
    "blocks exchanged": lambda sealed: sealed[:1120] + sealed[1136:1152] + sealed[1120:1136] + sealed[1152:],
    "tag of zero": lambda sealed: sealed[:-16] + bytes(16),
    "twice": lambda sealed: sealed + sealed,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_altered_answer_does_not_open(change: Callable[[bytes], bytes]) -> None:
    call = sealed_call()
    refused(call, body(change(opened(call).seal(REPLY))), "does not open")


FLIPPED_CALL = sealed_call()
FLIPPED_ANSWER = opened(FLIPPED_CALL).seal(REPLY)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 16_384 + 1135), st.integers(0, 7))
def test_an_answer_with_one_flipped_bit_does_not_open(at: int, bit: int) -> None:
    sealed = bytearray(FLIPPED_ANSWER)
    sealed[at] ^= 1 << bit
    refused(FLIPPED_CALL, body(bytes(sealed)), "does not open")


def sealed_as(plain: bytes) -> tuple[SealedCall, bytes]:
    """An answer whose sealing is right and whose container is as given."""
    call = sealed_call()
    once = opened(call)
    return call, body(theirs.seal_to(once.reply_key, plain, once.info))


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        (theirs.container(REPLY, 16_384)[:-1] + b"\1", "padding"),
        (theirs.container(REPLY, 4096), "container size"),
        (theirs.container(REPLY, 16_384) + bytes(16_384), "container size"),
        (theirs.container(REPLY, 20_000), "container size"),
        (REPLY, "container size"),
        (b"\xff" * 16_384, "container size"),
    ],
    ids=["padding", "request's bucket", "too large a bucket", "no bucket", "no container", "length"],
)
def test_a_container_inside_an_answer_is_checked(plain: bytes, problem: str) -> None:
    refused(*sealed_as(plain), problem)


UNSEALED = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"\xff",
    b'{"sealed":1}',
    b'{"sealed":"%%%"}',
    b'{"sealed":"AA=","more":1}',
    b'{"sealed":"AB=="}',
    b'{"sealed":"","sealed":""}',
    b'{"success":true,"status":200,"headers":{},"rawBody":"x"}',
    b'{"success":false,"status":200,"error":"x"}',
    b'{"success":false,"status":true,"error":"x"}',
    b'{"success":false,"status":503,"error":"x","sealed":""}',
    b'{"success":false,"status":503,"error":"x","attestation":{}}',
    kit.reply(),
    kit.reply(on_statement=kit.failed),
]


@pytest.mark.parametrize("answered", UNSEALED)
def test_an_answer_that_is_not_sealed_is_refused(answered: bytes) -> None:
    refused(sealed_call(), answered, "expected a sealed answer|answer size")


def test_an_answer_above_the_limit_is_not_decoded() -> None:
    refused(sealed_call(), b" " * (16 * 2**20 + 1), "answer size")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "sealed.unknown-key", UnknownKey),
        (400, "sealed.unreadable", NotOpened),
        (400, "sealed.stale", NotOpened),
        (409, "sealed.replayed", NotOpened),
        (503, "sealed.full", NotOpened),
        (503, None, NotOpened),
    ],
)
def test_a_call_that_was_not_opened_is_hearsay_and_only_an_unknown_key_is_forgotten(
    status: int, code: str | None, kind: type[NotOpened]
) -> None:
    forgotten: list[bool] = []
    said = {"success": False, "status": status, "headers": {}, "rawBody": "", "error": "no\x1b[2J"}
    said |= {"code": code} if code else {}
    with pytest.raises(NotOpened) as caught:
        sealed_call(forget=lambda: forgotten.append(True)).open(json.dumps(said).encode())
    error = caught.value
    assert (type(error), error.status, error.code, error.said) == (kind, status, code, "no\\x1b[2J")
    assert forgotten == ([True] if kind is UnknownKey else [])
    assert str(error) == f"not opened ({status}{f' {code}' if code else ''}): no\\x1b[2J"


@settings(deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=3000).map(body))
def test_any_bytes_are_no_answer_and_an_error_of_this_room(data: bytes) -> None:
    with pytest.raises((SealedAnswerError, NotOpened)):
        FLIPPED_CALL.open(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)
answers = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("sealed", "success", "status", "error", "code"), json_values)
)


@given(answers)
def test_any_json_is_no_answer_and_an_error_of_this_room(value: object) -> None:
    with pytest.raises((SealedAnswerError, NotOpened)):
        FLIPPED_CALL.open(json.dumps(value).encode())


# --- recorded --------------------------------------------------------------------------------------------------------


def test_what_was_sealed_once_opens_for_ever() -> None:
    """The file is for other implementations too: keys as seeds, a sealed request and its sealed answer."""
    recorded = json.loads((Path(__file__).parent / "verifier_recorded" / "sealed.json").read_text())
    enclave, client = (key_of(recorded[name]) for name in ("enclaveKey", "replyKey"))
    assert [enclave.id.hex(), client.id.hex()] == [recorded[name]["keyId"] for name in ("enclaveKey", "replyKey")]
    sealed, answered = (base64.b64decode(recorded[name]) for name in ("sealedRequest", "sealedAnswer"))
    inside = enclave.open(sealed, suite.request_info("vies", enclave.id))
    assert container.empty(inside, container.REQUEST).decode() == recorded["inside"]
    reply_key = suite.ReplyKey(encoded=client.public, key=hpke.MLKEM768X25519PrivateKey(client.lattice, client.curve))
    plain = reply_key.unseal(answered, suite.answer_info("vies", enclave.id, sealed))
    assert container.empty(plain, container.ANSWER).decode() == recorded["reply"]


def key_of(seeds: dict[str, str]) -> theirs.Key:
    lattice = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(seeds["mlkem768Seed"]))
    return theirs.Key(lattice, X25519PrivateKey.from_private_bytes(bytes.fromhex(seeds["x25519Private"])))


def test_the_limit_of_a_sealed_answer_is_the_largest_container_and_its_sealing() -> None:
    assert answer.MAX_SEALED_BYTES == 12_058_624 + 1136
