"""The page decides as tytle_verifier does: the same inputs are given to both, and step numbers are compared.

Everything that one browser can decide in one call goes through one call. The documents signed by AWS's hardware are
not part of this repository (see corpora.py); the tables of mutants are those of the Python verifier's own tests.
"""

import json
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import test_verifier_chain as chains
import test_verifier_document as documents
import test_verifier_policy as policies
import test_verifier_query as queries
import test_verifier_reply as replies
import test_verifier_session as sessions
import verifier_kit as kit
from cases import Case, b64, document, reply, toml
from chromium import Browser
from corpora import corpus
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID
from test_verifier_reply import ASKED, OTHERS, UPSTREAM, in_the_clear, put
from verifier_cases import RELEASE, policy, verify

from tytle_verifier import (
    AWS_ROOT,
    Archive,
    At,
    Live,
    Policy,
    PolicyError,
    Release,
    Root,
    TestPkiRoot,
    TlsDemands,
    load_policy,
)


def draws() -> random.Random:
    """The same draws in every run."""
    return random.Random(20260301)  # noqa: S311 - chooses test cases, no secrets


def compared(browser: Browser, cases: list[Case]) -> list[tuple[str, object]]:
    """Give every case to both; return what Python decided, once the page has decided the same."""
    ours = [(case.name, case.by_python()) for case in cases]
    theirs = browser.decide([case.for_page() for case in cases])
    assert [(case.name, outcome["decided"]) for case, outcome in zip(cases, theirs, strict=True)] == ours
    return ours


# --- AWS's documents, and adversarial ones ---------------------------------------------------------------------------


def entries(name: str) -> list[dict[str, Any]]:
    folder = corpus("ATTESTATION_DOCUMENTS", "attestation-documents")
    made: list[dict[str, Any]] = json.loads((folder / name).read_text())
    return [{**entry, "data": (folder / entry["file"]).read_bytes()} for entry in made]


def root_of(entry: dict[str, Any]) -> Root:
    if entry.get("root", "aws") == "aws":
        return AWS_ROOT
    pem = (corpus("ATTESTATION_DOCUMENTS", "attestation-documents") / "mock_root.pem").read_bytes()
    return TestPkiRoot(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


def corpus_case(entry: dict[str, Any]) -> Case:
    instant = entry.get("verify_at_iso")
    time = At(instant=datetime.fromisoformat(instant)) if instant else Archive()
    return document(entry["data"], time=time, root=root_of(entry), name=entry["slug"])


def test_every_document_of_aws_is_decided_as_in_python(browser: Browser) -> None:
    real = entries("real.json")
    kinds = {entry["slug"]: (entry["kind"], entry["debug_mode"]) for entry in real}
    expected = {("nsm", False): None, ("nsm", True): 6, ("nitrotpm", False): 2, ("nitrotpm", True): 2}
    for slug, decided in compared(browser, [corpus_case(entry) for entry in real]):
        assert decided == expected[kinds[slug]], slug
    debug = [corpus_case(entry).for_page() for entry in real if kinds[entry["slug"]] == ("nsm", True)]
    assert all("debug mode" in outcome["headline"] for outcome in browser.decide(debug))


def test_every_document_of_an_enclave_passes_steps_0_to_5(browser: Browser) -> None:
    nsm = [corpus_case(entry) for entry in entries("real.json") if entry["kind"] == "nsm"]
    for outcome in browser.decide([case.for_page() for case in nsm]):
        assert [step["state"] for step in outcome["steps"][:6]] == ["ok"] * 6
        assert outcome["genuine"] is True


def test_a_policy_passes_the_enclave_it_lists_and_no_debug_one(browser: Browser) -> None:
    nsm = [entry for entry in entries("real.json") if entry["kind"] == "nsm"]
    cases = []
    for entry in nsm:
        values = {i: bytes.fromhex(entry["pcrs"][str(i)]) for i in (0, 1, 2)}
        listed = {i: value if any(value) else b"\1" * 48 for i, value in values.items()}
        for pcrs, name in ((listed, "listed"), ({**listed, 2: b"\1" * 48}, "other")):
            pinned = Policy(service="any", releases=(Release(commit="0" * 40, pcrs=pcrs),))
            cases.append(replace(corpus_case(entry), policy=pinned, name=f"{name}-{entry['debug_mode']}"))
    expected = {"listed-False": None, "listed-True": 6, "other-False": 6, "other-True": 6}
    for name, decided in compared(browser, cases):
        assert decided == expected[name]


def test_every_adversarial_document_is_decided_as_in_python(browser: Browser) -> None:
    adversarial = entries("adversarial.json")
    expected = {entry["slug"]: entry["expected"] for entry in adversarial}
    for slug, decided in compared(browser, [corpus_case(entry) for entry in adversarial]):
        accepted = "accept" if decided in (None, 6) else "reject"  # 6: the cryptography held, in debug mode
        assert expected[slug] in (accepted, "policy"), slug


# --- replies ---------------------------------------------------------------------------------------------------------


def test_genuine_replies_verify(browser: Browser) -> None:
    cases = [
        reply(kit.reply()),
        reply(kit.reply(), time=Archive()),
        reply(kit.reply(), request=None),
        reply(kit.reply(), body=kit.BODY),
        reply(kit.reply(on_statement=kit.failed)),
        reply(queries.queries.reply(), request=queries.ASKED),
        reply(queries.queries.unanswered(), request=queries.ASKED),
        reply(kit.reply(on_statement=kit.failed), request=queries.ASKED),
        reply(queries.thing(), request=None, policy=policy(schemas=queries.THINGS)),
        reply(queries.thing(), request=None),
        reply(kit.reply(on_reply=replies.drop("bodyEncoding"))),
        *(reply(kit.reply(others=OTHERS[:count])) for count in range(len(OTHERS) + 1)),
        *(reply(data, **more) for data, more in sessions.GENUINE_ONES),
    ]
    assert {decided for _, decided in compared(browser, cases)} == {None}


def test_sessions_are_decided_alike(browser: Browser) -> None:
    made = sessions.sessions
    cases = [
        *(reply(made.reply(**changes), name=f"{problem}: {name}") for problem, name, changes in sessions.MUTANTS),
        *(reply(data, name=problem) for problem, data in sessions.AS_IF),
        *(reply(made.reply(on_reply=put("attestation", "session", value=v))) for v in sessions.NO_BASE64),
        *(reply(data, **more) for _, _, data, more in sessions.TIMES),
        *(reply(made.reply(**sessions.vouching(key)), name=key.hex()) for key in sessions.garbage_keys(draws())),
        *(reply(sessions.with_message(m), name=m.hex()) for m in sessions.garbage_messages(draws())),
    ]
    ours = compared(browser, cases)
    assert {decided for _, decided in ours} == {None, 0, 3, 5, 6, 7, 8}
    assert {decided for _, decided in ours[: len(sessions.MUTANTS) + len(sessions.AS_IF)]} == {7}


def test_modes_are_accepted_alike(browser: Browser) -> None:
    cases = [
        reply(data, policy=policy(modes=accepted), name=f"{mode} of {sorted(accepted)}")
        for mode, data in sessions.IN_MODES.items()
        for accepted in (frozenset({mode}), frozenset(sessions.IN_MODES), frozenset(sessions.IN_MODES) - {mode})
    ]
    assert [decided for _, decided in compared(browser, cases)] == [None, None, 8] * 3


def hooked(table: list[tuple[str, Any]], where: str, *, failed: bool = False, **more: Any) -> list[Case]:
    made = {"on_statement": kit.failed} if failed else {}
    return [reply(kit.reply(**made, **{where: hook}), name=problem, **more) for problem, hook in table]


def test_one_mutant_per_way_to_fail_is_refused_at_the_same_step(browser: Browser) -> None:
    cases = [
        *hooked(replies.REPLIES, "on_reply"),
        *hooked(replies.STATEMENTS, "on_statement"),
        *hooked(replies.SHOWN, "on_reply"),
        *hooked(replies.LEGACY, "on_reply"),
        *hooked([(url, put(*ASKED, "url", value=url)) for url in replies.URLS], "on_statement", request=None),
        *hooked([("user data", put("root", value=bytes(32)))], "on_user_data"),
        *hooked([("nonce", put("nonce", value=bytes(n))) for n in (0, 31, 32, 33)], "on_document"),
        *hooked(
            [("mode", put("attestation", "mode", value=mode)) for mode in ("batch", "session", "constructor")],
            "on_reply",
        ),
        reply(kit.reply(), time=Live(now=kit.SIGNED_AT + timedelta(minutes=6)), name="too old"),
        reply(kit.reply(), time=Live(now=kit.SIGNED_AT - timedelta(minutes=6)), name="future"),
        reply(kit.reply(), time=Live(now=kit.SIGNED_AT - timedelta(seconds=30)), name="lagging clock"),
        reply(b'{"success":true,' + kit.reply()[1:], name="a key twice"),
        reply(kit.reply().replace(b'"status":200', b'"status":2e2'), name="a float"),
        *hooked([("failed", put("status", value=status)) for status in (200, 502, 504)], "on_reply", failed=True),
        reply(kit.reply(), root=AWS_ROOT, name="root"),
        reply(kit.reply(), body=b"", name="body held"),
    ]
    assert {decided for _, decided in compared(browser, cases)} >= {0, 3, 5, 7, 8, 9, None}


def query_cases() -> list[Case]:
    asked: dict[str, Any] = {"request": queries.ASKED}
    made = queries.queries
    things: dict[str, Any] = {"request": None, "policy": policy(schemas=queries.THINGS)}
    return [
        *(reply(queries.thing(**changes), name=problem, **things) for problem, changes in queries.THING_MUTANTS),
        *(reply(queries.thing(**changes), name=problem, request=None) for problem, changes in queries.THING_MUTANTS),
        *(reply(made.reply(on_reply=hook), name=problem, **asked) for problem, hook in queries.SHOWN),
        *(reply(made.unanswered(on_reply=hook), name=problem, **asked) for problem, hook in queries.UNANSWERED),
        *(reply(kit.reply(on_reply=hook), name="shows a result") for hook in queries.UNSTATED),
        *(reply(make(on_statement=queries.beside_a_failure), **asked) for make in (made.reply, made.unanswered)),
        *(reply(made.reply(), request=queries.asked(**changes)) for _, changes in queries.OTHERS_ASKED),
        *(reply(made.unanswered(), request=queries.asked(**changes)) for _, changes in queries.OTHERS_ASKED),
        *(reply(made.reply(), request=queries.asked(params=params), name=str(params)) for params in queries.PARAMS),
        *(reply(queries.thing(), name=str(more), **{**things, "request": more}) for more in queries.THINGS_ASKED),
        *(reply(data, name=str(sent.params), request=sent) for data, sent in queries.AS_ASKED),
        *(reply(data, name=str(sent.params), request=sent) for _, (data, sent) in queries.NOT_ASKED),
        *(reply(make(), name="a fetch was asked") for make in (made.reply, made.unanswered)),
        reply(kit.reply(), name="a query was asked", **asked),
        reply(made.reply(on_reply=put("attestation", "bn254Hash", value="00" * 32)), **asked),
        reply(made.reply(on_reply=replies.drop("attestation", "bn254Hash")), **asked),
        reply(made.unanswered(on_user_data=put("fields", value=made.FIELDS)), **asked),
        *(reply(queries.a_record(rows), request=None, name=str(rows)) for rows in queries.RECORD_ROWS),
    ]


BOTH_ENDS = (queries.queries.reply, queries.queries.unanswered)
CHARGE = (queries.CHARGE, queries.MINE)


def test_answers_to_queries_are_decided_alike(browser: Browser) -> None:
    assert {decided for _, decided in compared(browser, query_cases())} == {None, 7, 8, 9}


def test_what_was_compared_of_a_query_and_what_was_not_is_said_alike(browser: Browser) -> None:
    made = queries.queries
    renamed = put("result", "operation", value="constructor")
    cases = [reply(data, request=sent) for data, sent in queries.AS_ASKED]
    cases += [reply(make(on_statement=renamed), request=queries.asked(operation="constructor")) for make in BOTH_ENDS]
    cases += [reply(made.unanswered(), request=queries.ASKED), reply(made.reply(), request=queries.ASKED)]
    cases += [reply(kit.reply(on_statement=kit.failed), request=queries.of_stripe(queries.CHARGES, *CHARGE)[1])]
    steps = [verify(case.data, request=case.request).report.steps[8] for case in cases]
    shown = [outcome["steps"][8] for outcome in browser.decide([case.for_page() for case in cases])]
    ours = [about_query([*step.compared, *step.not_checked]) for step in steps]
    assert [about_query([*step["compared"], *step["notChecked"]]) for step in shown] == ours
    assert {len(lines) for lines in ours} == {1, 2, 3}


def about_query(lines: list[str]) -> list[str]:
    return [line for line in lines if "as asked" in line or "parameters" in line]


@pytest.mark.parametrize("genuine", [queries.queries.reply(), queries.queries.unanswered()])
def test_an_answer_to_a_query_with_anything_changed_is_decided_alike(browser: Browser, genuine: bytes) -> None:
    cases = [reply(data, name=place, request=queries.ASKED) for place, data in queries.queries.spoiled(genuine)]
    assert {decided for _, decided in compared(browser, cases)} >= {None, 0, 8, 9}


def test_any_place_of_a_proof_but_the_right_one_is_refused(browser: Browser) -> None:
    right = json.loads(kit.reply(others=OTHERS))["attestation"]["inclusion"]
    changes: list[dict[str, Any]] = [
        {"size": 8},
        {"index": 5},
        {"index": 7},
        {"index": 2**64},
        {"path": right["path"][:-1]},
    ]
    changes += [{"path": [*right["path"], "A" * 43 + "="]}, {"path": right["path"][::-1]}, {"path": ["AA=="]}, {}]
    cases = [
        reply(
            kit.reply(others=OTHERS, on_reply=put("attestation", "inclusion", value={**right, **change})),
            name=str(change),
        )
        for change in changes
    ]
    assert [decided for _, decided in compared(browser, cases)] == [7] * 8 + [None]


def test_the_size_that_is_signed_counts(browser: Browser) -> None:
    """The root alone would fit: once a smaller tree is claimed, once mode document covers a tree of two."""
    twin = kit.sha256(b"another leaf")

    def two(user_data: dict[str, Any]) -> None:
        user_data.update(size=2, root=kit.tree([user_data["root"], twin]))

    beside = put("attestation", "inclusion", value={"index": 0, "size": 2, "path": [b64(twin)]})
    cases = [
        reply(kit.reply(others=(), on_user_data=put("size", value=3))),
        reply(kit.reply(on_user_data=two, on_reply=beside)),
        reply(kit.reply(others=(), on_user_data=two, on_reply=beside)),
    ]
    assert [decided for _, decided in compared(browser, cases)] == [7, 7, None]


def test_policies_are_kept_alike(browser: Browser) -> None:
    plain = kit.reply(on_statement=in_the_clear)
    hosts = [frozenset({host}) for host in ("ec.europa.eu", "europa.eu")]
    spki = [frozenset({letter * 32}) for letter in (b"s", b"t")]
    revoked = replace(RELEASE, revoked=True)
    late = replace(RELEASE, not_before=kit.SIGNED_AT + timedelta(milliseconds=1))
    over = replace(RELEASE, not_after=kit.SIGNED_AT - timedelta(milliseconds=1))
    exact = replace(RELEASE, not_before=kit.SIGNED_AT, not_after=kit.SIGNED_AT)
    cases = [
        *(reply(kit.reply(), policy=policy(urls=(url,))) for url in (kit.URL, kit.URL[:50] + "*", kit.URL[:-1])),
        *(reply(kit.reply(), policy=policy(methods=frozenset({method}))) for method in ("POST", "GET")),
        *(reply(plain, policy=policy(tls=TlsDemands(plain_http_hosts=named)), request=None) for named in hosts),
        *(reply(kit.reply(), policy=policy(tls=TlsDemands(spki=pinned))) for pinned in spki),
        reply(kit.reply(on_statement=put(*UPSTREAM, "tls", value="TLSv1.2"))),
        *(reply(kit.reply(), policy=policy(releases=(r, RELEASE))) for r in (revoked, late)),
        *(reply(kit.reply(), policy=policy(releases=(r,))) for r in (revoked, late, over, exact)),
        *(reply(kit.reply(), policy=policy(pcrs={3: frozenset({v})})) for v in (kit.PCRS[3], b"\3" * 48)),
        reply(kit.reply(), policy=policy(pcrs={16: frozenset({b"\3" * 48})})),
        *(reply(kit.reply(), policy=policy(challenge=c), request=None) for c in (kit.CHALLENGE, b"sixteen or another")),
        reply(kit.reply(), policy=policy(challenge=b"sixteen or another")),
        reply(kit.reply(), policy=policy(require_challenge=True), request=None),
        reply(kit.reply(), policy=policy(max_age=timedelta(seconds=1))),
    ]
    assert {decided for _, decided in compared(browser, cases)} == {None, 5, 6, 8, "policy"}


HOLE = b"\x6ba hole here"  # a text in result.values, in whose place any bytes may stand
ITEMS = """
00 17 1818 1817 1900ff 190100 1a0000ffff 1a00010000 1b0000000100000000 1bffffffffffffffff 3bffffffffffffffff 1c
1f 3818 20 40 4100 5f4100ff 60 6161 61ff 62c3a9 63eda080 7f6161ff 80 8100 9fff 9f00ff a0 a10000 a1616100
a14100f6 a1f600 bfff a200000100 a201000000 a200000000 a2200000f6 a200002000 a2616100616200 a2616200616100
a26161006161f6 a2616100626100f6 f4 f5 f6 f7 f0 f818 f8ff c000 d9d9f700 c24100 ff f90000 f98000 f93c00 f90001
f97bff f97c00 fc00 f97e00 f97e01 fe00 fa00000000 fa33800000 fa33000000 fa387fc000 fa387fe000 fa38800000
fa477fe000 fa477ff000 fa47800000 fa7f800000 fa7fc00000 fa00000001 fa3dcccccd fb0000000000000000
fb3fb999999999999a fb36a0000000000000 fb3690000000000000 fb47efffffe0000000 fb47f0000000000000
fb7ff0000000000000 fb7ff8000000000000 fb3e60000000000000 fb3e70000000000000
"""


def test_deterministic_cbor_is_read_alike(browser: Browser) -> None:
    draw = draws()
    raw = [bytes.fromhex(item) for item in ITEMS.split()]
    raw += [b"\x81" * depth + b"\x00" for depth in (12, 13, 14, 15, 16)]
    raw += [bytes([draw.choice((0xF9, 0xFA, 0xFB))]) + draw.randbytes(8) for _ in range(60)]
    raw += [bytes([0xFA]) + draw.randbytes(2) + bytes([draw.randrange(0, 256, 32), 0]) for _ in range(60)]
    raw += [draw.randbytes(draw.randrange(1, 12)) for _ in range(120)]
    hole = put("result", value={"operation": "o", "schema": "s", "fields": b"f" * 32, "values": {"a": "a hole here"}})

    def filled(item: bytes) -> bytes:
        return kit.reply(on_statement=hole, on_bytes=lambda said: said.replace(HOLE, item))

    cases = [reply(filled(item), name=item.hex()) for item in raw]
    assert {decided for _, decided in compared(browser, cases)} == {7, 8}  # 8: such bytes, but no such values


# --- documents and chains --------------------------------------------------------------------------------------------


def chain_case(end: kit.Holder, *above: kit.Holder, name: str) -> Case:
    key = end.key if isinstance(end.key.curve, ec.SECP384R1) else kit.pki().leaf.key  # refused before step 4
    return document(kit.document(key, certificate=end.der, cabundle=[holder.der for holder in above]), name=name)


def spelt(oid: x509.ObjectIdentifier, der: str) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(oid, bytes.fromhex(der)), True


EXTENSIONS = {
    "as AWS writes them": [spelt(ExtensionOID.BASIC_CONSTRAINTS, "3000"), spelt(ExtensionOID.KEY_USAGE, "030206c0")],
    "false is spelt out": [spelt(ExtensionOID.BASIC_CONSTRAINTS, "3003010100"), chains.SIGNS],
    "a path length without CA": [spelt(ExtensionOID.BASIC_CONSTRAINTS, "3003020100"), chains.SIGNS],
    "more in the constraints": [spelt(ExtensionOID.BASIC_CONSTRAINTS, "300030"), chains.SIGNS],
    "encipherOnly alone": [chains.CONSTRAINTS, spelt(ExtensionOID.KEY_USAGE, "03020081")],
    "unused bits are set": [chains.CONSTRAINTS, spelt(ExtensionOID.KEY_USAGE, "03020781")],
    "an empty bit string": [chains.CONSTRAINTS, spelt(ExtensionOID.KEY_USAGE, "030100")],
    "no bit string": [chains.CONSTRAINTS, spelt(ExtensionOID.KEY_USAGE, "04020780")],
}


def test_chains_are_judged_alike(browser: Browser) -> None:
    p = kit.pki()
    above = (p.root, p.regional, p.zonal, p.instance)
    old = kit.leaf(p.instance, start=kit.SIGNED_AT - timedelta(minutes=30))
    cases = [chain_case(kit.leaf(p.instance, **change), *above, name=problem) for problem, change in chains.BAD_LEAVES]
    for problem, change in chains.BAD_AUTHORITIES:
        instance = kit.authority("instance", p.zonal, 0, 1, **change)
        cases.append(chain_case(kit.leaf(instance), *above[:3], instance, name=problem))
    short = kit.authority("zonal", p.regional, 0, 6)
    cases += [
        chain_case(kit.leaf(kit.authority("i", short, 0, 1)), *above[:2], short, name="path length"),
        chain_case(kit.leaf(short), *above[:2], short, name="a shorter path"),
        chain_case(kit.leaf(p.leaf), *above, p.leaf, name="a leaf issues"),
        *(chain_case(chains.in_region(name), *above, name=name) for name in (*chains.NO_REGIONS, *chains.REGIONS)),
        replace(chain_case(old, *above, name="from the future"), time=Live(now=kit.SIGNED_AT - timedelta(minutes=6))),
        chain_case(kit.leaf(p.root), p.root, name="two"),
        *(chain_case(kit.leaf(p.instance, extensions=spelt), *above, name=name) for name, spelt in EXTENSIONS.items()),
        *(
            chain_case(p.leaf, *(above[int(i)] for i in order), name=order)
            for order in ("0132", "3210", "013", "00123", "123")
        ),
    ]
    assert {decided for _, decided in compared(browser, cases)} == {None, 2, 3, 5}


def test_envelopes_and_fields_are_judged_alike(browser: Browser) -> None:
    cases = [document(data, name=name) for name, data in documents.ENVELOPES.items()]
    for problem, change in documents.FIELDS:
        made = {name: value for name, value in kit.fields(**change).items() if value is not documents.ABSENT}
        cases.append(document(kit.sign(documents.cbor(made)), name=problem))
    wrong = kit.document(kit.pki().instance.key)
    twin = kit.document()[:-96] + bytes(96)
    cases += [
        document(wrong, name="other key"),
        document(twin, name="r and s of zero"),
        document(kit.document()[:-1], name="cut"),
    ]
    assert {decided for _, decided in compared(browser, cases)} == {1, 2, 4}


def test_flipped_bytes_are_refused_alike(browser: Browser) -> None:
    """What a certificate's parser still reads differs, so within certificates 2 and 3 are one."""
    draw = draws()
    whole, alone = kit.reply(), kit.document()
    certificates = [(alone.index(der), len(der)) for der in (*kit.pki().cabundle, kit.pki().leaf.der)]

    def flip(data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]

    start = whole.index(b'"nsmDocument":"') + 15
    outside = [at for at in range(len(whole)) if not start <= at < start + len(b64(alone)) + 400]
    cases = [reply(flip(whole, at), name=f"reply {at}") for at in draw.sample(outside, 400)]
    cases += [document(flip(alone, at), name=f"document {at}") for at in draw.sample(range(len(alone)), 600)]
    ours = [case.by_python() for case in cases]
    theirs = [outcome["decided"] for outcome in browser.decide([case.for_page() for case in cases])]
    for case, python, shown in zip(cases, ours, theirs, strict=True):
        kind, at = case.name.split()
        inside = kind == "document" and any(first <= int(at) < first + size for first, size in certificates)
        assert (python == shown) or (inside and {python, shown} == {2, 3}), (case.name, python, shown)


def test_garbage_is_refused_and_crashes_nothing(browser: Browser) -> None:
    draw = draws()
    texts = [b"", b"{", b"{}", b"[" * 5000, b'{"a":' * 5000, b"null", b"\xff{}", b"\xef\xbb\xbf{}", b"%%%", b" \n"]
    garbage = [*texts, *(draw.randbytes(draw.randrange(1, 80)) for _ in range(150))]
    cases = [
        Case(data, kind=kind, policy=policy() if kind == "reply" else None)
        for data in garbage
        for kind in ("reply", "document")
    ]
    assert {decided for _, decided in compared(browser, cases)} == {0, 1}


# --- policy files ----------------------------------------------------------------------------------------------------


def readable(data: bytes) -> bool:
    try:
        load_policy(data)
    except PolicyError:
        return False
    return True


def read_by_page(browser: Browser, texts: list[str]) -> list[bool]:
    script = """
    return arguments[0].map((text) => {
      try { return Boolean(tytle.readPolicy(text)); }
      catch (error) { return error instanceof tytle.PolicyError ? false : String(error.stack); }
    });
    """
    found: list[bool] = browser.run(script, texts)
    return found


def test_policy_files_are_read_or_refused_alike(browser: Browser) -> None:
    whole = policies.TOML
    (mutants,) = (mark.args[1] for mark in policies.test_what_a_policy_file_gets_wrong_is_an_error.pytestmark)
    texts = [whole, toml(policy()), whole.replace("\n", "\r\n"), whole.replace('"vies"', "'vies' # a comment")]
    texts += [
        whole.replace('["GET", "POST"]', '[ # some\n  "GET",\n\n  "POST", # more\n]'),
        whole.replace("120", "1_2_0"),
    ]
    texts += [whole.replace(old, new) for old, new in mutants]
    texts += [
        "",
        "service",
        'service = "vies"',
        "[",
        "a=" + "[" * 9999,
        whole + "x",
        whole.replace("120", "012"),
        "#" * 1_048_577,
    ]
    twin = whole[whole.index("[[releases]]") :]
    other, unpinned = twin.replace("ab" * 32, "cd" * 32), twin.replace("manifest = ", "# manifest = ")
    backwards = other.replace(f'pcr0 = "{"10" * 48}"\n', "").replace("pcr2 =", f'pcr0 = "{"10" * 48}"\npcr2 =', 1)
    texts += [whole + more for more in (twin, other, unpinned, backwards, other.replace("pcr16", "pcr17"))]
    texts += [whole.replace(twin, unpinned) + more for more in (twin, unpinned)]
    texts += [whole.replace("2026-01-01T00", clock) for clock in ("2026-02-30T00", "2026-01-01T24", "2026-01-01 00")]
    assert read_by_page(browser, texts) == [readable(text.encode()) for text in texts]


def test_toml_that_the_page_does_not_read_is_refused_and_never_guessed(browser: Browser) -> None:
    whole, quoted = policies.TOML, '"""vies"""'
    halves = [whole.replace('"vies"', f'"\\{half}"') for half in ("ud800", "uDFFF", "ud83d\\ude00", "ud7ff", "ue000")]
    assert read_by_page(browser, halves) == [readable(text.encode()) for text in halves]
    others = [
        whole.replace("service =", "'service' ="),
        whole.replace('"vies"', quoted),
        whole.replace("[tls]\nversions", "tls.versions"),
    ]
    assert [readable(text.encode()) for text in others[:2]] == [True, True]
    assert read_by_page(browser, others) == [False, False, False]
    assert read_by_page(browser, [whole.replace("service =", '"service" =')]) == [True]
