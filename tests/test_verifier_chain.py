"""Step 3 and the roots: one mutant per way in which a path can fail, with keys of our own."""

import hashlib
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest
import verifier_kit as kit
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from verifier_cases import NOW, ROOT, refused
from verifier_kit import Holder, authority, leaf, pki, usage

from tytle_verifier import AWS_ROOT, Archive, At, AwsRoot, LinkCache, Live, PolicyError, TestPkiRoot, verify_document
from tytle_verifier.roots import AWS_ROOT_SHA256

EARLY = kit.SIGNED_AT - timedelta(hours=1)


def verify(end: Holder, *above: Holder, time: Any = NOW, cache: LinkCache | None = None, **changes: Any) -> object:
    """Verify a document signed by `end` with `above` as its cabundle, root first."""
    chosen = above or (pki().root, pki().regional, pki().zonal, pki().instance)
    cabundle = [holder.der for holder in chosen]
    data = kit.document(end.key, certificate=end.der, cabundle=cabundle, **changes)
    return verify_document(data, time=time, root=ROOT, cache=cache)


def test_a_genuine_path_is_accepted_with_and_without_a_cache() -> None:
    verify(pki().leaf)
    cache = LinkCache()
    verify(pki().leaf, cache=cache)
    verify(pki().leaf, cache=cache)


def test_a_shorter_path_is_accepted() -> None:
    verify(leaf(pki().root), pki().root)


def test_a_certificate_with_an_unknown_tls_feature_is_refused_wherever_it_stands() -> None:
    """RFC 7633: cryptography looks the number up, and fails with a KeyError."""
    p = pki()
    verify(leaf(p.instance, extensions=[CONSTRAINTS, SIGNS, kit.tls_feature(5)]))
    refused(2, "certificate is not one DER certificate", verify, kit.odd_leaf())
    refused(2, "cabundle[0] is not one", verify, p.leaf, kit.odd_leaf(), p.regional, p.zonal, p.instance)
    refused(2, "KeyError: 7", verify_document, kit.document(certificate=kit.odd_leaf().der), time=Archive())


CONSTRAINTS = x509.BasicConstraints(ca=False, path_length=None), True
SIGNS = usage(digital_signature=True), False
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")

BAD_LEAVES: list[tuple[str, dict[str, Any]]] = [
    ("not valid", {"start": kit.SIGNED_AT + timedelta(seconds=3)}),
    ("not valid", {"start": kit.SIGNED_AT - timedelta(hours=3, seconds=1)}),
    ("constraints", {"extensions": [(x509.BasicConstraints(ca=True, path_length=None), True), SIGNS]}),
    ("constraints", {"extensions": [SIGNS]}),
    ("key usage", {"extensions": [CONSTRAINTS]}),
    ("key usage", {"extensions": [CONSTRAINTS, (usage(content_commitment=True), False)]}),
    ("unknown critical", {"extensions": [CONSTRAINTS, SIGNS, (UNKNOWN, True)]}),
    ("algorithm", {"algorithm": SHA256()}),
    ("algorithm", {"algorithm": SHA512()}),
    ("public key", {"curve": ec.SECP256R1()}),
    ("public key", {"curve": ec.SECP521R1()}),
]


@pytest.mark.parametrize(("problem", "change"), BAD_LEAVES)
def test_a_leaf_that_owes_something_is_refused(problem: str, change: dict[str, Any]) -> None:
    end = leaf(pki().instance, **change)
    data = kit.document(certificate=end.der)
    refused(3, problem, verify_document, data, time=NOW, root=ROOT)


def test_a_noncritical_unknown_extension_is_harmless() -> None:
    verify(leaf(pki().instance, extensions=[CONSTRAINTS, SIGNS, (UNKNOWN, False)]))


def test_key_usage_may_be_critical_in_a_leaf() -> None:
    verify(leaf(pki().instance, extensions=[CONSTRAINTS, (usage(digital_signature=True), True)]))


CA = x509.BasicConstraints(ca=True, path_length=0)
CERTIFIES = usage(key_cert_sign=True), True
BAD_AUTHORITIES: list[tuple[str, dict[str, Any]]] = [
    ("not valid", {"start": kit.SIGNED_AT + timedelta(seconds=3)}),
    ("not valid", {"start": kit.SIGNED_AT - timedelta(days=1, seconds=1)}),
    ("constraints", {"extensions": [(CA, False), CERTIFIES]}),
    ("constraints", {"extensions": [CONSTRAINTS, CERTIFIES]}),
    ("constraints", {"extensions": [CERTIFIES]}),
    ("key usage", {"extensions": [(CA, True)]}),
    ("key usage", {"extensions": [(CA, True), (usage(crl_sign=True), True)]}),
    ("unknown critical", {"extensions": [(CA, True), CERTIFIES, (UNKNOWN, True)]}),
    ("algorithm", {"algorithm": SHA256()}),
    ("public key", {"curve": ec.SECP256R1()}),
]


@pytest.mark.parametrize(("problem", "change"), BAD_AUTHORITIES)
def test_an_authority_that_owes_something_is_refused(problem: str, change: dict[str, Any]) -> None:
    p = pki()
    instance = authority("instance", p.zonal, 0, 1, **change)
    end = leaf(instance, algorithm=None)
    refused(3, problem, verify, end, p.root, p.regional, p.zonal, instance)


def test_a_path_length_counts_the_authorities_below() -> None:
    p = pki()
    zonal = authority("zonal", p.regional, 0, 6, start=EARLY)
    instance = authority("instance", zonal, 0, 1)
    refused(3, "path length", verify, leaf(instance), p.root, p.regional, zonal, instance)
    verify(leaf(zonal), p.root, p.regional, zonal)


def test_a_leaf_cannot_issue() -> None:
    p = pki()
    refused(3, "constraints", verify, leaf(p.leaf), p.root, p.regional, p.zonal, p.instance, p.leaf)


@pytest.mark.parametrize("order", ["0132", "0312", "3210", "013", "0123123", "00123", "123", "1023"])
def test_order_gaps_and_repeats_are_refused(order: str) -> None:
    p = pki()
    holders = [(p.root, p.regional, p.zonal, p.instance)[int(digit)] for digit in order]
    refused(3, "", verify, p.leaf, *holders)


def test_a_forged_issuer_of_the_same_name_is_refused() -> None:
    p = pki()
    forged = authority("instance", authority("zonal", p.regional, 1, 6), 0, 1)
    refused(3, "did not sign", verify, leaf(forged), p.root, p.regional, p.zonal, p.instance)


def test_a_root_of_the_same_name_is_not_the_pinned_one() -> None:
    p = pki()
    false = authority("aws.nitro-enclaves", None, None, 10_000, start=EARLY)
    regional = authority("regional", false, 2, 20, start=EARLY)
    refused(3, "not the pinned root", verify, leaf(regional), false, regional)
    refused(3, "did not sign", verify, leaf(regional), p.root, regional)


def test_the_leaf_names_its_module() -> None:
    refused(3, "common name", verify, pki().leaf, module_id="i-0ffffffffffffffff-enc0fffffffffffffff")


NO_REGIONS = ["", ".aws", ".eu-west-1", ".eu-west-1.aws.example", "..aws", ".EU-WEST-1.aws"]
NO_REGIONS += [".eu.aws", ".e-west-1.aws", ".eu-.aws", ".eu--west.aws", ".eu1-west-1.aws", ".eu-west-1.aws\n"]
REGIONS = [".eu-west-1.aws", ".us-gov-east-1.aws", ".eusc-de-east-1.aws", ".eu-1.aws"]


def in_region(name: str) -> Holder:
    extensions = [CONSTRAINTS, SIGNS]
    return kit.certify(kit.MODULE_ID + name, pki().instance, lifetime=timedelta(hours=3), extensions=extensions)


@pytest.mark.parametrize("name", NO_REGIONS)
def test_the_leafs_name_ends_in_a_region_of_aws(name: str) -> None:
    refused(3, "common name", verify, in_region(name))


@pytest.mark.parametrize("name", REGIONS)
def test_a_region_is_letters_and_then_groups_behind_hyphens(name: str) -> None:
    verify(in_region(name))


def test_a_cache_forgives_nothing_that_a_clock_changes() -> None:
    cache, p = LinkCache(), pki()
    verify(p.leaf, cache=cache)
    late = At(instant=p.leaf.certificate.not_valid_after_utc + timedelta(seconds=1))
    refused(3, "leaf: not valid", verify, p.leaf, time=late, cache=cache)


def test_an_ancestors_expiry_is_found_behind_a_younger_leaf_in_the_cache() -> None:
    p, cache = pki(), LinkCache()
    zonal = authority("zonal", p.regional, 1, 0.01, start=kit.SIGNED_AT - timedelta(minutes=10))
    instance = authority("instance", zonal, 0, 1)
    end, path = leaf(instance), (p.root, p.regional, zonal, instance)
    verify(end, *path, cache=cache)
    late = At(instant=zonal.certificate.not_valid_after_utc + timedelta(seconds=1))
    refused(3, "cabundle[2]: not valid", verify, end, *path, time=late, cache=cache)


def test_a_cache_keeps_no_bad_link_and_stays_small() -> None:
    p, cache = pki(), LinkCache(max_links=1)
    forged = authority("instance", authority("zonal", p.regional, 1, 6), 0, 1)
    for _ in range(2):
        refused(3, "did not sign", verify, leaf(forged), p.root, p.regional, p.zonal, p.instance, cache=cache)
    verify(p.leaf, cache=cache)
    assert len(cache._good) == 1
    with pytest.raises(ValueError, match="at least 1"):
        LinkCache(max_links=0)


def test_the_ends_of_validity_are_inclusive() -> None:
    certificate = pki().leaf.certificate
    for instant in (certificate.not_valid_before_utc, certificate.not_valid_after_utc):
        verify(pki().leaf, time=At(instant=instant))
    refused(3, "", verify, pki().leaf, time=At(instant=certificate.not_valid_before_utc - timedelta(microseconds=1)))
    refused(3, "", verify, pki().leaf, time=At(instant=certificate.not_valid_after_utc + timedelta(microseconds=1)))


def test_a_clock_that_lags_within_the_skew_finds_a_new_leaf_valid() -> None:
    p = pki()
    end = leaf(p.instance, start=kit.SIGNED_AT.replace(microsecond=0))
    lagging = kit.SIGNED_AT - timedelta(minutes=2)
    verify(end, time=Live(now=lagging))
    refused(3, "not valid", verify, end, time=Live(now=lagging, skew=timedelta(minutes=1)))


def test_aws_root_is_pinned_by_its_bytes_and_takes_no_arguments() -> None:
    assert hashlib.sha256(AWS_ROOT.der).hexdigest() == AWS_ROOT_SHA256
    assert AWS_ROOT_SHA256 == "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
    with pytest.raises(TypeError):
        AwsRoot(b"")  # type: ignore[call-arg]
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        AWS_ROOT.der = b""  # type: ignore[misc]


def test_a_document_of_a_test_pki_is_refused_unless_its_root_is_asked_for_by_name() -> None:
    refused(3, "not the pinned root", verify_document, kit.document(), time=Archive())


@pytest.mark.parametrize(
    "der", [b"", b"nonsense", kit.pki().leaf.der, kit.pki().regional.der, kit.pki().root.der + b"\0"]
)
def test_a_test_root_is_one_self_signed_authority(der: bytes) -> None:
    with pytest.raises(PolicyError):
        TestPkiRoot(der)


def test_aws_root_is_no_test_root() -> None:
    with pytest.raises(PolicyError, match="AWS_ROOT"):
        TestPkiRoot(AWS_ROOT.der)


@pytest.mark.parametrize("time", [Live, lambda now: At(instant=now)], ids=["live", "at"])
def test_an_instant_without_a_zone_is_no_instant(time: Any) -> None:
    naive = kit.SIGNED_AT.replace(tzinfo=None)
    with pytest.raises(PolicyError, match="time zone"):
        time(now=naive) if time is Live else time(naive)


def test_a_live_time_needs_a_positive_age_and_no_negative_skew() -> None:
    for change in ({"max_age": timedelta(0)}, {"skew": timedelta(seconds=-1)}):
        with pytest.raises(PolicyError):
            Live(now=kit.SIGNED_AT, **change)
