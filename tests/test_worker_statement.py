"""Statements: whatever they say, their bytes are the deterministic encoding."""

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker import statement
from enclave_worker.statement import Circumstances, Identity, Result
from enclave_worker.upstream.exchange import PLAIN, Answer, Failure, Transport
from policy.headers import Header
from policy.manifest import load
from policy.rules import Allowed, decide

POLICY = load(
    b"""
name = "statement"
cid = 16
port = 5000
ecr_tag = "statement"
pcr0_parameter = "/tytle/{env}/enclave/statement/pcr0"
[[upstreams]]
host = "a.test"
proxy_port = 8443
tls = true
[[upstreams.rules]]
method = "GET"
path = "/"
headers = ["x-a", "x-b", "cookie"]
max_response_bytes = 1000
"""
)
TEXT = st.text(max_size=300)
DIGEST = st.binary(min_size=32, max_size=32)
NUMBER = st.integers(0, 2**64 - 1)
HEADERS = st.dictionaries(st.sampled_from(["X-A", "x-b", "Cookie"]), st.sampled_from(["", "v", "w" * 300]))
TRANSPORTS = st.builds(Transport, tls=TEXT, cipher=TEXT, certificate=DIGEST, spki=DIGEST) | st.just(PLAIN)
ANSWERS = st.builds(
    Answer,
    status=st.integers(200, 999),
    headers=st.lists(st.tuples(st.sampled_from([b"A", b"b"]), st.binary(max_size=300)), max_size=30).map(tuple),
    body=st.binary(max_size=300),
    sha256=DIGEST,
    framing=st.sampled_from(["content-length", "chunked", "close", "none"]),
    transport=TRANSPORTS,
    attempts=st.integers(1, 2),
)
FAILURES = st.builds(
    Failure,
    kind=st.sampled_from(["connect", "tls", "timeout", "truncated"]),
    detail=TEXT,
    transport=st.none() | TRANSPORTS,
    attempts=st.integers(1, 2),
)
VALUES = st.dictionaries(TEXT, TEXT | st.integers(-(2**53), 2**53) | st.booleans() | st.none(), max_size=30)
RESULTS = (
    st.none()
    | st.builds(Result, operation=TEXT, schema=TEXT, values=VALUES, fields=DIGEST)
    | st.builds(Result, operation=TEXT, schema=TEXT, error=TEXT)
)
IDENTITIES = st.builds(Identity, service=TEXT, manifest=DIGEST, boot=st.binary(min_size=16, max_size=16))
CIRCUMSTANCES = st.builds(
    Circumstances, id=TEXT, seq=NUMBER, time_ms=NUMBER, challenge=st.none() | st.binary(min_size=16, max_size=64)
)


def allowed(headers: dict[str, str]) -> Allowed:
    return decide(POLICY, url="https://a.test/", method="GET", headers=headers.items(), body=None)


EXCHANGES = st.lists(st.tuples(HEADERS.map(allowed), ANSWERS | FAILURES), min_size=1, max_size=3)


@given(IDENTITIES, CIRCUMSTANCES, EXCHANGES, RESULTS)
def test_a_statement_is_deterministic_cbor(
    identity: Identity,
    circumstances: Circumstances,
    exchanges: list[statement.Exchange],
    result: Result | None,
) -> None:
    encoded = statement.encode(identity, circumstances, exchanges, result)
    said = cbor2.loads(encoded)
    assert statement.deterministic(said) == encoded
    assert [each["request"]["body"]["length"] for each in said["exchanges"]] == [0] * len(exchanges)


@given(DIGEST, st.none() | DIGEST, st.integers(1, 10_000))
def test_what_is_signed_is_deterministic_cbor(root: bytes, fields: bytes | None, size: int) -> None:
    encoded = statement.user_data(root, fields, size=size)
    assert statement.deterministic(cbor2.loads(encoded)) == encoded


def test_a_secret_is_not_in_a_statement() -> None:
    asked = allowed({"Cookie": "secret=1", "X-A": "plain"})
    assert Header(name="Cookie", value="secret=1") in asked.headers
    failure = Failure(kind="connect", detail="", transport=None, attempts=1)
    encoded = statement.encode(
        Identity(service="s", manifest=b"m", boot=b"b"),
        Circumstances(id="i", seq=0, time_ms=1, challenge=None),
        [(asked, failure)],
    )
    assert b"plain" in encoded
    assert b"secret=1" not in encoded
