"""Steps 0, 1, 2, 4 and 5 on documents of our own PKI: one mutant per way to fail."""

from datetime import timedelta
from typing import Any

import pytest
import verifier_kit as kit
from hypothesis import given
from hypothesis import strategies as st
from verifier_cases import NOW, ROOT, policy, refused
from verifier_kit import cbor, head

from tytle_verifier import (
    Archive,
    At,
    DebugModeError,
    Live,
    Policy,
    PolicyError,
    Release,
    Rules,
    VerificationError,
    VerifiedDocument,
    verify_document,
)
from tytle_verifier.cose import P384_ORDER

HEADER = bytes.fromhex("a1013822")
PAYLOAD = cbor(kit.fields())
SIGNATURE = kit.sign(PAYLOAD)[-96:]


def verify(data: bytes, **changes: Any) -> VerifiedDocument:
    return verify_document(data, **{"time": NOW, "root": ROOT, **changes})


def envelope(*items: bytes) -> bytes:
    return head(4, len(items)) + b"".join(items)


PARTS = (cbor(HEADER), cbor({}), cbor(PAYLOAD), cbor(SIGNATURE))


def test_a_document_is_accepted_bare_or_under_one_tag_18() -> None:
    assert verify(envelope(*PARTS)).document == verify(b"\xd2" + envelope(*PARTS)).document


@pytest.mark.parametrize("data", [b"", b"x" * 20_481])
def test_step_0_bounds_the_size(data: bytes) -> None:
    refused(0, "document size", verify, data)


ENVELOPES = {
    "two tags": b"\xd2\xd2" + envelope(*PARTS),
    "long tag": b"\xd8\x12" + envelope(*PARTS),
    "other tag": b"\xd3" + envelope(*PARTS),
    "trailing": envelope(*PARTS) + b"\x00",
    "three": envelope(*PARTS[:3]),
    "five": envelope(*PARTS, b"\xf6"),
    "map": cbor({1: 2}),
    "open array": b"\x9f" + b"".join(PARTS) + b"\xff",
    "empty header": envelope(cbor(b""), *PARTS[1:]),
    "ES256": envelope(cbor(bytes.fromhex("a10126")), *PARTS[1:]),
    "open header": envelope(cbor(bytes.fromhex("bf013822ff")), *PARTS[1:]),
    "long header": envelope(cbor(bytes.fromhex("a1013900" + "22")), *PARTS[1:]),
    "two algorithms": envelope(cbor(bytes.fromhex("a2013822013822")), *PARTS[1:]),
    "header as map": envelope(cbor({1: -35}), *PARTS[1:]),
    "unprotected entry": envelope(PARTS[0], cbor({4: b"11"}), *PARTS[2:]),
    "unprotected array": envelope(PARTS[0], cbor([]), *PARTS[2:]),
    "unprotected null": envelope(PARTS[0], cbor(None), *PARTS[2:]),
    "open unprotected": envelope(PARTS[0], b"\xbf\xff", *PARTS[2:]),
    "detached": envelope(*PARTS[:2], cbor(None), PARTS[3]),
    "empty payload": envelope(*PARTS[:2], cbor(b""), PARTS[3]),
    "large payload": envelope(*PARTS[:2], cbor(bytes(16_385)), PARTS[3]),
    "text payload": envelope(*PARTS[:2], cbor("payload"), PARTS[3]),
    "chunked payload": envelope(*PARTS[:2], b"\x5f" + PARTS[2] + b"\xff", PARTS[3]),
    "long payload head": envelope(*PARTS[:2], b"\x5a" + len(PAYLOAD).to_bytes(4, "big") + PAYLOAD, PARTS[3]),
    "text signature": envelope(*PARTS[:3], cbor("signature")),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_step_1_leaves_the_unsigned_envelope_no_freedom(name: str) -> None:
    refused(1, "", verify, ENVELOPES[name])


ABSENT = object()
FIELDS: list[tuple[str, dict[str, Any]]] = [
    *(("mandatory", {name: None}) for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")),
    *(
        ("mandatory", {name: ABSENT})
        for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
    ),
    ("unknown field", {"extra": 1}),
    ("unknown field", {"nitrotpm_pcrs": {}}),
    ("module_id", {"module_id": ""}),
    ("module_id", {"module_id": b"i-1"}),
    ("digest", {"digest": "SHA512"}),
    ("digest", {"digest": b"SHA384"}),
    ("timestamp", {"timestamp": 0}),
    ("timestamp", {"timestamp": -1}),
    ("timestamp", {"timestamp": True}),
    ("timestamp", {"timestamp": "1"}),
    ("timestamp", {"timestamp": 253_402_300_800_000}),
    ("timestamp", {"timestamp": 2**64 - 1}),
    ("pcrs", {"pcrs": {}}),
    ("pcrs", {"pcrs": []}),
    ("pcrs", {"pcrs": dict.fromkeys(range(33), bytes(48))}),
    ("PCR index", {"pcrs": {32: bytes(48)}}),
    ("PCR index", {"pcrs": {-1: bytes(48)}}),
    ("PCR index", {"pcrs": {"0": bytes(48)}}),
    ("PCR0", {"pcrs": {0: bytes(47)}}),
    ("PCR0", {"pcrs": {0: bytes(32)}}),
    ("PCR0", {"pcrs": {0: bytes(64)}}),
    ("PCR0", {"pcrs": {0: "0" * 48}}),
    ("certificate", {"certificate": b""}),
    ("certificate", {"certificate": bytes(1025)}),
    ("certificate", {"certificate": b"-----BEGIN CERTIFICATE-----"}),
    ("certificate", {"certificate": kit.pki().leaf.der + b"\0"}),
    ("certificate", {"certificate": kit.pki().leaf.der.hex()}),
    ("cabundle", {"cabundle": []}),
    ("cabundle", {"cabundle": {}}),
    ("cabundle", {"cabundle": [kit.pki().root.der] * 9}),
    ("cabundle[1]", {"cabundle": [kit.pki().root.der, "text"]}),
    ("cabundle[1]", {"cabundle": [kit.pki().root.der, b"\x30\x00"]}),
    ("public_key", {"public_key": bytes(1025)}),
    ("public_key", {"public_key": "text"}),
    ("user_data", {"user_data": bytes(1025)}),
    ("user_data", {"user_data": {}}),
    ("nonce", {"nonce": bytes(1025)}),
    ("nonce", {"nonce": 0}),
]


@pytest.mark.parametrize(("problem", "change"), FIELDS)
def test_step_2_refuses_a_field_outside_its_limits(problem: str, change: dict[str, Any]) -> None:
    made = {name: value for name, value in kit.fields(**change).items() if value is not ABSENT}
    refused(2, problem, verify, kit.sign(cbor(made)))


@pytest.mark.parametrize(
    "payload", [b"\x80", b"\x00", PAYLOAD + b"\x00", PAYLOAD * 2, b"\xd8\x18" + PAYLOAD, PAYLOAD[:-1]]
)
def test_step_2_wants_one_map(payload: bytes) -> None:
    refused(2, "payload", verify, kit.sign(payload))


def test_null_and_absent_optional_fields_are_the_same() -> None:
    absent = {name: value for name, value in kit.fields().items() if value is not None}
    assert verify(kit.sign(cbor(absent))).document == verify(kit.sign(PAYLOAD)).document


def test_maps_and_arrays_of_indefinite_length_are_the_same() -> None:
    made = kit.fields()
    pcrs = b"\xbf" + b"".join(cbor(k) + cbor(v) for k, v in made["pcrs"].items()) + b"\xff"
    cabundle = b"\x9f" + b"".join(map(cbor, made["cabundle"])) + b"\xff"
    own = {"pcrs": pcrs, "cabundle": cabundle}
    open_map = b"\xbf" + b"".join(cbor(k) + own.get(k, cbor(v)) for k, v in made.items()) + b"\xff"
    assert verify(kit.sign(open_map)).document == verify(kit.sign(PAYLOAD)).document


def test_a_duplicate_behind_another_spelling_is_refused() -> None:
    made = kit.fields()
    pcrs = head(5, 2) + cbor(0) + cbor(b"\x10" * 48) + b"\x18\x00" + cbor(b"\x66" * 48)
    body = head(5, len(made)) + b"".join(cbor(k) + (pcrs if k == "pcrs" else cbor(v)) for k, v in made.items())
    refused(2, "shortest form", verify, kit.sign(body))


@pytest.mark.parametrize("size", [0, 512, 513, 1024])
def test_the_limit_of_user_data_and_nonce_is_the_callers_choice(size: int) -> None:
    data = kit.document(user_data=bytes(size), nonce=bytes(size), public_key=bytes(size))
    assert verify(data).document.user_data == bytes(size)
    if size <= 512:
        verify(data, rules=Rules(max_optional_bytes=512))
    else:
        refused(2, "user_data size", verify, data, rules=Rules(max_optional_bytes=512))


def test_unknown_fields_are_tolerated_only_by_choice() -> None:
    data = kit.document(aws_added_this=[1, {"x": None}])
    assert verify(data, rules=Rules(allow_unknown_fields=True)).document.module_id == kit.MODULE_ID
    with pytest.raises(PolicyError):
        Rules(max_optional_bytes=1025)


def halves(r: int, s: int) -> bytes:
    return envelope(*PARTS[:3], cbor(r.to_bytes(48, "big") + s.to_bytes(48, "big")))


R, S = (int.from_bytes(half, "big") for half in (SIGNATURE[:48], SIGNATURE[48:]))


def test_both_signatures_of_a_twin_verify_so_bytes_are_no_identity() -> None:
    verify(halves(R, S))
    verify(halves(R, P384_ORDER - S))


@pytest.mark.parametrize("pair", [(0, S), (R, 0), (0, 0), (P384_ORDER, S), (R, P384_ORDER), (R, 2**384 - 1)])
def test_step_4_keeps_r_and_s_within_the_order(pair: tuple[int, int]) -> None:
    refused(4, "out of range", verify, halves(*pair))


@pytest.mark.parametrize(
    "signature", [b"", SIGNATURE[:95], SIGNATURE + b"\0", SIGNATURE[:64], SIGNATURE[:48] + SIGNATURE]
)
def test_step_4_wants_96_bytes(signature: bytes) -> None:
    refused(4, "signature length", verify, envelope(*PARTS[:3], cbor(signature)))


def test_step_4_refuses_another_key_another_payload_and_external_data() -> None:
    refused(4, "did not sign", verify, kit.document(kit.pki().instance.key))
    refused(4, "did not sign", verify, halves(S, R))
    other = cbor(kit.fields(user_data=b"other"))
    refused(4, "did not sign", verify, envelope(*PARTS[:2], cbor(other), PARTS[3]))


def test_step_5_wants_the_signed_time_within_the_leafs_validity() -> None:
    seconds = kit.document(timestamp=kit.SIGNED_MS // 1000)
    refused(5, "outside the leaf", verify, seconds, time=At(instant=kit.SIGNED_AT))
    refused(3, "not valid", verify, seconds, time=Archive())


def test_step_5_live_refuses_the_old_and_the_future() -> None:
    data, age = kit.document(), timedelta(minutes=5)
    verify(data, time=Live(now=kit.SIGNED_AT + age))
    refused(5, "too old", verify, data, time=Live(now=kit.SIGNED_AT + age + timedelta(milliseconds=1)))
    future = kit.document(timestamp=kit.SIGNED_MS + 600_000)
    refused(5, "future", verify, future, time=NOW)
    verify(future, time=Live(now=kit.SIGNED_AT, skew=timedelta(minutes=10)))


def test_a_policy_tightens_the_age_and_never_widens_it() -> None:
    data, minute = kit.document(), timedelta(minutes=1)
    time = Live(now=kit.SIGNED_AT + 2 * minute)
    refused(5, "too old", verify, data, time=time, policy=policy(max_age=minute))
    verify(data, time=time, policy=policy(max_age=10 * minute))
    old = Live(now=kit.SIGNED_AT + 6 * minute)
    refused(5, "too old", verify, data, time=old, policy=policy(max_age=10 * minute))


def test_the_archive_claims_no_freshness_and_says_so() -> None:
    report = verify(kit.document(), time=Archive(), policy=policy(max_age=timedelta(seconds=1))).report
    assert any("freshness" in line for line in report.not_checked)


def test_step_6_refuses_debug_mode_before_anything_else() -> None:
    pcrs = {**kit.PCRS, 0: bytes(48), 1: bytes(48), 2: bytes(48), 8: b"\x18" * 48}
    data = kit.document(pcrs=pcrs)
    verify(data)
    assert isinstance(refused(6, "debug mode", verify, data, policy=policy()), DebugModeError)


@pytest.mark.parametrize("pcrs", [{4: b"\x14" * 48}, {1: bytes(48), 2: bytes(48)}])
def test_absent_measurements_count_as_zero(pcrs: dict[int, bytes]) -> None:
    assert isinstance(refused(6, "debug mode", verify, kit.document(pcrs=pcrs), policy=policy()), DebugModeError)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_step_6_compares_pcr_0_1_and_2(index: int) -> None:
    for other in ({**kit.PCRS, index: b"\x66" * 48}, {k: v for k, v in kit.PCRS.items() if k != index}):
        refused(6, "", verify, kit.document(pcrs=other), policy=policy())


def test_a_zero_pcr0_names_no_image() -> None:
    refused(6, "PCR0 is zero", verify, kit.document(pcrs={**kit.PCRS, 0: bytes(48)}), policy=policy())


def release(**changes: Any) -> Policy:
    pcrs = {i: kit.PCRS[i] for i in (0, 1, 2)}
    return policy(releases=(Release(**{"commit": kit.COMMIT, "pcrs": pcrs, **changes}),))


def test_step_6_keeps_a_releases_window_and_revocation() -> None:
    data, second = kit.document(), timedelta(seconds=1)
    for good in ({"not_before": kit.SIGNED_AT}, {"not_after": kit.SIGNED_AT}):
        verify(data, policy=release(**good))
    for bad in ({"not_before": kit.SIGNED_AT + second}, {"not_after": kit.SIGNED_AT - second}):
        refused(6, "does not cover", verify, data, policy=release(**bad))
    refused(6, "revoked", verify, data, policy=release(revoked=True))


def test_a_revoked_release_is_not_saved_by_another_entry_for_the_same_code() -> None:
    both = (*release(revoked=True).releases, *release().releases)
    refused(6, "revoked", verify, kit.document(), policy=policy(releases=both))


def test_measurements_of_two_releases_do_not_mix() -> None:
    one, two = kit.PCRS, {0: b"\x20" * 48, 1: b"\x21" * 48, 2: b"\x22" * 48}
    both = (*release().releases, Release(commit="2" * 40, pcrs=two))
    verify(kit.document(pcrs={**one, **two}), policy=policy(releases=both))
    refused(6, "not a listed", verify, kit.document(pcrs={**one, 0: two[0]}), policy=policy(releases=both))


def test_further_pcrs_have_allow_sets() -> None:
    data, allowed = kit.document(), frozenset({b"\x13" * 48, b"\x33" * 48})
    verify(data, policy=policy(pcrs={3: allowed}))
    refused(6, "PCR3", verify, data, policy=policy(pcrs={3: frozenset({b"\x33" * 48})}))
    refused(6, "PCR7", verify, data, policy=policy(pcrs={7: allowed}))


def test_a_pinned_pcr_of_a_release_that_is_absent_is_a_failure() -> None:
    pcrs = {i: kit.PCRS[i] for i in (0, 1, 2)}
    refused(6, "not a listed", verify, kit.document(), policy=release(pcrs={**pcrs, 16: b"\x16" * 48}))


@given(st.binary(max_size=300))
def test_any_document_is_refused_with_an_error_of_this_room(data: bytes) -> None:
    for whole in (data, kit.sign(data) if data else b"", b"\x84" + data, envelope(*PARTS[:2], cbor(data), PARTS[3])):
        refused_somewhere(whole)


@given(
    st.dictionaries(st.sampled_from([*kit.fields(), "other"]), st.none() | st.binary(max_size=8) | st.integers(0, 99))
)
def test_any_fields_are_refused_with_an_error_of_this_room(changes: dict[str, Any]) -> None:
    if changes.keys() - {"public_key", "user_data", "nonce"}:
        refused_somewhere(kit.sign(cbor({**kit.fields(), **changes})))


def refused_somewhere(data: bytes) -> None:
    with pytest.raises(VerificationError):
        verify(data)
