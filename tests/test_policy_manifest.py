"""Manifests: one mutant per rule of the format, and garbage."""

import dataclasses
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wire.fields
from policy.errors import ManifestError
from policy.manifest import (
    MAX_LINE_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_REQUEST_BODY_BYTES,
    MAX_RESPONSE_BODY_BYTES,
    Manifest,
    load,
)

GOOD = """\
name = "example"
cid = 16
port = 5000
ecr_tag = "example"
pcr0_parameter = "/tytle/{env}/enclave/example/pcr0"

[[upstreams]]
host = "api.example"
proxy_port = 8443
tls = true
secret_headers = ["x-token"]

[[upstreams.rules]]
method = "GET"
path = "/items/{id:digits:1-9}"
query = ["full"]
query_optional = ["page="]
headers = ["x-token"]
max_response_bytes = 1000

[[upstreams.rules]]
method = "POST"
path = "/items"
media_types = ["application/json"]
max_request_bytes = 500
max_response_bytes = 1000

[[upstreams]]
host = "plain.example"
proxy_port = 8444
tls = false

[[upstreams.rules]]
method = "HEAD"
path = "/"
max_response_bytes = 1
"""

TWIN = '[[upstreams.rules]]\nmethod = "HEAD"\npath = "/"\nmax_response_bytes = 2\n'

# (text replaced, by what, the place that the refusal names)
MUTANTS = [
    ('name = "example"\n', "", "name"),
    ('name = "example"', "name = 1", "name"),
    ('name = "example"', 'name = ""', "name"),
    ('name = "example"', 'name = "Example"', "name"),
    ('name = "example"', 'name = "ex--ample"', "name"),
    ('name = "example"', 'name = "../example"', "name"),
    ('name = "example"', 'name = "example\\n"', "name"),
    ('name = "example"', f'name = "{"e" * 33}"', "name"),
    ('name = "example"', 'name = "other"', "pcr0_parameter"),
    ("port = 5000\n", "port = 5000\nmodes = []\n", "modes"),
    ("port = 5000\n", 'port = 5000\nmodes = "session"\n', "modes"),
    ("port = 5000\n", 'port = 5000\nmodes = ["none"]\n', "modes"),
    ("port = 5000\n", 'port = 5000\nmodes = ["Session"]\n', "modes"),
    ("port = 5000\n", 'port = 5000\nmodes = ["session", "session"]\n', "modes"),
    ("port = 5000\n", "port = 5000\nmodes = [1]\n", "modes[0]"),
    ("cid = 16\n", "", "cid"),
    ("cid = 16", 'cid = "16"', "cid"),
    ("cid = 16", "cid = 16.0", "cid"),
    ("cid = 16", "cid = true", "cid"),
    ("cid = 16", "cid = 3", "cid"),
    ("cid = 16", "cid = -1", "cid"),
    ("cid = 16", "cid = 0xFFFFFFFF", "cid"),
    ("port = 5000\n", "", "port"),
    ("port = 5000", "port = 0", "port"),
    ("port = 5000", "port = 65536", "port"),
    ("port = 5000", "port = false", "port"),
    ('ecr_tag = "example"\n', "", "ecr_tag"),
    ('ecr_tag = "example"', 'ecr_tag = "ex:ample"', "ecr_tag"),
    ('ecr_tag = "example"', 'ecr_tag = ".example"', "ecr_tag"),
    ('ecr_tag = "example"', f'ecr_tag = "{"e" * 129}"', "ecr_tag"),
    ("{env}/enclave/example", "prod/enclave/example", "pcr0_parameter"),
    ("cid = 16", 'cid = 16\nsealed = "yes"', "sealed"),
    ("cid = 16", "cid = 16\noperations = []", "operations"),
    ("cid = 16", 'cid = 16\n"a\\nb" = 1', "'a\\nb'"),
    ('host = "api.example"\n', "", "upstreams[0].host"),
    ('host = "api.example"', 'host = "API.example"', "upstreams[0].host"),
    ('host = "api.example"', 'host = "api.example."', "upstreams[0].host"),
    ('host = "api.example"', 'host = "api_.example"', "upstreams[0].host"),
    ('host = "api.example"', 'host = "127.0.0.1"', "upstreams[0].host"),
    ('host = "api.example"', 'host = "::1"', "upstreams[0].host"),
    ('host = "api.example"', 'host = "api.example:443"', "upstreams[0].host"),
    ('host = "api.example"', 'host = "*.example"', "upstreams[0].host"),
    ('host = "api.example"', 'host = "\u00e4pi.example"', "upstreams[0].host"),
    ('host = "api.example"', 'host = ""', "upstreams[0].host"),
    ('host = "api.example"', 'host = ["api.example"]', "upstreams[0].host"),
    ('host = "api.example"', 'host = "plain.example"', "upstreams"),
    ("proxy_port = 8443\n", "", "upstreams[0].proxy_port"),
    ("proxy_port = 8443", "proxy_port = 0", "upstreams[0].proxy_port"),
    ("proxy_port = 8443", "proxy_port = 70000", "upstreams[0].proxy_port"),
    ("proxy_port = 8443", "proxy_port = 8444", "upstreams"),
    ("tls = true\n", "", "upstreams[0].tls"),
    ("tls = true", "tls = 1", "upstreams[0].tls"),
    ("tls = true", 'tls = "true"', "upstreams[0].tls"),
    ("tls = false\n", "tls = false\nport = 80\n", "upstreams[1].port"),
    ('secret_headers = ["x-token"]', 'secret_headers = ["X-Token"]', "upstreams[0].secret_headers"),
    ('secret_headers = ["x-token"]', 'secret_headers = "x-token"', "upstreams[0].secret_headers"),
    ('secret_headers = ["x-token"]', 'secret_headers = ["x token"]', "upstreams[0].secret_headers"),
    ('method = "GET"\n', "", "upstreams[0].rules[0].method"),
    ('method = "GET"', 'method = "get"', "upstreams[0].rules[0].method"),
    ('method = "GET"', 'method = "*"\nmethods = []', "upstreams[0].rules[0].methods"),
    ('method = "GET"', 'method = "CONNECT"', "upstreams[0].rules[0].method"),
    ('path = "/items"\n', "", "upstreams[0].rules[1].path"),
    ('path = "/items"', 'path = "items"', "upstreams[0].rules[1].path"),
    ('path = "/items"', 'path = "/items/*"', "upstreams[0].rules[1].path"),
    ('path = "/items"', 'path = "/{id:any:1}"', "upstreams[0].rules[1].path"),
    ('query = ["full"]', 'query = "full"', "upstreams[0].rules[0].query"),
    ('query = ["full"]', 'query = ["full", "full"]', "upstreams[0].rules[0].query"),
    ('query = ["full"]', 'query = ["a=b"]', "upstreams[0].rules[0].query"),
    ('query = ["full"]', "query = [1]", "upstreams[0].rules[0].query[0]"),
    ('query = ["full"]', 'query = ["page="]', "upstreams[0].rules[0].query_optional"),
    ('query_optional = ["page="]', "query_optional = [[]]", "upstreams[0].rules[0].query_optional[0]"),
    ('\nheaders = ["x-token"]', '\nheaders = ["X-Token"]', "upstreams[0].rules[0].headers"),
    ('\nheaders = ["x-token"]', '\nheaders = ["host"]', "upstreams[0].rules[0].headers"),
    ('\nheaders = ["x-token"]', '\nheaders = ["proxy-x"]', "upstreams[0].rules[0].headers"),
    ('\nheaders = ["x-token"]', '\nheaders = ["content-type"]', "upstreams[0].rules[0].headers"),
    ('\nheaders = ["x-token"]', '\nheaders = ["*"]\nbody = true', "upstreams[0].rules[0].body"),
    ('\nheaders = ["x-token"]', '\nmedia_types = ["a/b"]\nmax_request_bytes = 1', "upstreams[0].rules[0].media_types"),
    ('media_types = ["application/json"]\n', "", "upstreams[0].rules[1].max_request_bytes"),
    ('media_types = ["application/json"]', "media_types = []", "upstreams[0].rules[1].max_request_bytes"),
    ('["application/json"]', '["application/JSON"]', "upstreams[0].rules[1].media_types"),
    ('["application/json"]', '["application/json;charset=utf-8"]', "upstreams[0].rules[1].media_types"),
    ('["application/json"]', '["json"]', "upstreams[0].rules[1].media_types"),
    ("max_request_bytes = 500\n", "", "upstreams[0].rules[1].max_request_bytes"),
    ("max_request_bytes = 500", "max_request_bytes = 0", "upstreams[0].rules[1].max_request_bytes"),
    ("bytes = 500", f"bytes = {MAX_REQUEST_BODY_BYTES + 1}", "upstreams[0].rules[1].max_request_bytes"),
    ("max_response_bytes = 1\n", "", "upstreams[1].rules[0].max_response_bytes"),
    ("max_response_bytes = 1\n", "max_response_bytes = 0\n", "upstreams[1].rules[0].max_response_bytes"),
    ("_bytes = 1\n", f"_bytes = {MAX_RESPONSE_BODY_BYTES + 1}\n", "upstreams[1].rules[0].max_response_bytes"),
    ("_bytes = 1\n", f"_bytes = 1\n{TWIN}", "upstreams[1].rules"),
    ("[[upstreams.rules]]", "[[upstreams.rule]]", "upstreams[0].rule"),
]


@pytest.mark.parametrize(("old", "new", "at"), MUTANTS)
def test_a_manifest_with_one_fault_is_refused_at_its_place(old: str, new: str, at: str) -> None:
    mutant = GOOD.replace(old, new)
    assert mutant != GOOD
    with pytest.raises(ManifestError) as caught:
        load(mutant.encode())
    assert caught.value.at == at


HEAD = GOOD[: GOOD.index("[[upstreams]]")]
UPSTREAM = '[[upstreams]]\nhost = "api.example"\nproxy_port = 1\ntls = true\n'


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", "name"),
        (HEAD, "upstreams"),
        (HEAD + "upstreams = []", "upstreams"),
        (HEAD + "upstreams = {}", "upstreams"),
        (HEAD + "upstreams = [1]", "upstreams[0]"),
        (HEAD + UPSTREAM, "upstreams[0].rules"),
        (HEAD + UPSTREAM + "rules = []", "upstreams[0].rules"),
        (HEAD + UPSTREAM + "rules = {}", "upstreams[0].rules"),
        (HEAD + UPSTREAM + "rules = ['GET /']", "upstreams[0].rules[0]"),
        (HEAD + UPSTREAM + "rules = [{}]", "upstreams[0].rules[0].method"),
        (HEAD + HEAD, ""),
        ("a = ", ""),
        ("a = " + "[" * 500, ""),
        ("a = [\n" * 5000, ""),
        ("a = 2024-02-31", ""),
        ("a." * 30000 + "a = 1", ""),
        ("#\n" * (MAX_MANIFEST_BYTES // 2) + "\n", ""),
        (GOOD + "#" * (MAX_LINE_BYTES + 1), ""),
        ("\ufeff" + GOOD, ""),
    ],
)
def test_a_manifest_that_lacks_its_parts_or_is_no_toml_is_refused(text: str, at: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load(text.encode())
    assert caught.value.at == at


def test_bytes_that_are_no_utf_8_are_refused() -> None:
    with pytest.raises(ManifestError, match="not TOML"):
        load(GOOD.encode() + b"# \xff")


def test_a_good_manifest_is_read_into_frozen_values() -> None:
    manifest = load(GOOD.encode())
    assert (manifest.name, manifest.cid, manifest.port, manifest.ecr_tag) == ("example", 16, 5000, "example")
    assert manifest.pcr0_parameter == "/tytle/{env}/enclave/example/pcr0"
    api, plain = manifest.upstreams
    assert (api.host, api.proxy_port, api.tls, sorted(api.secret_headers)) == ("api.example", 8443, True, ["x-token"])
    assert (plain.host, plain.proxy_port, plain.tls, sorted(plain.secret_headers)) == ("plain.example", 8444, False, [])
    get, post = api.rules
    assert (get.method, get.path.text) == ("GET", "/items/{id:digits:1-9}")
    assert (sorted(get.query), sorted(get.query_optional), sorted(get.headers)) == (["full"], ["page="], ["x-token"])
    assert (sorted(get.media_types), get.max_request_bytes, get.max_response_bytes) == ([], 0, 1000)
    assert (sorted(post.headers), sorted(post.media_types), post.max_request_bytes) == ([], ["application/json"], 500)
    assert hash(manifest) == hash(load(GOOD.encode()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest.cid = 17  # type: ignore[misc]


def test_a_manifest_without_modes_allows_all_that_the_wire_knows_and_one_with_them_those() -> None:
    assert load(GOOD.encode()).modes == frozenset(wire.fields.MODES)
    for mode in wire.fields.MODES:
        assert load(f'modes = ["{mode}"]\n{GOOD}'.encode()).modes == {mode}


def test_the_digest_is_of_the_bytes_as_given() -> None:
    for data in (GOOD.encode(), GOOD.encode() + b"# a comment counts\n", GOOD.replace("\n", "\r\n").encode()):
        assert load(data).digest == sha256(data).digest()


def test_limits_are_inclusive() -> None:
    text = GOOD.replace("cid = 16", "cid = 4").replace("port = 5000", "port = 65535", 1)
    text = text.replace("bytes = 500", f"bytes = {MAX_REQUEST_BODY_BYTES}")
    text = text.replace("bytes = 1\n", f"bytes = {MAX_RESPONSE_BODY_BYTES}\n")
    manifest = load(text.encode())
    assert (manifest.cid, manifest.port) == (4, 65535)
    assert manifest.upstreams[0].rules[1].max_request_bytes == 8 * 1024 * 1024
    assert load((text + "#" * MAX_LINE_BYTES).encode()).cid == 4
    assert load((text + "#\n" * ((MAX_MANIFEST_BYTES - len(text)) // 2)).encode()).cid == 4
    assert load(text.replace("cid = 4", f"cid = {2**32 - 2}").encode()).cid == 2**32 - 2


def test_base64_of_the_largest_body_leaves_a_quarter_of_a_frame() -> None:
    for ceiling in (MAX_REQUEST_BODY_BYTES, MAX_RESPONSE_BODY_BYTES):
        assert -(-ceiling // 3) * 4 < 16 * 1024 * 1024 * 3 // 4


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_manifest_or_this_rooms_error(data: bytes) -> None:
    _load_or_refuse(data)


@given(
    st.integers(0, len(GOOD)),
    st.integers(0, 40),
    st.sampled_from(["", "[", "]", '"', "=", "\n", "1", "{}", "true", "\x00", "'", "é"]),
)
def test_any_edit_of_a_good_manifest_is_a_manifest_or_this_rooms_error(place: int, length: int, piece: str) -> None:
    _load_or_refuse((GOOD[:place] + piece + GOOD[place + length :]).encode())


def _load_or_refuse(data: bytes) -> None:
    try:
        manifest = load(data)
    except ManifestError:
        return
    assert isinstance(manifest, Manifest)
    assert manifest.digest == sha256(data).digest()
