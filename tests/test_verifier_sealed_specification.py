"""VERIFICATION.md, "Sealed requests", against the code: its example is computed, its tables and limits are compared."""

import json
import re
import textwrap
from pathlib import Path

import verifier_kit as kit
import verifier_sealed as theirs
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tytle_verifier import committed
from tytle_verifier.adapter.credentials import CREDENTIAL_HEADERS
from tytle_verifier.sealed import answer, container, identity, suite

HERE = Path(__file__).parent
TEXT = (HERE.parent / "VERIFICATION.md").read_text()
SECTION = TEXT.partition("\n## Sealed requests\n")[2].partition("\n## ")[0]
KEY = theirs.Key(
    MLKEM768PrivateKey.from_seed_bytes(bytes(range(64))), X25519PrivateKey.from_private_bytes(bytes(range(32)))
)


def lines(name: str, value: str) -> str:
    return textwrap.fill(f"{name:13} = {value}", 116, subsequent_indent=" " * 16)


def example() -> str:
    """The worked example, from the verifier's formulas; the kit's independent ones must agree."""
    key = suite.public_key(KEY.public)
    held = json.loads((HERE / "verifier_recorded" / "sealed.json").read_text())
    made = theirs.SealedEnclave(key=KEY, boot=bytes(16), until_ms=1_772_370_005_123).identity()
    said = kit.cbor({**made, "manifest": kit.sha256(b"manifest"), "report": []})
    assert identity.decode(said).key == KEY.public
    user_data = kit.cbor({"profile": identity.PROFILE, "identity": kit.sha256(said), "key": key.id})
    request, answered = suite.request_info("vies", key.id), suite.answer_info("vies", key.id, b"sealed bytes")
    assert request == theirs.info("request", "vies", KEY.id)
    assert answered == theirs.info("answer", "vies", KEY.id, b"sealed bytes")
    sizes = [100, 4096, 4097, 10_000, 1_000_000, 7_340_032]
    buckets = [f"{size} -> {container.bucket_bytes(size, container.REQUEST.least)}" for size in sizes]
    assert [container.bucket_bytes(size, 4096) for size in sizes] == [theirs.bucket(size, 4096) for size in sizes]
    made_of = container.fill(b"{}", container.REQUEST)
    return "".join(
        line + "\n"
        for line in (
            lines("key", "of the ML-KEM-768 seed 00 01 .. 3f and the X25519 private key 00 01 .. 1f"),
            lines("key id", key.id.hex()),
            lines("identity", f"{len(said)} bytes, SHA-256 {kit.sha256(said).hex()}"),
            lines(
                "  of",
                'service "vies", manifest SHA-256 of "manifest", boot 16 zero bytes, report [], until 1772370005123',
            ),
            lines("user_data", user_data.hex()),
            lines("info, request", request.hex()),
            lines("info, answer", f'{answered.hex()}   to the sealed request "sealed bytes"'),
            lines("bucket", ", ".join(buckets) + "   (least 4096)"),
            lines("container", f"{made_of[:6].hex()} and {len(made_of) - 6} zero bytes, of {{}} as a request"),
            lines("recorded", f"keyId {held['enclaveKey']['keyId'][:16]}..., reply {len(held['reply'])} bytes"),
        )
    )


def test_the_worked_example_is_what_the_code_computes() -> None:
    assert example() in re.findall(r"^```text\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL), example()


def test_the_limits_are_those_of_the_code() -> None:
    sizes = (container.REQUEST, container.ANSWER)
    limits = [size for pair in sizes for size in (pair.least, pair.most)]
    limits += [identity.MAX_REPLY_BYTES, identity.MAX_IDENTITY_BYTES, committed.MAX_USER_DATA_BYTES, suite.KEY_BYTES]
    plain = SECTION.replace(" ", "")
    assert [limit for limit in limits if str(limit) not in plain] == []
    assert f'"{suite.NAME}"' in SECTION
    assert {identity.PROFILE, suite.PROFILE} <= set(re.findall(r"tytle/[a-z/-]+v1", SECTION))
    assert suite.OVERHEAD_BYTES == 1120 + 16


def test_the_table_of_headers_is_the_adapters() -> None:
    rows = re.findall(r"^\| (?:HTTP's own|API keys|tokens|others) \| (.*) \|$", SECTION, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)} == CREDENTIAL_HEADERS


def test_the_code_that_a_client_acts_upon_is_in_the_table_of_errors() -> None:
    codes = re.findall(r"^\| `(sealed\.[a-z-]+)` \| \d{3} \|", SECTION, re.MULTILINE)
    assert answer.UNKNOWN_KEY in codes
    assert len(codes) == 5
