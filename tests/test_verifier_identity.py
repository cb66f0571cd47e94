"""An enclave's identity: what verifies, and each forgery at the step that refuses it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import verifier_kit as kit
from hypothesis import given, settings
from hypothesis import strategies as st
from verifier_cases import NOW, RELEASE, ROOT, policy, refused
from verifier_sealed import HOUR_MS, Key, SealedEnclave

from tytle_verifier import (
    Archive,
    At,
    Live,
    NotAttested,
    PolicyError,
    VerificationError,
    VerifiedIdentity,
    verify_identity,
)
from tytle_verifier.sealed import identity

CHALLENGE = b"a challenge of 32 bytes, no more"
KEY = Key()
OTHER = Key()


def shown(**hooks: Any) -> bytes:
    return SealedEnclave(**{"key": KEY, **hooks}).show(CHALLENGE)


def verified(reply: bytes, **changes: Any) -> VerifiedIdentity:
    given = {"policy": policy(), "challenge": CHALLENGE, "time": NOW, "root": ROOT, **changes}
    return verify_identity(reply, **given)


def sealing(**changes: Any) -> kit.Hook:
    return lambda made: made["sealing"].update(changes)


def putting(**changes: Any) -> kit.Hook:
    return lambda made: made.update(changes)


def altered(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The reply with something of it exchanged on the way."""
    whole = json.loads(shown())
    change(whole)
    return json.dumps(whole).encode()


# --- genuine ---------------------------------------------------------------------------------------------------------


def test_a_genuine_identity_verifies_and_says_whose_key_it_is() -> None:
    found = verified(shown())
    assert (found.service, found.manifest, found.boot, found.release) == (
        "vies",
        kit.MANIFEST,
        bytes(range(16)),
        RELEASE,
    )
    assert found.boot_report == (("entropy", "nsm-hwrng"), ("clock", "0.2 s"))
    assert (found.key.encoded, found.key.id, found.root) == (KEY.public, KEY.id, ROOT)
    assert found.until == datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=kit.SIGNED_MS + HOUR_MS)
    assert [step.number for step in found.report.steps] == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_a_report_names_what_was_compared_and_what_was_not() -> None:
    report = verified(shown()).report
    compared = report.steps[-1].compared
    assert compared[:3] == (
        f"service vies, manifest {kit.MANIFEST.hex()[:16]}...",
        f"challenge {CHALLENGE.hex()[:16]}... (32 bytes)",
        f"boot {bytes(range(16)).hex()}",
    )
    assert f"key {KEY.id.hex()}, X-Wing/HKDF-SHA256/AES-256-GCM" in compared
    assert "boot report: entropy: nsm-hwrng" in compared
    assert report.steps[-1].not_checked == (
        "boot report: as the enclave's code says",
        "service and pcrs beside the identity",
    )


def test_a_release_without_a_manifest_leaves_it_unchecked() -> None:
    open_release = replace(RELEASE, manifest=None)
    found = verified(shown(on_identity=putting(manifest=bytes(32))), policy=policy(releases=(open_release,)))
    assert "manifest digest: the release pins none" in found.report.not_checked


def test_outside_an_enclave_the_boot_report_is_empty() -> None:
    assert verified(shown(on_identity=putting(report=[]))).boot_report == ()


@pytest.mark.parametrize("time", [Archive(), At(instant=kit.SIGNED_AT + timedelta(hours=2))])
def test_a_kept_identity_verifies_later_and_claims_no_freshness(time: Any) -> None:
    found = verified(shown(until_ms=1), time=time)
    assert "whether the key is still in use: only live time can tell" in found.report.not_checked


# --- forged ----------------------------------------------------------------------------------------------------------


def test_a_certificate_that_no_library_reads_is_refused() -> None:
    odd = kit.odd_leaf()
    reply = SealedEnclave(key=KEY, on_document=putting(certificate=odd.der)).show(CHALLENGE)
    refused(2, "certificate is not one DER certificate", verified, reply)


def test_an_old_document_is_refused() -> None:
    late = Live(now=kit.SIGNED_AT + timedelta(minutes=6))
    refused(5, "too old", verified, shown(), time=late)
    tight = policy(max_age=timedelta(seconds=1))
    refused(5, "too old", verified, shown(), policy=tight)


def test_the_right_key_of_other_code_is_refused() -> None:
    other = shown(on_document=putting(pcrs={**kit.PCRS, 0: b"\x66" * 48}))
    refused(6, "not a listed release", verified, other)
    debug = shown(on_document=putting(pcrs=dict.fromkeys(range(16), bytes(48))))
    refused(6, "debug mode", verified, debug)


def test_a_document_that_another_root_signed_is_refused() -> None:
    root = kit.authority("aws.nitro-enclaves", None, None, 10_000)
    forged = shown(on_document=putting(cabundle=[root.der, *kit.pki().cabundle[1:]]))
    refused(3, "cabundle[0]", verified, forged)


def test_an_identity_in_the_right_format_with_another_key_is_refused() -> None:
    def exchange(whole: dict[str, Any]) -> None:
        forged = SealedEnclave(key=OTHER).identity()
        whole["identity"] = kit.b64(kit.cbor(forged))

    refused(7, "identity SHA-256", verified, altered(exchange))


def test_a_key_that_the_document_does_not_name_is_refused() -> None:
    refused(7, "key SHA-256", verified, shown(on_user_data=putting(key=OTHER.id)))


def test_the_document_of_an_answer_is_no_identity() -> None:
    document = json.loads(kit.reply())["attestation"]["nsmDocument"]
    refused(7, "user_data", verified, altered(putting(nsmDocument=document)))


def test_a_document_without_user_data_is_no_identity() -> None:
    refused(7, "no user_data", verified, shown(on_document=putting(user_data=None)))


@pytest.mark.parametrize(
    ("problem", "hook"),
    [
        ("profile", {"on_identity": putting(profile="tytle/attested-fetch/v1")}),
        ("profile", {"on_user_data": putting(profile="tytle/sealed-fetch/v1")}),
        ("missing key", {"on_identity": lambda made: made.pop("sealing")}),
        ("unknown key", {"on_identity": putting(more=1)}),
        ("unknown key", {"on_identity": sealing(more=1)}),
        ("missing key", {"on_user_data": lambda made: made.pop("key")}),
        ("unknown key", {"on_user_data": putting(more=1)}),
        ("boot", {"on_identity": putting(boot=bytes(15))}),
        ("manifest", {"on_identity": putting(manifest=bytes(31))}),
        ("service", {"on_identity": putting(service=1)}),
        ("report[0]", {"on_identity": putting(report=[["one"]])}),
        ("report[0]", {"on_identity": putting(report=[["one", 2]])}),
        ("report", {"on_identity": putting(report={})}),
        ("sealing", {"on_identity": putting(sealing=None)}),
        ("sealing.suite", {"on_identity": sealing(suite=1)}),
        ("sealing.until", {"on_identity": sealing(until=0)}),
        ("sealing.until", {"on_identity": sealing(until=253_402_300_800_000)}),
        ("sealing.until", {"on_identity": sealing(until=-1)}),
        ("sealing.key", {"on_identity": sealing(key=bytes(1215))}),
        ("sealing.key", {"on_identity": sealing(key=bytes(1217))}),
        ("identity size", {"on_identity": putting(report=[["x", "y" * 65_536]])}),
    ],
)
def test_what_is_no_identity_is_refused_at_step_7(problem: str, hook: dict[str, kit.Hook]) -> None:
    refused(7, problem, verified, shown(**hook))


def test_an_identity_that_is_not_deterministic_cbor_is_refused() -> None:
    made = SealedEnclave(key=KEY).identity()
    loose = kit.head(5, len(made)) + b"".join(kit.cbor(k) + kit.cbor(v) for k, v in made.items())
    bound = {"profile": identity.PROFILE, "identity": kit.sha256(loose), "key": KEY.id}
    whole = json.loads(shown(on_document=putting(user_data=kit.cbor(bound))))
    whole["identity"] = kit.b64(loose)
    refused(7, "bytewise order", verified, json.dumps(whole).encode())


@pytest.mark.parametrize("challenge", [b"d" * 32, CHALLENGE[:16], CHALLENGE + b"!"])
def test_an_identity_that_answers_another_challenge_is_refused(challenge: bytes) -> None:
    refused(8, "challenge", verified, shown(), challenge=challenge)


def test_an_identity_without_a_challenge_is_refused() -> None:
    refused(8, "challenge", verified, shown(on_document=putting(nonce=None)))


def test_another_service_is_refused() -> None:
    refused(8, "service", verified, shown(service="stripe"))


def test_another_manifest_is_refused() -> None:
    refused(8, "manifest", verified, shown(on_identity=putting(manifest=bytes(32))))


def test_another_suite_is_refused() -> None:
    refused(8, "suite", verified, shown(on_identity=sealing(suite="X25519/HKDF-SHA256/AES-128-GCM")))


@pytest.mark.parametrize("key", [b"\xff" * 1216, KEY.public[:1184] + bytes(32)], ids=["lattice", "curve"])
def test_a_key_that_nothing_can_be_sealed_to_is_refused(key: bytes) -> None:
    refused(8, "sealing key", verified, shown(on_identity=sealing(key=key)))


def test_a_key_that_is_past_is_refused_as_far_as_clocks_agree() -> None:
    now_ms = kit.SIGNED_MS - 123 + 2123
    assert verified(shown(until_ms=now_ms + 1)).until > NOW.now
    refused(8, "until is past", verified, shown(until_ms=now_ms - 300_000))
    assert verified(shown(until_ms=now_ms - 299_999)).key.id == KEY.id  # clocks may differ; the enclave still takes it
    exact = Live(now=NOW.now, skew=timedelta(0))
    refused(8, "until is past", verified, shown(until_ms=now_ms), time=exact)
    assert verified(shown(until_ms=now_ms + 1), time=exact).key.id == KEY.id


def test_a_refusal_carries_the_steps_that_held() -> None:
    error = refused(8, "service", verified, shown(service="stripe"))
    assert error.report is not None
    assert [step.number for step in error.report.steps] == [0, 1, 2, 3, 4, 5, 6, 7]


# --- what is no reply ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"success":false,"status":503,"error":"Enclave at capacity"}',
        altered(putting(success=False)),
        altered(putting(success=1)),
        altered(putting(more=1)),
        altered(putting(service=None)),
        altered(putting(pcrs=[])),
        altered(putting(pcrs={"pcr0": 1})),
        altered(putting(identity=1)),
        altered(putting(identity="%%%")),
        altered(putting(nsmDocument="")),
        altered(putting(nsmDocument=None)),
        b" " * 131_073,
    ],
)
def test_what_is_no_identity_reply_is_refused_at_step_0(reply: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        verified(reply)
    assert caught.value.step == 0


def test_an_error_of_the_parent_is_not_evidence() -> None:
    with pytest.raises(NotAttested, match="at capacity"):
        verified(b'{"success":false,"status":503,"error":"Enclave at capacity"}')


@pytest.mark.parametrize("challenge", [b"", bytes(15), bytes(65)])
def test_a_challenge_of_another_length_is_the_callers_error(challenge: bytes) -> None:
    with pytest.raises(PolicyError):
        verified(shown(), challenge=challenge)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_an_error_of_this_room(data: bytes) -> None:
    for decode in (identity.decode_reply, identity.decode, identity.decode_user_data, verified):
        with pytest.raises(VerificationError):
            decode(data)


REPLY = shown()


@settings(deadline=None)
@given(st.integers(0, len(REPLY) - 1), st.integers(0, 255))
def test_one_changed_byte_is_refused_or_beside_what_is_signed(at: int, byte: int) -> None:
    changed = REPLY[:at] + bytes([byte]) + REPLY[at + 1 :]
    try:
        found = verified(changed)
    except VerificationError:
        return
    assert (found.key.encoded, found.service, found.boot) == (KEY.public, "vies", bytes(range(16)))


SAID = kit.cbor(SealedEnclave(key=KEY).identity())


@given(st.integers(0, len(SAID) - 1), st.integers(0, 255))
def test_one_changed_byte_of_an_identity_is_another_identity_or_none(at: int, byte: int) -> None:
    changed = SAID[:at] + bytes([byte]) + SAID[at + 1 :]
    try:
        found = identity.decode(changed)
    except VerificationError:
        return
    assert (found == identity.decode(SAID)) is (changed == SAID)
