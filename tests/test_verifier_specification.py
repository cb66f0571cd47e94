"""VERIFICATION.md against the code: its example is computed, its commands are run, its tables are compared."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import verifier_kit as kit
from verifier_cases import policy, verify

import tytle_verifier
from tytle_verifier import cli, cose, inclusion, legacy, load_policy, parameters, session, statement, when
from tytle_verifier.answer import MAX_CLOCK_GAP_MS
from tytle_verifier.report import TITLES
from tytle_verifier.roots import AWS_ROOT_SHA256

TEXT = (Path(__file__).parent.parent / "VERIFICATION.md").read_text()
EXAMPLE = {
    "profile": "tytle/attested-fetch/v1",
    "service": "vies",
    "manifest": kit.sha256(b"manifest"),
    "id": "1",
    "boot": bytes(16),
    "seq": 0,
    "time": 1_772_366_405_083,
    "exchanges": [
        {
            "request": {
                "method": "GET",
                "url": "https://a.example/x?y=1",
                "headers": [["Accept", b"text/plain"], ["Authorization", None]],
                "body": kit.digest(b""),
            },
            "response": {"status": 200, "headers": [], "body": kit.digest(b"hello\n"), "framing": "content-length"},
            "upstream": {"tls": "TLSv1.3"},
            "attempts": 1,
        }
    ],
}


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """Return what stands below a heading; the commands of "Where PCR0 comes from" are run by tests/e2e."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def wrapped(name: str, value: str) -> str:
    return textwrap.fill(f"{name:13} = {value}", 116, subsequent_indent=" " * 16)


def example() -> str:
    """The worked example, from the verifier's formulas; the kit's independent ones must agree."""
    said = kit.cbor(EXAMPLE)
    sent = statement.decode(said).answer.request
    leaf = inclusion.leaf_hash(said)
    response = legacy.response_hash(b"hello\n")
    nonce = legacy.nonce(response, "a.example/x", 1_772_366_405)
    old = kit.legacy(EXAMPLE, b"hello\n")
    assert (response, legacy.request_hash(sent), nonce) == (old["responseHash"], old["requestHash"], old["nonce"])
    user_data = kit.cbor({"profile": statement.PROFILE, "root": leaf, "size": 1})
    lines = {
        "body": '"hello\\n"',
        "statement": said.hex(),
        "leaf": leaf.hex(),
        "user_data": user_data.hex(),
        "node": inclusion.node_hash(leaf, leaf).hex() + "   the root if the statement stood twice in a tree of two",
        "responseHash": response,
        "requestHash": legacy.request_hash(sent),
        "  of": 'https://a.example/x?y=1|GET|{"Accept":"text/plain"}',
        "apiEndpoint": "a.example/x",
        "timestamp": "1772366405",
        "nonce": nonce,
        "Sig_structure": cose.signed_bytes(b"payload").hex() + '   of the payload "payload"',
    }
    return "\n".join(wrapped(name, value) for name, value in lines.items()) + "\n"


def test_the_worked_example_is_what_the_code_computes() -> None:
    assert example() in blocks("text"), example()


def test_the_table_of_parameters_is_that_of_the_code() -> None:
    made = {}
    for operations, listed in re.findall(
        r"^\| (`[a-z_.]+\.[^|]*) \| ([^|]*) \|$", section("The ten steps"), re.MULTILINE
    ):
        cells = [re.findall("`([^`]+)`", cell) for cell in listed.split(" · ")]
        table = {name: tuple(values) for name, *values in cells}
        made |= dict.fromkeys(re.findall("`([^`]+)`", operations), table)
    assert made == parameters.OPERATIONS


def test_the_exit_codes_are_those_of_the_command() -> None:
    assert cli.EXIT_CODES in blocks("text"), cli.EXIT_CODES


def test_the_ten_steps_have_the_numbers_and_limits_of_the_code() -> None:
    assert re.findall(r"^\*\*([0-9]) ", TEXT, re.MULTILINE) == [str(number) for number in range(len(TITLES))]
    limits = [
        *(tytle_verifier.verify.MAX_DOCUMENT_BYTES, cose.MAX_PAYLOAD_BYTES, MAX_CLOCK_GAP_MS),
        *(when.DEFAULT_MAX_AGE.seconds, when.DEFAULT_SKEW.seconds),
        *(session.MAX_MESSAGE_BYTES, session.MAX_EARLY_MS),
    ]
    assert [limit for limit in limits if str(limit) not in TEXT and f"{limit:,}".replace(",", " ") not in TEXT] == []
    assert AWS_ROOT_SHA256 in TEXT
    assert tytle_verifier.document.MAX_TIMESTAMP_MS == 253402300799999


def test_what_a_session_signs_begins_as_the_formula_says() -> None:
    head, tail = b"\x84\x6aSignature1\x43\xa1\x01\x26\x40", cose.signed_bytes(b"payload", cose.ES256)
    assert (tail, "43 a10126" in TEXT) == (head + kit.cbor(b"payload"), True)
    assert f"`{cose.ES256.protected.hex()}`" in section("The ten steps")


def test_the_example_policy_loads() -> None:
    (example_policy,) = blocks("toml")
    loaded = load_policy(example_policy.encode())
    assert loaded.releases[0].pcrs == {i: kit.PCRS[i] for i in (0, 1, 2)}


def test_the_library_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    names = {"reply_bytes": kit.reply(), "policy_bytes": b""}
    code = code.replace("from tytle_verifier import Archive, load_policy, verify_reply", "")
    compiled = compile(code, "VERIFICATION.md", "exec")
    names |= {"Archive": tytle_verifier.Archive, "load_policy": lambda _: policy(), "verify_reply": verify}
    exec(compiled, names)  # noqa: S102 -- the specification's own example
    assert capsys.readouterr().out.startswith(f"200 {len(kit.BODY)} (")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the commands by hand need OpenSSL")
def test_the_commands_by_hand_run_and_agree(tmp_path: Path) -> None:
    (tmp_path / "reply.json").write_bytes(kit.reply())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    outputs = [
        subprocess.run(
            ["sh", "-e", "-c", block], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=True
        ).stdout
        for block in blocks("sh", section("By hand, with public tools"))
    ]
    taken, chain, signature, leaf, said, nonce = outputs
    root = inclusion.leaf_hash(kit.cbor(kit.statement()))
    assert taken.startswith("a1013822 {} 96\n")
    assert f"PCR0 {kit.PCRS[0].hex()}" in taken
    assert str(root) in taken
    assert chain.splitlines() == [f"{kit.sha256(kit.pki().root.der).hex()}  ca0.der", "leaf.pem: OK"]
    assert signature.startswith("Verified OK\n")
    assert leaf.split()[0] == root.hex()
    assert said.splitlines()[-1] == f"{kit.sha256(kit.BODY).hex()}  body"
    assert nonce == "True\n"
