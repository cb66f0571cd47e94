"""Policies: what cannot be built, and the TOML they are loaded from."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import verifier_kit as kit
from hypothesis import given
from hypothesis import strategies as st
from verifier_cases import RELEASE, policy

from tytle_verifier import Policy, PolicyError, Release, Request, TlsDemands, load_policy, load_request

PCRS = {i: kit.PCRS[i] for i in (0, 1, 2)}

TOML = f"""
service = "vies"
urls = ["https://ec.europa.eu/taxation_customs/vies/*"]
methods = ["GET", "POST"]
modes = ["document", "batch"]
require_challenge = true
max_age_seconds = 120
sealed = "required"

[tls]
versions = ["TLSv1.3"]
spki = ["{"5" * 64}"]
plain_http_hosts = ["www.sicae.pt"]

[pcrs]
pcr3 = ["{"13" * 48}", "{"33" * 48}"]

[[releases]]
commit = "{kit.COMMIT}"
pcr0 = "{"10" * 48}"
pcr1 = "{"11" * 48}"
pcr2 = "{"12" * 48}"
pcr16 = "{"16" * 48}"
manifest = "{"ab" * 32}"
not_before = 2026-01-01T00:00:00Z
not_after = 2026-12-31T23:59:59+01:00

[[releases]]
commit = "{"1" * 64}"
pcr0 = "{"20" * 48}"
pcr1 = "{"21" * 48}"
pcr2 = "{"22" * 48}"
revoked = true
"""


def test_a_policy_file_holds_everything_a_policy_can() -> None:
    first = Release(
        commit=kit.COMMIT,
        pcrs={**PCRS, 16: b"\x16" * 48},
        manifest=b"\xab" * 32,
        not_before=datetime(2026, 1, 1, tzinfo=UTC),
        not_after=datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC),
    )
    second = Release(commit="1" * 64, pcrs={0: b"\x20" * 48, 1: b"\x21" * 48, 2: b"\x22" * 48}, revoked=True)
    assert load_policy(TOML.encode()) == Policy(
        service="vies",
        releases=(first, second),
        pcrs={3: frozenset({b"\x13" * 48, b"\x33" * 48})},
        urls=("https://ec.europa.eu/taxation_customs/vies/*",),
        methods=frozenset({"GET", "POST"}),
        modes=frozenset({"document", "batch"}),
        require_challenge=True,
        max_age=timedelta(seconds=120),
        sealed="required",
        tls=TlsDemands(
            versions=frozenset({"TLSv1.3"}),
            spki=frozenset({b"\x55" * 32}),
            plain_http_hosts=frozenset({"www.sicae.pt"}),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('service = "vies"', ""),
        ('service = "vies"', 'service = ""'),
        ('service = "vies"', "service = 1"),
        ('service = "vies"', 'service = "vies"\nsurprise = 1'),
        ("[[releases]]", "[[release]]"),
        ("urls = [", "urls = [] #"),
        ('urls = ["https://ec.europa.eu/taxation_customs/vies/*"]', 'urls = ["https://ec.europa.eu*"]'),
        ('urls = ["https://ec.europa.eu/taxation_customs/vies/*"]', 'urls = ["*"]'),
        ('urls = ["https://ec.europa.eu/taxation_customs/vies/*"]', 'urls = ["https://*.europa.eu/x"]'),
        ('urls = ["https://ec.europa.eu/taxation_customs/vies/*"]', 'urls = ["https://ec.europa.eu/*/x"]'),
        ('methods = ["GET", "POST"]', "methods = []"),
        ('methods = ["GET", "POST"]', "methods = [1]"),
        ('modes = ["document", "batch"]', "modes = []"),
        ('modes = ["document", "batch"]', 'modes = "document"'),
        ('modes = ["document", "batch"]', 'modes = ["document", 1]'),
        ('modes = ["document", "batch"]', 'modes = ["Document"]'),
        ("require_challenge = true", "require_challenge = 1"),
        ("max_age_seconds = 120", "max_age_seconds = 0"),
        ("max_age_seconds = 120", "max_age_seconds = -1"),
        ("max_age_seconds = 120", "max_age_seconds = 99999999999999999999"),
        ("max_age_seconds = 120", "max_age_seconds = 1.5"),
        ("max_age_seconds = 120", "max_age_seconds = true"),
        ('sealed = "required"', 'sealed = "Required"'),
        ('sealed = "required"', 'sealed = ""'),
        ('sealed = "required"', "sealed = true"),
        ('sealed = "required"', 'sealed = ["required"]'),
        ('versions = ["TLSv1.3"]', "versions = []"),
        ('versions = ["TLSv1.3"]', 'versions = ["TLSv1.1"]'),
        ('versions = ["TLSv1.3"]', "verify = false"),
        (f'spki = ["{"5" * 64}"]', 'spki = ["55"]'),
        (f'spki = ["{"5" * 64}"]', "spki = []"),
        ("[pcrs]", "[pcrs]\npcr32 = []"),
        ("[pcrs]", "[pcrs]\nother = []"),
        ("[pcrs]", "[pcrs]\npcr4 = []"),
        ("[pcrs]", '[pcrs]\npcr4 = ["00"]'),
        (f'commit = "{kit.COMMIT}"', 'commit = "main"'),
        (f'commit = "{kit.COMMIT}"', ""),
        (f'pcr0 = "{"10" * 48}"', ""),
        (f'pcr1 = "{"11" * 48}"', ""),
        (f'pcr2 = "{"12" * 48}"', ""),
        (f'pcr0 = "{"10" * 48}"', f'pcr0 = "{"00" * 48}"'),
        (f'pcr1 = "{"11" * 48}"', f'pcr1 = "{"00" * 48}"'),
        (f'pcr0 = "{"10" * 48}"', f'pcr0 = "{"10" * 32}"'),
        (f'pcr0 = "{"10" * 48}"', f'pcr0 = "{"AB" * 48}"'),
        (f'pcr0 = "{"10" * 48}"', f'pcr0 = " {"10" * 48}"'),
        (f'pcr0 = "{"10" * 48}"', "pcr0 = 1"),
        (f'manifest = "{"ab" * 32}"', 'manifest = "ab"'),
        ("not_before = 2026-01-01T00:00:00Z", "not_before = 2026-01-01T00:00:00"),
        ("not_before = 2026-01-01T00:00:00Z", "not_before = 2026-01-01"),
        ("not_before = 2026-01-01T00:00:00Z", 'not_before = "2026-01-01T00:00:00Z"'),
        ("revoked = true", 'revoked = "yes"'),
        ("revoked = true", "retired = true"),
        ("revoked = true", "revoked = true\nrevoked = false"),
    ],
)
def test_what_a_policy_file_gets_wrong_is_an_error(old: str, new: str) -> None:
    assert old in TOML
    with pytest.raises(PolicyError):
        load_policy(TOML.replace(old, new).encode())


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"service", b'service = "vies"', b"[", b"#" * 1_048_577, b"a=" + b"[" * 9999]
)
def test_what_is_no_policy_file_is_an_error(data: bytes) -> None:
    with pytest.raises(PolicyError):
        load_policy(data)


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_any_bytes_give_a_policy_or_an_error_of_this_room(data: bytes) -> None:
    with pytest.raises(PolicyError):
        load_policy(data)


@pytest.mark.parametrize(
    "change",
    [
        {"service": ""},
        {"releases": ()},
        {"pcrs": {3: frozenset()}},
        {"pcrs": {32: frozenset({bytes(48)})}},
        {"pcrs": {3: frozenset({bytes(32)})}},
        {"urls": ("https://ec.europa.eu",)},
        {"urls": ("ftp://ec.europa.eu/",)},
        {"challenge": bytes(15)},
        {"challenge": bytes(65)},
        {"modes": frozenset({"none"})},
        {"modes": "session"},
        {"max_age": timedelta(0)},
        {"sealed": "always"},
    ],
)
def test_a_policy_that_is_empty_or_malformed_cannot_be_built(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        policy(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"commit": "HEAD"},
        {"pcrs": {}},
        {"pcrs": {0: b"\1" * 48}},
        {"pcrs": {**PCRS, 2: bytes(48)}},
        {"pcrs": {**PCRS, 2: b"\1" * 32}},
        {"manifest": b""},
        {"not_before": datetime(2026, 1, 1)},
    ],
)
def test_a_release_that_pins_too_little_cannot_be_built(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Release(**{"commit": kit.COMMIT, "pcrs": PCRS, **change})


def test_what_a_policy_was_built_from_cannot_change_it_later() -> None:
    pcrs = dict(PCRS)
    release = Release(commit=kit.COMMIT, pcrs=pcrs)
    pcrs[0] = b"\x66" * 48
    assert release.pcrs == RELEASE.pcrs


@pytest.mark.parametrize("versions", [frozenset(), frozenset({"SSLv3"}), frozenset({"TLSv1.3", "TLSv1.1"})])
def test_tls_demands_name_known_versions(versions: frozenset[str]) -> None:
    with pytest.raises(ValueError):
        TlsDemands(versions=versions)


REQUEST = b'{"id":"7","method":"POST","url":"https://a.example/","headers":{"B":"1","a":"2"},"body":"aGk=",'
REQUEST += b'"bodyEncoding":"base64","challenge":"MDEyMzQ1Njc4OWFiY2RlZg==","mode":"document","timeoutMs":1000}'


def test_a_request_is_read_as_it_was_sent() -> None:
    assert load_request(REQUEST) == Request(
        method="POST",
        url="https://a.example/",
        headers=(("B", "1"), ("a", "2")),
        body=b"hi",
        challenge=b"0123456789abcdef",
        id="7",
    )
    bare = Request(method="GET", url="https://a.example/")
    assert load_request(b'{"method":"GET","url":"https://a.example/"}') == bare


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"method":"POST",', b""),
        (b'"method":"POST"', b'"method":"POST","method":"GET"'),
        (b'"method":"POST"', b'"method":1'),
        (b'"id":"7"', b'"surprise":"7"'),
        (b'"B":"1"', b'"B":1'),
        (b'"B":"1"', b'"a":"1"'),
        (b'"aGk="', b'"aGk"'),
        (b'"aGk="', b'{"a":1}'),
        (b'"base64"', b'"hex"'),
        (b"MDEyMzQ1Njc4OWFiY2RlZg==", b"MDEy"),
        (b"1000}", b"NaN}"),
        (b"1000}", b"1000} x"),
    ],
)
def test_a_malformed_request_is_the_callers_error(old: bytes, new: bytes) -> None:
    assert old in REQUEST
    with pytest.raises(PolicyError):
        load_request(REQUEST.replace(old, new))
