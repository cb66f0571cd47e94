"""The client against a soft NSM that signs: what is asked is what comes back, or an error says why not."""

import contextlib
import hashlib
from collections.abc import Callable

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.nsm_faults import Answers, Fails, Garbage, Truncated, WrongEcho
from devstack.nsm_pki import NsmPki
from devstack.soft_nsm import SoftNsm
from nsm import client
from nsm.document import read
from nsm.errors import DeviceFailed, EchoMismatch, ErrorCode, MalformedReply, NsmError, Refused
from nsm.responses import Digest

ASKED = {"nonce": b"\x01" * 32, "user_data": b"\x02" * 100, "public_key": b"\x03" * 120}
CALLS: dict[str, Callable[[client.Exchange], object]] = {
    "attest": client.attest,
    "describe": client.describe,
    "describe_pcr": lambda exchange: client.describe_pcr(exchange, 16),
    "extend_pcr": lambda exchange: client.extend_pcr(exchange, 16, b"data"),
    "lock_pcr": lambda exchange: client.lock_pcr(exchange, 16),
    "lock_pcrs": lambda exchange: client.lock_pcrs(exchange, 16),
    "get_random": client.get_random,
}


@pytest.fixture(scope="module")
def pki() -> NsmPki:
    return NsmPki()


@pytest.fixture
def soft(pki: NsmPki) -> SoftNsm:
    return SoftNsm(pki=pki)


def test_a_document_has_the_three_fields_that_were_asked_for(soft: SoftNsm) -> None:
    attested = client.attest(soft.exchange, **ASKED)
    assert {name: getattr(attested.fields, name) for name in ASKED} == ASKED
    assert attested.fields == read(attested.document)
    assert attested.fields.module_id == soft.module_id


@pytest.mark.parametrize("field", ASKED)
@pytest.mark.parametrize("value", [None, b"\x09"], ids=["null", "other"])
def test_a_document_with_another_value_in_a_field_is_not_returned(
    soft: SoftNsm, field: str, value: bytes | None
) -> None:
    soft.fault = WrongEcho(field, value)  # type: ignore[arg-type]
    with pytest.raises(EchoMismatch) as caught:
        client.attest(soft.exchange, **ASKED)
    assert caught.value.field == field
    assert ASKED[field][:4].hex() in str(caught.value)


@pytest.mark.parametrize("field", ASKED)
def test_a_document_with_a_field_that_was_not_asked_for_is_not_returned(soft: SoftNsm, field: str) -> None:
    soft.fault = WrongEcho(field, b"\x09")  # type: ignore[arg-type]
    with pytest.raises(EchoMismatch) as caught:
        client.attest(soft.exchange)
    assert str(caught.value) == f"{field}: asked for nothing, the document has 1 bytes 09"


def test_an_empty_field_is_not_taken_for_none(soft: SoftNsm) -> None:
    assert client.attest(soft.exchange, nonce=b"").fields.nonce == b""
    soft.fault = WrongEcho("nonce", None)
    with pytest.raises(EchoMismatch):
        client.attest(soft.exchange, nonce=b"")


def test_a_field_beyond_the_limits_is_refused_before_the_device_is_asked() -> None:
    def never(_request: bytes) -> bytes:
        raise RuntimeError("the device was asked")

    with pytest.raises(ValueError, match="nonce"):
        client.attest(never, nonce=bytes(513))
    with pytest.raises(ValueError, match="index"):
        client.describe_pcr(never, -1)


def test_the_module_describes_itself(soft: SoftNsm) -> None:
    description = client.describe(soft.exchange)
    assert description.module_id == soft.module_id
    assert description.max_pcrs == 32
    assert description.locked_pcrs == frozenset(range(16))
    assert description.digest is Digest.SHA384


def test_a_register_is_extended_described_and_locked(soft: SoftNsm) -> None:
    expected = hashlib.sha384(bytes(48) + b"manifest").digest()
    assert client.extend_pcr(soft.exchange, 16, b"manifest") == expected
    client.lock_pcr(soft.exchange, 16)
    described = client.describe_pcr(soft.exchange, 16)
    assert (described.lock, described.data) == (True, expected)
    client.lock_pcrs(soft.exchange, 32)
    assert client.describe(soft.exchange).locked_pcrs == frozenset(range(32))


def test_randomness_differs_from_call_to_call(soft: SoftNsm) -> None:
    first, second = client.get_random(soft.exchange), client.get_random(soft.exchange)
    assert len(first) == len(second) == 256
    assert first != second


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", ErrorCode)
def test_every_refusal_reaches_the_caller_of_every_function(soft: SoftNsm, call: str, code: ErrorCode) -> None:
    soft.fault = Answers(code)
    with pytest.raises(Refused) as caught:
        CALLS[call](soft.exchange)
    assert caught.value.code is code


@pytest.mark.parametrize("call", CALLS)
def test_a_reply_to_another_request_is_malformed(soft: SoftNsm, call: str) -> None:
    other = "describe" if call != "describe" else "get_random"
    reply = _reply_to(other, soft)
    with pytest.raises(MalformedReply, match=r"asked for .*, got"):
        CALLS[call](lambda _request: reply)


def _reply_to(call: str, soft: SoftNsm) -> bytes:
    replies = []

    def keep(request: bytes) -> bytes:
        replies.append(soft.exchange(request))
        return replies[-1]

    CALLS[call](keep)
    return replies[-1]


@pytest.mark.parametrize("call", CALLS)
def test_garbage_truncation_and_a_failing_device_reach_the_caller(soft: SoftNsm, call: str) -> None:
    soft.fault = Garbage()
    with pytest.raises(MalformedReply):
        CALLS[call](soft.exchange)
    soft.fault = Truncated(5)
    with pytest.raises(MalformedReply):
        CALLS[call](soft.exchange)
    soft.fault = Fails()
    with pytest.raises(DeviceFailed, match="120 seconds"):
        CALLS[call](soft.exchange)


def test_a_document_that_is_not_one_is_malformed() -> None:
    reply = cbor2.dumps({"Attestation": {"document": b"\x84\x00\x00\x00\x00"}})
    with pytest.raises(MalformedReply, match=r"\[bytes, map, bytes, bytes\]"):
        client.attest(lambda _request: reply)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100), st.sampled_from(sorted(CALLS)))
def test_whatever_the_device_answers_only_errors_of_this_room_come_out(data: bytes, call: str) -> None:
    with contextlib.suppress(NsmError):
        CALLS[call](lambda _request: data)
