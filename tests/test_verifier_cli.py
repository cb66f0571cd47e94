"""The command line: verdicts, exit codes, and each flaw of the predecessor's verifier, which must not come back."""

import base64
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import verifier_kit as kit
from cryptography import x509
from verifier_cases import ROOT, policy, verify
from verifier_sealed import BOOT, SealedEnclave

from tytle_verifier import (
    AWS_ROOT,
    Archive,
    VerificationError,
    cli,
    evidence,
    many,
    render,
    verdict,
    verify_document,
    verify_identity,
)
from tytle_verifier.cli import main
from tytle_verifier.verdict import Exit

POLICY = f"""
service = "vies"
[[releases]]
commit = "{kit.COMMIT}"
manifest = "{kit.MANIFEST.hex()}"
pcr0 = "{kit.PCRS[0].hex()}"
pcr1 = "{kit.PCRS[1].hex()}"
pcr2 = "{kit.PCRS[2].hex()}"
"""


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with evidence of a test PKI, under which the command line itself has no way to verify."""
    monkeypatch.chdir(tmp_path)
    Path("policy.toml").write_text(POLICY)
    Path("reply.json").write_bytes(kit.reply())
    Path("document.bin").write_bytes(kit.document())
    return tmp_path


@pytest.fixture
def genuine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, with our test root in the place of AWS's: only a test can do that, by patching the code."""
    monkeypatch.setattr(evidence, "verify_reply", lambda *a, **k: _as_aws(verify(*a, **k)))
    monkeypatch.setattr(evidence, "verify_document", lambda *a, **k: _as_aws(verify_document(*a, root=ROOT, **k)))
    return folder


def _as_aws(verified: Any) -> Any:
    return replace(verified, root=AWS_ROOT)


def run(*arguments: str, stdin: bytes = b"", monkeypatch: pytest.MonkeyPatch | None = None) -> int:
    if monkeypatch is not None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    return main(arguments)


FULL = ("--policy", "policy.toml", "--archive")


def test_a_verified_reply_exits_0_and_prints_ten_steps(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "reply.json", *FULL) == Exit.VERIFIED
    printed = capsys.readouterr().out
    assert [line[0] for line in printed.splitlines() if line[1:5] == " ok "] == list("0123456789")
    assert "not checked: what was asked: no request given" in printed
    assert printed.splitlines()[-1].startswith("VERIFIED: release c0ffee000000 of vies attests: POST https://")
    assert "\x1b" not in printed


def test_an_attested_failure_has_its_own_exit_code(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("reply.json").write_bytes(kit.reply(on_statement=kit.failed))
    assert run("verify", "reply.json", *FULL) == Exit.ATTESTED_FAILURE
    assert "VERIFIED, AND THE FETCH FAILED" in capsys.readouterr().out


def test_a_document_without_a_policy_is_only_partly_verified(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "document.bin", "--archive") == Exit.MEASUREMENT_NOT_CHECKED
    assert "PARTLY VERIFIED: some Nitro enclave" in capsys.readouterr().out
    assert run("verify", "document.bin", *FULL) == Exit.VERIFIED
    assert "no answer was checked" in capsys.readouterr().out


@pytest.mark.parametrize("options", [(), ("--policy", "policy.toml")])
def test_a_debug_document_is_refused_with_and_without_a_policy(genuine: Path, options: tuple[str, ...]) -> None:
    Path("debug.bin").write_bytes(kit.document(pcrs={**kit.PCRS, 0: bytes(48), 1: bytes(48), 2: bytes(48)}))
    assert run("verify", "debug.bin", "--archive", *options) == Exit.REFUSED + 6


@pytest.mark.parametrize("wrapped", [base64.b64encode(kit.document()), base64.encodebytes(kit.document())])
def test_a_document_may_be_base64_at_this_edge(genuine: Path, wrapped: bytes) -> None:
    Path("document.b64").write_bytes(wrapped)
    assert run("verify", "document.b64", *FULL) == Exit.VERIFIED


def test_request_and_body_are_compared(genuine: Path) -> None:
    asked = {"method": "POST", "url": kit.URL, "headers": dict(kit.HEADERS), "body": kit.ASKED.decode()}
    Path("request.json").write_text(json.dumps(asked))
    Path("body").write_bytes(kit.BODY)
    both = ("--request", "request.json", "--body", "body")
    assert run("verify", "reply.json", *FULL, *both) == Exit.VERIFIED
    Path("request.json").write_text(json.dumps({**asked, "body": "another question"}))
    assert run("verify", "reply.json", *FULL, *both) == Exit.REFUSED + 8
    assert run("verify", "document.bin", *FULL, "--body", "body") == Exit.UNUSABLE_INPUT


def test_a_test_pki_is_refused_and_no_option_changes_that(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "reply.json", *FULL) == Exit.REFUSED + 3
    assert "cabundle[0] is not the pinned root" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["verify", "--help"])
    assert "root" not in capsys.readouterr().out


def test_a_test_pki_never_prints_the_verdict_of_production() -> None:
    reply = verdict.of_reply(verify(kit.reply()))
    document = verdict.of_document(verify_document(kit.document(), time=Archive(), root=ROOT, policy=policy()))
    for each in (reply, document):
        assert render.line(each).startswith("TEST PKI ONLY: this proves nothing about AWS hardware")
        assert json.loads(render.as_json(each))["verdict"].startswith("test-")


@pytest.mark.parametrize("step", range(10))
def test_each_step_has_its_exit_code(step: int) -> None:
    error = next(kind for kind in _leaves(VerificationError) if kind.step == step)("problem")
    assert verdict.of_refusal(error, last_step=9).code == 10 + step


def _leaves(kind: type[VerificationError]) -> list[type[VerificationError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _leaves(child))]


def test_exit_codes_are_in_the_help_and_distinct(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = [line.split()[0] for line in cli.EXIT_CODES.splitlines()[1:]]
    assert listed == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "10..19"]
    assert cli.EXIT_CODES.splitlines()[1] in capsys.readouterr().out


def test_json_holds_the_steps_the_verdict_and_the_reason(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("verify", "reply.json", *FULL, "--json")
    good = json.loads(capsys.readouterr().out)
    assert (good["verdict"], good["exitCode"], good["refused"]) == ("verified", 0, None)
    assert [step["step"] for step in good["steps"]] == list(range(10))
    Path("reply.json").write_bytes(kit.reply(on_reply=lambda whole: whole.update(status=500)))
    run("verify", "reply.json", *FULL, "--json")
    bad = json.loads(capsys.readouterr().out)
    assert (bad["verdict"], bad["exitCode"], bad["refused"]["step"]) == ("refused", 18, 8)
    assert (bad["refused"]["got"], bad["refused"]["expected"]) == ("500", "200")


def test_a_refusal_shows_the_steps_before_it_and_what_to_do(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("reply.json").write_bytes(kit.reply(on_reply=lambda whole: whole.update(status=500)))
    assert run("verify", "reply.json", *FULL) == 18
    lines = capsys.readouterr().out.splitlines()
    assert [line[2:4] for line in lines if line[:1].isdigit()] == ["ok"] * 8 + ["NO", "--"]
    assert "      status: got 500, expected 200" in lines
    assert lines[-1] == "REFUSED: step 8: status: got 500, expected 200"


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "reply.json", "--policy", "policy.toml"],
        ["verify", "reply.json", *FULL, "--live"],
        ["verify", "reply.json", "--policy", "policy.toml", "--at", "2026-03-01T12:00:00"],
        ["verify", "reply.json", "--policy", "policy.toml", "--at", "yesterday"],
        ["verify", "reply.json", "--policy", "policy.toml", "--live", "--max-age", "0"],
        ["verify", "reply.json", *FULL, "--pol", "policy.toml"],
        ["verify-many", ".", *FULL, "--jobs", "0"],
        ["verify"],
        [],
    ],
)
def test_wrong_usage_exits_2_and_time_is_never_guessed(folder: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "absent.json", *FULL],
        ["verify", "reply.json", "--archive", "--policy", "absent.toml"],
        ["verify", "reply.json", "--archive", "--policy", "reply.json"],
        ["verify", "reply.json", "--archive"],
        ["verify", "reply.json", *FULL, "--request", "policy.toml"],
        ["verify", "reply.json", *FULL, "--max-age", "60"],
        ["verify-many", "absent", *FULL],
        ["verify-many", "empty", *FULL],
    ],
)
def test_unusable_input_exits_3(folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main(arguments) == Exit.UNUSABLE_INPUT
    captured = capsys.readouterr()
    assert (captured.out, captured.err[:7]) == ("", "error: ")


def test_live_and_at_choose_the_instant(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "reply.json", "--policy", "policy.toml", "--at", "2026-03-01T13:00:05+01:00") == 0
    assert run("verify", "reply.json", "--policy", "policy.toml", "--at", "2026-03-01T20:00:00Z") == 13
    assert run("verify", "reply.json", "--policy", "policy.toml", "--live") == 13
    assert run("verify", "reply.json", "--policy", "policy.toml", "--live", "--max-age", "60") == 13


# --- identities ---------------------------------------------------------------------------------------------------

CHALLENGE = b"\xfb\xff" * 16


@pytest.fixture
def identity(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an identity, under our test root in the place of AWS's."""
    monkeypatch.setattr(evidence, "verify_identity", lambda *a, **k: _as_aws(verify_identity(*a, root=ROOT, **k)))
    Path("identity.json").write_bytes(SealedEnclave().show(CHALLENGE))
    return folder


@pytest.mark.parametrize("altchars", [b"+/", b"-_"])
def test_an_identity_exits_0_and_says_whose_key_it_is(
    identity: Path, capsys: pytest.CaptureFixture[str], altchars: bytes
) -> None:
    challenge = base64.b64encode(CHALLENGE, altchars).decode()
    assert run("identity", "identity.json", *FULL, f"--challenge={challenge}") == Exit.VERIFIED
    printed = capsys.readouterr().out
    assert [line[0] for line in printed.splitlines() if line[1:5] == " ok "] == list("012345678")
    assert "7 ok  identity is what the document signs" in printed
    for line in (
        "service vies, manifest",
        f"boot {BOOT.hex()}",
        "boot report: clock: 0.2 s",
        "until 2026-03-01T13:00:05",
    ):
        assert f"      {line}" in printed
    assert "not checked: whether the key is still in use: only live time can tell" in printed
    (key,) = (line.split()[1].rstrip(",") for line in printed.splitlines() if line.startswith("      key "))
    assert printed.splitlines()[-1] == f"VERIFIED: release c0ffee000000 of vies holds the key {key}"


def test_an_identity_for_another_challenge_exits_18(identity: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = base64.b64encode(bytes(32)).decode()
    assert run("identity", "identity.json", *FULL, "--challenge", other, "--json") == Exit.REFUSED + 8
    printed = json.loads(capsys.readouterr().out)
    assert (printed["verdict"], printed["refused"]["problem"]) == ("refused", "challenge")
    assert printed["steps"][7]["title"] == "identity is what the document signs"
    run("identity", "identity.json", *FULL, "--challenge", other)
    assert "8 NO  identity against policy and caller" in capsys.readouterr().out


def test_an_identity_needs_a_policy_and_a_challenge(identity: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = base64.b64encode(CHALLENGE).decode()
    assert run("identity", "identity.json", "--archive", "--challenge", given) == Exit.UNUSABLE_INPUT
    assert "an identity needs a policy" in capsys.readouterr().err
    assert run("identity", "identity.json", *FULL, "--challenge", "QUJD") == Exit.UNUSABLE_INPUT
    for wrong in ([], ["--challenge", "%%%"], ["--challenge", "QQ"]):
        with pytest.raises(SystemExit):
            run("identity", "identity.json", *FULL, *wrong)


def test_an_identity_is_nothing_that_verify_takes_and_the_other_way_round(identity: Path) -> None:
    given = base64.b64encode(CHALLENGE).decode()
    assert run("identity", "reply.json", *FULL, "--challenge", given) == Exit.REFUSED
    assert run("identity", "document.bin", *FULL, "--challenge", given) == Exit.REFUSED
    assert run("verify", "identity.json", *FULL) == Exit.REFUSED


def test_an_identity_of_a_test_pki_says_so(folder: Path) -> None:
    shown = verify_identity(
        SealedEnclave().show(CHALLENGE), policy=policy(), challenge=CHALLENGE, time=Archive(), root=ROOT
    )
    assert render.line(verdict.of_identity(shown)).startswith("TEST PKI ONLY: this proves nothing about AWS hardware")


# --- the predecessor's flaws, SPEC 11 F ---------------------------------------------------------------------------


def test_f1_a_root_first_cabundle_is_understood() -> None:
    cabundle = kit.pki().cabundle
    assert cabundle[0] == ROOT.der
    verify(kit.reply())
    with pytest.raises(VerificationError):
        verify(kit.reply(on_document=lambda made: made.update(cabundle=cabundle[::-1])))


def test_f2_an_archived_answer_still_verifies(genuine: Path) -> None:
    assert run("verify", "reply.json", *FULL) == Exit.VERIFIED
    assert run("verify", "reply.json", "--policy", "policy.toml", "--live") == Exit.REFUSED + 3


def test_f3_key_usage_is_the_basic_one() -> None:
    certifying = kit.leaf(kit.pki().instance, extensions=[kit_constraints(), (kit.usage(key_cert_sign=True), True)])
    with pytest.raises(VerificationError, match="key usage"):
        verify_document(kit.document(certifying.key, certificate=certifying.der), time=Archive(), root=ROOT)


def kit_constraints() -> Any:
    return x509.BasicConstraints(ca=False, path_length=None), True


@pytest.mark.parametrize(
    "hook",
    [
        lambda whole: whole["attestation"].update(requestHash="0" * 64),
        lambda whole: whole["attestation"].update(statement=kit.b64(kit.cbor(kit.statement() | {"seq": 1}))),
        lambda whole: whole.update(rawBody="another body"),
        lambda whole: whole["attestation"]["pcrs"].update(pcr0="ab" * 48),
        lambda whole: whole["attestation"].update(timestamp=1),
    ],
    ids=["requestHash", "user_data", "body", "pcrs echo", "timestamp"],
)
def test_f4_nothing_self_reported_goes_uncompared(hook: Any) -> None:
    with pytest.raises(VerificationError):
        verify(kit.reply(on_reply=hook))


def test_f5_a_missing_signed_nonce_skips_nothing() -> None:
    with pytest.raises(VerificationError, match="nonce"):
        verify(kit.reply(on_document=lambda made: made.update(nonce=None)))


def test_f6_nothing_that_was_skipped_counts_as_passed(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("verify", "document.bin", "--archive", "--json")
    skipped = json.loads(capsys.readouterr().out)
    assert ([step["step"] for step in skipped["steps"]], skipped["exitCode"]) == ([0, 1, 2, 3, 4, 5], 5)


def test_f7_measurements_come_from_the_policy_alone() -> None:
    with pytest.raises(VerificationError, match="not a listed release"):
        verify(kit.reply(on_document=lambda made: made["pcrs"].update({0: b"\x66" * 48})))


@pytest.mark.parametrize("stdin", [b"", b"\n", b" \r\n\t"])
@pytest.mark.parametrize("command", [("verify", "-", *FULL), ("verify", "-", "--archive"), ("inspect", "-")])
def test_f8_an_empty_standard_input_is_never_success(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stdin: bytes, command: tuple[str, ...]
) -> None:
    assert run(*command, stdin=stdin, monkeypatch=monkeypatch) == Exit.REFUSED


@pytest.mark.parametrize("junk", ["zz", " ", "00", "\n"])
def test_f9_a_nonce_with_trailing_garbage_is_refused(junk: str) -> None:
    with pytest.raises(VerificationError, match="nonce"):
        verify(kit.reply(on_reply=lambda made: made["attestation"].update(nonce=made["attestation"]["nonce"] + junk)))


# --- inspect and verify-many --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reply.json", "document.bin"])
def test_inspect_decodes_and_says_that_it_does_not_judge(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run("inspect", name) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("NOT VERIFIED")
    claims = json.loads(captured.out)
    assert claims["verified"] is False
    assert claims["document"]["pcrs"]["0"] == kit.PCRS[0].hex()


def test_inspect_refuses_what_it_cannot_decode(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for data, code in ((b"{}", 10), (b"\x84", 11), (b"QUJD", 11), (b"\x7f", 10), (kit.sign(b"\x80"), 12)):
        Path("bad").write_bytes(data)
        assert (run("inspect", "bad"), capsys.readouterr().out) == (code, "")


def test_verify_many_judges_every_file_and_counts(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evidence_folder = genuine / "evidence"
    evidence_folder.mkdir()
    for name, data in (("a.json", kit.reply()), ("b.bin", kit.document()), (".hidden", b"")):
        (evidence_folder / name).write_bytes(data)
    assert run("verify-many", "evidence", *FULL, "--jobs", "1") == Exit.VERIFIED
    captured = capsys.readouterr()
    assert [line.partition(": VERIFIED: ")[0] for line in captured.out.splitlines()] == ["a.json", "b.bin"]
    assert captured.err == "2 of 2 verified\n"
    (evidence_folder / "c.json").write_bytes(b"{}")
    assert run("verify-many", "evidence", *FULL, "--jobs", "1", "--json") == Exit.NOT_ALL_VERIFIED
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["file"], line["exitCode"]) for line in lines] == [("a.json", 0), ("b.bin", 0), ("c.json", 10)]


def test_verify_many_works_in_parallel(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parallel = folder / "evidence"
    parallel.mkdir()
    for number in range(6):
        (parallel / f"{number}.json").write_bytes(kit.reply())
    assert run("verify-many", "evidence", *FULL, "--jobs", "2") == Exit.NOT_ALL_VERIFIED
    captured = capsys.readouterr()
    assert captured.out.count("REFUSED: step 3") == 6
    assert captured.err == "0 of 6 verified\n"


def test_a_file_that_fits_no_policy_does_not_stop_the_others(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = genuine / "evidence"
    mixed.mkdir()
    (mixed / "a.json").write_bytes(kit.reply())
    (mixed / "b.bin").write_bytes(kit.document())
    assert run("verify-many", "evidence", "--archive", "--jobs", "1", "--json") == Exit.NOT_ALL_VERIFIED
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["verdict"] for line in lines] == ["unusable", "partly"]


def test_a_certificate_that_no_library_reads_is_a_refusal_in_every_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = kit.odd_leaf().der
    many = folder / "evidence"
    many.mkdir()
    for name, data in (
        ("a.json", kit.reply(on_document=lambda made: made.update(certificate=odd))),
        ("b.bin", kit.document(certificate=odd)),
        ("c.json", kit.reply()),
    ):
        (many / name).write_bytes(data)
    assert run("verify", "evidence/a.json", *FULL) == 12
    assert run("verify", "evidence/b.bin", *FULL) == 12
    assert run("inspect", "evidence/a.json") == 12
    capsys.readouterr()
    for jobs in ("1", "2"):
        assert run("verify-many", "evidence", *FULL, "--jobs", jobs, "--json") == Exit.NOT_ALL_VERIFIED
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(line["file"], line["exitCode"]) for line in lines] == [("a.json", 12), ("b.bin", 12), ("c.json", 13)]


ENDS_ITS_PROCESS = b"ends its process"


def judging_badly(data: bytes, choices: evidence.Choices) -> verdict.Verdict:
    """The verifier with two defects: one that raises, and one that takes its process with it."""
    if data == ENDS_ITS_PROCESS:
        os._exit(9)
    if data == b"raises":
        raise LookupError("a defect\n of ours")
    return evidence.judge(data, choices)


@pytest.mark.parametrize("jobs", ["1", "2", "3"])
def test_a_defect_of_the_verifier_in_one_file_hides_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, jobs: str
) -> None:
    monkeypatch.setattr(many, "judge", judging_badly)
    files = folder / "evidence"
    files.mkdir()
    worst = ENDS_ITS_PROCESS if jobs != "1" else b"raises"  # alone in its process, a verifier cannot outlive that
    for number in range(40):
        (files / f"{number:02}.json").write_bytes({3: b"raises", 20: worst, 33: worst}.get(number, kit.reply()))
    assert run("verify-many", "evidence", *FULL, "--jobs", jobs) == Exit.NOT_ALL_VERIFIED
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"{number:02}.json" for number in range(40)]
    assert {number: line[9:] for number, line in enumerate(lines) if "REFUSED: step 3" not in line} == {
        3: "CRASHED: LookupError: a defect\\n of ours",
        **dict.fromkeys((20, 33), "CRASHED: its process ended" if jobs != "1" else lines[3][9:]),
    }
    assert captured.err == "0 of 40 verified\n"


def test_a_crash_is_a_line_of_json_too(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "judge", judging_badly)
    (folder / "evidence").mkdir()
    (folder / "evidence" / "a.json").write_bytes(b"raises")
    assert run("verify-many", "evidence", *FULL, "--jobs", "1", "--json") == Exit.NOT_ALL_VERIFIED
    line = json.loads(capsys.readouterr().out)
    assert line == {"file": "a.json", "verdict": "crashed", "headline": "LookupError: a defect\\n of ours"}


def test_progress_and_colour_are_for_terminals_only(genuine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, errors = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run("verify", "reply.json", *FULL) == 0
    assert "\x1b[32mok\x1b[0m" in screen.getvalue()
    Path("policy.toml").rename("evidence.txt")
    run("verify-many", ".", "--archive", "--jobs", "1")
    assert "\r1/3" in errors.getvalue()
    screen.truncate(0)
    monkeypatch.setenv("NO_COLOR", "1")
    run("verify", "document.bin", "--archive")
    assert "\x1b" not in screen.getvalue()


def test_hostile_text_reaches_the_terminal_as_printable_ascii(
    genuine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "\x1b]0;pwned\x07\u202e"
    Path("policy.toml").write_text(POLICY)
    for reply in (
        kit.reply(on_statement=lambda made: made["exchanges"][0]["request"].update(method=hostile)),
        kit.reply(on_reply=lambda whole: whole.update(error=hostile)),
        kit.reply(on_document=lambda made: made.update(module_id=hostile)),
    ):
        Path("reply.json").write_bytes(reply)
        for options in ((), ("--json",)):
            run("verify", "reply.json", *FULL, *options)
            printed = capsys.readouterr().out
            assert printed.replace("\n", "").isprintable()
            assert printed.isascii()


def test_the_module_runs_as_a_program(folder: Path) -> None:
    root = Path(cli.__file__).parent.parent
    command = [sys.executable, "-m", "tytle_verifier", "verify", "-", *FULL]
    done = subprocess.run(command, input=kit.reply(), env={"PYTHONPATH": str(root)}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (13, b"")
