"""The predecessor's formulas [H], against vectors that its own code produced (nonce.json, generic_handler.json)."""

import hashlib

import pytest

from devstack.soft_nsm import SoftNsm
from enclave_worker import legacy
from nsm import client, requests
from tests.corpora import predecessor_vectors

HASHES = [v for v in predecessor_vectors("nonce") if v["name"].startswith("head: ") and "rawBody" in v["input"]]
# A timestamp here is always a whole number of seconds, so the vectors with 1700000000.5 and 1e21 are not ours.
NONCES = [
    v
    for v in predecessor_vectors("nonce")
    if v["name"].startswith("computeNonce")
    and isinstance(v["input"]["timestamp"], int)
    and v["input"]["timestamp"] < 2**53
]

# JavaScript hashed the text "undefined" for absent headers; here they are an empty object. Row H1 of ARCHITECTURE.md.
DEVIATIONS = {"head: undefined headers": "H1"}


@pytest.mark.parametrize("vector", HASHES, ids=lambda vector: vector["name"])
def test_hashes_are_those_of_the_predecessor(vector: dict) -> None:  # type: ignore[type-arg]
    given, expected = vector["input"], vector["expected"]
    assert hashlib.sha256(given["rawBody"].encode()).hexdigest() == expected["responseHash"]
    assert (
        legacy.nonce(expected["responseHash"], given["apiEndpoint"], given["timestampMs"] // 1000) == expected["nonce"]
    )
    ours = legacy.request_hash(given["url"], given["apiMethod"], given.get("requestHeaders", {}).items())
    if vector["name"] in DEVIATIONS:
        assert ours != expected["requestHash"]
    else:
        assert ours == expected["requestHash"]


@pytest.mark.parametrize("vector", NONCES, ids=lambda vector: vector["name"])
def test_nonces_of_whole_timestamps_are_those_of_the_predecessor(vector: dict) -> None:  # type: ignore[type-arg]
    given = vector["input"]
    ours = legacy.nonce(given["responseHash"], given["apiEndpoint"], given["timestamp"])
    assert ours == vector["expected"]["nonce"]


def test_the_specifications_fixed_example() -> None:
    endpoint = "api.service.hmrc.gov.uk/organisations/vat/check-vat-number/lookup/553557881"
    body = hashlib.sha256(b'{"target":{"name":"X"}}').hexdigest()
    assert body == "2f8bdc88cf9fce7bcb0f8b3cd327978d7c7db4c5bfcd3031522843558709b76d"
    assert (
        legacy.nonce(body, endpoint, 1735689600) == "281e7840e77592eac7bef3acb1a8f5752a0b149dda027646e0748a4170296089"
    )
    headers = [("Accept", "application/json")]
    expected = "72d7429f3efeb532f29809dc3ef31b7479bed605e3b9187eb67bf2e33b388d32"
    assert legacy.request_hash(f"https://{endpoint}", "GET", headers) == expected


def test_the_initial_releases_collision_is_gone() -> None:
    one = legacy.nonce("abc", "h/a1", 735689600)
    other = legacy.nonce("abc", "h/a", 1735689600)
    assert one != other
    assert hashlib.sha256(b"abch/a1735689600").digest() == hashlib.sha256(b"abc" + b"h/a1" + b"735689600").digest()


def test_the_request_to_the_nsm_is_that_of_the_predecessor_but_for_user_data() -> None:
    sent = []

    def record(request: bytes) -> bytes:
        sent.append(request)
        return SoftNsm().exchange(request)

    nonce, user_data = bytes(range(32)), b"\xcd" * 32
    client.attest(record, nonce=nonce, user_data=user_data)
    expected = "a16b4174746573746174696f6ea3656e6f6e63655820" + nonce.hex()
    expected += "69757365725f646174615820" + user_data.hex() + "6a7075626c69635f6b6579f6"
    assert sent[0].hex() == expected
    assert requests.encode(requests.Attestation(nonce=nonce, user_data=user_data)).hex() == expected
