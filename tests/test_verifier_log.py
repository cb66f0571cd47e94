"""The archive's log seen from outside: known answers, the naive tree, one mutant per way to lie, and the command."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import verifier_kit as kit
from hypothesis import given
from hypothesis import strategies as st
from verifier_ct_vectors import CONSISTENCY, DATA, EMPTY_ROOT, INCLUSION, ROOTS
from verifier_naive_tree import leaf_hash, path, proof, root

from tytle_verifier import LogError, NotAttested, VerifierError, log
from tytle_verifier.cli import main
from tytle_verifier.inclusion import Inclusion
from tytle_verifier.log import Consistency, Head

EXAMPLE = (
    "0b5b54718dadd833ec006f349488afd1a9dc0cca2d6e4c868294d2715f5a2b75",
    "PEzf4oAsEvFcBIl84H48fyoKUbCezRrGYbGr08ESdBs=",
)  # of VERIFICATION.md
OTHER = hashlib.sha256(b"another").digest()
LEAVES = [leaf_hash(data) for data in DATA]


def head_of(leaves: Sequence[bytes]) -> Head:
    return Head(size=len(leaves), root=root(leaves))


def hashes(texts: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(text) for text in texts)


def known(size: int) -> Head:
    return Head(size=size, root=bytes.fromhex(ROOTS[size]))


# --- inclusion


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_a_known_inclusion_proof_holds(index: int, size: int) -> None:
    shown = Inclusion(index=index, size=size, path=hashes(INCLUSION[index, size]))
    log.check_inclusion(LEAVES[index], shown, known(size))


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_a_known_inclusion_proof_fails_when_anything_in_it_differs(index: int, size: int) -> None:
    right = hashes(INCLUSION[index, size])
    shown = Inclusion(index=index, size=size, path=right)
    wrong = [
        *(replace(shown, index=other) for other in (index + 1, index ^ 2, index - 1)),
        *(replace(shown, size=other) for other in (size * 2, size // 2)),
        *(replace(shown, path=other) for other in altered(right)),
    ]
    for lie in wrong:
        with pytest.raises(LogError):
            log.check_inclusion(LEAVES[index], lie, Head(size=lie.size, root=known(size).root))
    for leaf, head in ((OTHER, known(size)), (LEAVES[index], Head(size=size, root=OTHER))):
        with pytest.raises(LogError):
            log.check_inclusion(leaf, shown, head)


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=70), st.data())
def test_the_naive_trees_proofs_hold_and_no_other_leafs(data: list[bytes], choices: st.DataObject) -> None:
    leaves = [leaf_hash(each) for each in data]
    index = choices.draw(st.integers(0, len(leaves) - 1))
    shown = Inclusion(index=index, size=len(leaves), path=tuple(path(index, leaves)))
    log.check_inclusion(leaves[index], shown, head_of(leaves))
    with pytest.raises(LogError):
        log.check_inclusion(OTHER, shown, head_of(leaves))


# --- consistency


@pytest.mark.parametrize(("older", "newer"), CONSISTENCY)
def test_a_known_consistency_proof_holds(older: int, newer: int) -> None:
    shown = Consistency(older=older, newer=newer, path=hashes(CONSISTENCY[older, newer]))
    log.check_consistency(known(older), known(newer), shown)


@pytest.mark.parametrize(("older", "newer"), [pair for pair in CONSISTENCY if CONSISTENCY[pair]])
def test_a_known_consistency_proof_fails_when_anything_in_it_differs(older: int, newer: int) -> None:
    right = hashes(CONSISTENCY[older, newer])
    lies = [(known(older), known(newer), other) for other in [(), *altered(right), (right[0], *right)]]
    lies += [(known(older), Head(size=newer, root=OTHER), right), (Head(size=older, root=OTHER), known(newer), right)]
    lies += [(Head(size=older, root=known(newer).root), Head(size=newer, root=known(older).root), right)]
    lies += [(Head(size=size, root=known(older).root), known(newer), right) for size in (older + 1, older ^ 2)]
    lies += [(known(older), Head(size=size, root=known(newer).root), right) for size in (newer * 2, newer // 2)]
    for before, after, shown in lies:
        if (before.size == older and after.size == newer) or before.size <= after.size:
            with pytest.raises(LogError):
                log.check_consistency(before, after, Consistency(older=before.size, newer=after.size, path=shown))


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=70), st.data())
def test_a_log_that_only_grew_is_consistent_and_one_that_lost_a_leaf_is_not(
    data: list[bytes], choices: st.DataObject
) -> None:
    leaves = [leaf_hash(bytes([at]) + each) for at, each in enumerate(data)]
    older = choices.draw(st.integers(1, len(leaves)))
    shown = Consistency(older=older, newer=len(leaves), path=tuple(proof(older, leaves)))
    log.check_consistency(head_of(leaves[:older]), head_of(leaves), shown)
    dropped = choices.draw(st.integers(0, older - 1))
    rewritten = [*leaves[:dropped], *leaves[dropped + 1 :], OTHER]  # the same size again
    shown = Consistency(older=older, newer=len(leaves), path=tuple(proof(older, rewritten)))
    with pytest.raises(LogError):
        log.check_consistency(head_of(leaves[:older]), head_of(rewritten), shown)


def test_the_empty_log_comes_before_every_log_and_needs_no_proof() -> None:
    empty = Head(size=0, root=bytes.fromhex(EMPTY_ROOT))
    log.check_consistency(empty, known(5), Consistency(older=0, newer=5, path=()))
    for older, shown in ((Head(size=0, root=OTHER), ()), (empty, (OTHER,))):
        with pytest.raises(LogError):
            log.check_consistency(older, known(5), Consistency(older=0, newer=5, path=shown))


def test_two_heads_of_one_size_are_one_head() -> None:
    with pytest.raises(LogError, match="rewritten"):
        log.check_consistency(known(5), Head(size=5, root=OTHER), Consistency(older=5, newer=5, path=()))


def test_a_log_that_became_shorter_is_refused() -> None:
    with pytest.raises(LogError, match="shorter"):
        log.check_consistency(known(6), known(5), Consistency(older=6, newer=5, path=()))


def test_a_proof_between_other_heads_is_refused() -> None:
    with pytest.raises(LogError, match="other heads"):
        log.check_consistency(known(6), known(8), Consistency(older=6, newer=7, path=hashes(CONSISTENCY[6, 7])))
    with pytest.raises(LogError, match="another head"):
        log.check_inclusion(LEAVES[0], Inclusion(index=0, size=1), known(8))


def altered(right: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """One path per way to get it wrong."""
    flipped = [(*right[:at], bytes([node[0] ^ 8]) + node[1:], *right[at + 1 :]) for at, node in enumerate(right)]
    return [*flipped, (*right, OTHER), (OTHER, *right), (*right, b""), *([right[:-1]] if right else [])]


# --- leaves and heads


def test_the_leaf_of_a_reply_is_the_hash_of_its_id_and_its_bytes() -> None:
    data = kit.reply()
    attestation_id = json.loads(data)["attestation"]["attestationId"]
    entry = b"tytle/archive/v1" + attestation_id.encode() + hashlib.sha256(data).digest()
    assert len(entry) == 88
    assert log.leaf_of(data) == hashlib.sha256(b"\x00" + entry).digest()
    assert log.leaf_of(data) != log.leaf_of(data + b" ")


def test_a_reply_without_attestation_has_no_leaf() -> None:
    with pytest.raises(NotAttested):
        log.leaf_of(b'{"success":false,"status":403,"headers":{},"rawBody":"","error":"no"}')


def test_a_reply_under_another_kind_of_id_has_no_leaf() -> None:
    made = json.loads(kit.reply())
    made["attestation"]["attestationId"] = "enc-1"
    with pytest.raises(LogError, match="attestationId"):
        log.leaf_of(json.dumps(made).encode())


def test_the_worked_example() -> None:
    """The figures of VERIFICATION.md, "The archive's log"."""
    attestation_id, reply = "enc-00000000-0000-4000-8000-000000000001", b"{}"
    entry = b"tytle/archive/v1" + attestation_id.encode() + hashlib.sha256(reply).digest()
    head = Head(size=3, root=bytes.fromhex(ROOTS[3]))
    figures = (leaf_hash(entry).hex(), base64.urlsafe_b64encode(log.challenge_for(head)).decode())
    assert figures == EXAMPLE


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for decode in (log.decode_head, log.decode_inclusion, log.decode_consistency, log.leaf_of):
        with pytest.raises(VerifierError):
            decode(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("0" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["size", "root", "time", "index", "path", "from", "to"])


@given(st.dictionaries(KEYS, JSON))
def test_any_json_is_read_or_refused(value: dict[str, Any]) -> None:
    for decode in (log.decode_head, log.decode_inclusion, log.decode_consistency):
        try:
            decode(json.dumps(value).encode())
        except LogError:
            continue


GOOD_HEAD = {"size": 3, "root": ROOTS[3], "time": 1}
GOOD_PROOF = {"index": 2, "size": 3, "root": ROOTS[3], "path": INCLUSION[2, 3]}
BAD_HEADS: list[dict[str, Any]] = [
    {**GOOD_HEAD, "more": 1}, {**GOOD_HEAD, "root": ROOTS[3].upper()}, {**GOOD_HEAD, "root": ROOTS[3][:-2]},
    {**GOOD_HEAD, "size": -1}, {**GOOD_HEAD, "size": True}, {**GOOD_HEAD, "size": 2**33}, {**GOOD_HEAD, "time": "now"},
    {**GOOD_HEAD, "size": 0}, {"size": 3, "root": ROOTS[3]},
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_HEADS)
def test_a_head_of_another_form_is_refused(value: dict[str, Any]) -> None:
    assert log.decode_head(json.dumps(GOOD_HEAD).encode()) == Head(size=3, root=bytes.fromhex(ROOTS[3]), time=1)
    with pytest.raises(LogError):
        log.decode_head(json.dumps(value).encode())


def test_a_proof_of_a_wrong_form_is_refused() -> None:
    assert log.decode_inclusion(json.dumps(GOOD_PROOF).encode()).path == hashes(INCLUSION[2, 3])
    for changes in ({"path": "00"}, {"path": ["00"]}, {"index": "2"}, {"root": None}, {"leaf": ROOTS[1]}):
        with pytest.raises(LogError):
            log.decode_inclusion(json.dumps({**GOOD_PROOF, **changes}).encode())
    with pytest.raises(LogError, match="at most"):
        log.decode_inclusion(b" " * 65_537)


# --- the command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reply that is the third of five leaves, and what a log said of it."""
    monkeypatch.chdir(tmp_path)
    Path("reply.json").write_bytes(kit.reply())
    leaves = [*LEAVES[:2], log.leaf_of(Path("reply.json").read_bytes()), *LEAVES[2:4]]
    for size in (3, 5):
        made = {"size": size, "root": root(leaves[:size]).hex(), "time": None}
        Path(f"head{size}.json").write_text(json.dumps(made))
    found = [node.hex() for node in path(2, leaves)]
    Path("proof.json").write_text(json.dumps({"index": 2, "size": 5, "root": root(leaves).hex(), "path": found}))
    grown = [node.hex() for node in proof(3, leaves)]
    Path("grown.json").write_text(json.dumps({"from": 3, "to": 5, "path": grown}))
    return tmp_path


INCLUDED = ["log", "inclusion", "reply.json", "--head", "head5.json", "--proof", "proof.json"]
GROWN = ["log", "consistency", "--from", "head3.json", "--to", "head5.json", "--proof", "grown.json"]


def test_the_command_finds_a_reply_in_the_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "leaf", "reply.json"]) == 0
    leaf = capsys.readouterr().out.strip()
    assert main(INCLUDED) == 0
    assert capsys.readouterr().out.startswith(f"IN THE LOG: leaf {leaf}, index 2 of 5.")


def test_the_command_notices_a_reply_that_is_not_in_the_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("reply.json").write_bytes(kit.reply() + b"\n")
    assert main(INCLUDED) == 8
    assert capsys.readouterr().out.startswith("REFUSED: the proof leads to another root")


def test_the_command_sees_whether_the_log_only_grew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(GROWN) == 0
    assert capsys.readouterr().out.startswith("ONLY GROWN: the first 3 of 5 leaves")
    Path("head3.json").write_text(json.dumps({"size": 3, "root": OTHER.hex(), "time": None}))
    assert main(GROWN) == 8
    assert capsys.readouterr().out.startswith("REFUSED: history was rewritten")


def test_the_command_says_what_to_have_an_enclave_sign(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "challenge", "head3.json"]) == 0
    printed = base64.urlsafe_b64decode(capsys.readouterr().out.strip())
    head = log.decode_head(Path("head3.json").read_bytes())
    assert printed == hashlib.sha256(b"tytle/archive/head/v1" + bytes([0] * 7 + [3]) + head.root).digest()


def test_the_command_refuses_what_is_no_reply_or_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("reply.json").write_bytes(b"{}")
    assert main(INCLUDED) == 10
    assert main(["log", "leaf", "absent.json"]) == 3
