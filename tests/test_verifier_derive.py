"""`derive` and the command: the bodies are the attested ones, the values follow, and each contradiction is named."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import verifier_derivations as made
import verifier_kit as kit
import verifier_queries as queries
from hypothesis import given
from hypothesis import strategies as st
from test_verifier_cli import POLICY
from verifier_cases import ROOT, verify
from verifier_derivations import BLOCK, balance, block, hmrc, order, soap, vies

from tytle_verifier import AWS_ROOT, Derived, PolicyError, derive, evidence
from tytle_verifier.cli import main
from tytle_verifier.errors import DerivationError
from tytle_verifier.verdict import Exit

GENUINE = vies(soap())
QUERY = queries.reply(
    on_statement=lambda statement: statement.update(exchanges=[made.exchange(GENUINE)]),
)
BODY = GENUINE.body


def run(reply: bytes, *bodies: bytes) -> Derived:
    return derive(verify(reply, request=None), bodies)


def stated(call: Any, **result: Any) -> bytes:
    """A genuine reply with this call; what is in `result` is changed."""

    def state(statement: dict[str, Any]) -> None:
        statement["exchanges"] = [made.exchange(each) for each in (call if isinstance(call, list) else [call])]
        statement["result"].update(result)

    return queries.reply(on_statement=state)


def test_the_attested_values_follow_from_the_body() -> None:
    derived = run(QUERY, BODY)
    assert (derived.operation, derived.schema, derived.error) == ("vies.check_vat", "VIES", None)
    assert derived.values == queries.VALUES
    assert derived.compared == (
        f"body 1: {len(BODY)} bytes, as attested",
        "request body of call 1: the one for this country and number",
    )
    assert derived.not_compared == ("whether the upstreams told the truth",)


def test_a_code_follows_from_the_body() -> None:
    call = vies(made.fault("INVALID_INPUT"))
    assert run(made.unanswered("vies.check_vat", [call], "upstream-fault"), call.body).error == "upstream-fault"
    with pytest.raises(DerivationError, match="got upstream-fault, expected upstream-unavailable"):
        run(made.unanswered("vies.check_vat", [call], "upstream-unavailable"), call.body)
    with pytest.raises(DerivationError, match="got values, expected upstream-fault"):
        run(made.unanswered("vies.check_vat", [GENUINE], "upstream-fault"), BODY)


def test_values_that_do_not_follow_are_a_contradiction() -> None:
    other = vies(soap().replace("TYTLE LDA", "OTHER"))
    with pytest.raises(DerivationError, match=r"result\.values\.name: got 'OTHER', expected 'TYTLE LDA'"):
        run(stated(other), other.body)
    gone = vies("maintenance")
    with pytest.raises(DerivationError, match="got upstream-malformed"):
        run(stated(gone), gone.body)
    asked = vies(soap(), number="999999990")
    with pytest.raises(DerivationError, match="got upstream-mismatch"):
        run(stated(asked), asked.body)


def test_calls_that_are_not_needed_or_that_are_missing_are_a_contradiction() -> None:
    with pytest.raises(DerivationError, match="got 1 are needed, expected 2 were made"):
        run(stated([GENUINE, GENUINE]), BODY, BODY)
    first = order(json.dumps(made.ORDER))
    reply = made.unanswered("monerium.order_with_balance", [first], "upstream-fault", "MONERIUM_PAYMENT")
    with pytest.raises(DerivationError, match="another one is needed"):
        run(reply, first.body)


def test_a_call_that_the_enclave_refused_ends_the_derivation() -> None:
    first = order(json.dumps(made.ORDER))
    derived = run(
        made.unanswered("monerium.order_with_balance", [first], "call-refused", "MONERIUM_PAYMENT"), first.body
    )
    assert (derived.error, len(derived.not_compared)) == ("call-refused", 2)
    whole = made.unanswered("vies.check_vat", [GENUINE], "call-refused")
    with pytest.raises(DerivationError, match="got values, expected call-refused"):
        run(whole, BODY)


def test_values_without_field_elements_are_unencodable() -> None:
    calls = [order(json.dumps(made.ORDER)), block(BLOCK), balance("0x" + "f" * 64)]
    bodies = [call.body for call in calls]
    reply = made.unanswered("monerium.order_with_balance", calls, "unencodable", "MONERIUM_PAYMENT")
    assert run(reply, *bodies).error == "unencodable"
    for length, good in ((8192, False), (8193, True)):
        call = vies(soap().replace("TYTLE LDA", "é" * (length // 2) + "x" * (length % 2)))
        reply = made.unanswered("vies.check_vat", [call], "unencodable")
        if good:
            assert run(reply, call.body).error == "unencodable"
        else:
            with pytest.raises(DerivationError, match="got values"):
                run(reply, call.body)


def test_true_and_1_are_not_the_same_value() -> None:
    record = {**queries.VALUES, "valid": 1}
    reply = made.reply("vies.check_vat", [GENUINE], record, "VIES", queries.ELEMENTS, **queries.TEXTS)
    with pytest.raises(DerivationError, match=r"valid: got True, expected 1"):
        run(reply, BODY)


def test_other_bodies_say_nothing_about_the_evidence() -> None:
    for bodies in ((), (BODY, BODY), (BODY + b" ",), (BODY[:-1] + b" ",)):
        with pytest.raises(PolicyError):
            run(QUERY, *bodies)


def test_what_cannot_be_derived_is_said() -> None:
    with pytest.raises(PolicyError, match="answer to a fetch"):
        run(kit.reply(), kit.BODY)
    with pytest.raises(PolicyError, match=r"operation vies\.other"):
        run(stated(GENUINE, operation="vies.other"), BODY)
    with pytest.raises(PolicyError, match=r"schema VIES is not one of sicae\.lookup"):
        run(stated(GENUINE, operation="sicae.lookup"), BODY)


def test_of_a_failed_call_there_is_nothing_to_derive() -> None:
    derived = run(kit.reply(on_statement=kit.failed))
    assert (derived.operation, derived.values, derived.error) == (None, None, None)
    assert derived.not_compared[0].startswith("everything")


@given(st.binary(max_size=60), st.integers(100, 599))
def test_any_bodies_give_a_derivation_or_a_typed_error(answer: bytes, status: int) -> None:
    for operation, call, schema in (
        ("vies.check_vat", vies(answer, status), "VIES"),
        ("hmrc.lookup", hmrc(answer, status), "VIES"),
        ("sicae.lookup", made.form(answer, status), "SICAE"),
        ("stripe.get_charge", made.stripe("charges/ch_1", answer, status), "STRIPE_PAYMENT"),
        ("sicae.lookup", vies(answer, status), "SICAE"),
    ):
        verified = UNDERIVED[operation, schema]
        statement = replace(verified.statement, exchanges=(_exchange(verified, call),))
        try:
            assert derive(replace(verified, statement=statement), [answer]).error == "upstream-malformed"
        except DerivationError:
            continue


UNDERIVED = {
    (operation, schema): verify(made.unanswered(operation, [GENUINE], "upstream-malformed", schema), request=None)
    for operation, schema in (
        *(("vies.check_vat", "VIES"), ("hmrc.lookup", "VIES")),
        *(("sicae.lookup", "SICAE"), ("stripe.get_charge", "STRIPE_PAYMENT")),
    )
}


def _exchange(verified: Any, call: Any) -> Any:
    exchange = verified.statement.exchanges[0]
    response = replace(exchange.outcome, status=call.status, headers=call.headers, body=_digest(call.body))
    return replace(exchange, request=call.request, outcome=response)


def _digest(body: bytes) -> Any:
    return replace(GENUINE.request.body, sha256=kit.sha256(body), length=len(body))


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("policy.toml").write_text(POLICY)
    Path("reply.json").write_bytes(QUERY)
    Path("body").write_bytes(BODY)
    return tmp_path


@pytest.fixture
def genuine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our test root in the place of AWS's: only a test can do that, by patching the code."""
    monkeypatch.setattr(
        evidence, "verify_reply", lambda data, **more: replace(verify(data, root=ROOT, **more), root=AWS_ROOT)
    )
    return folder


COMMAND = ("derive", "reply.json", "--policy", "policy.toml", "--archive")


def test_the_command_prints_the_steps_and_the_derivation(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "--body", "body"]) == Exit.VERIFIED
    printed = capsys.readouterr().out.splitlines()
    assert [line[0] for line in printed if line[1:5] == " ok "] == list("0123456789D")
    assert f"      body 1: {len(BODY)} bytes, as attested" in printed
    assert printed[-1].startswith("VERIFIED: ")
    assert printed[-1].endswith("; that follows from the bodies")
    assert main([*COMMAND, "--json", "--body", "body"]) == Exit.VERIFIED
    assert json.loads(capsys.readouterr().out)["derivation"]["values"] == queries.VALUES


def test_a_contradiction_has_its_own_exit_code(genuine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = vies(soap().replace("true", "false"))
    Path("reply.json").write_bytes(stated(other))
    Path("body").write_bytes(other.body)
    assert main([*COMMAND, "--body", "body"]) == Exit.CONTRADICTED
    printed = capsys.readouterr().out
    assert "D NO  derivation from raw bodies\n      result.values.valid: got False, expected True" in printed
    assert printed.splitlines()[-1].startswith("CONTRADICTED: ")
    assert main([*COMMAND, "--json", "--body", "body"]) == Exit.CONTRADICTED
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["exitCode"], said["derivation"]["expected"]) == ("contradicted", 7, "True")


def test_a_derived_code_and_a_failed_call_exit_as_attested_failures(genuine: Path) -> None:
    call = vies(made.fault("TIMEOUT"))
    Path("reply.json").write_bytes(made.unanswered("vies.check_vat", [call], "upstream-unavailable"))
    Path("body").write_bytes(call.body)
    assert main([*COMMAND, "--body", "body"]) == Exit.ATTESTED_FAILURE
    Path("reply.json").write_bytes(kit.reply(on_statement=kit.failed))
    assert main([*COMMAND]) == Exit.ATTESTED_FAILURE


def test_several_bodies_are_taken_in_their_order(genuine: Path) -> None:
    calls = [order(json.dumps(made.ORDER)), block(BLOCK), balance("0x" + "f" * 64)]
    Path("reply.json").write_bytes(
        made.unanswered("monerium.order_with_balance", calls, "unencodable", "MONERIUM_PAYMENT")
    )
    for index, call in enumerate(calls):
        Path(f"body{index}").write_bytes(call.body)
    assert main([*COMMAND, "--body", "body0", "body1", "--body", "body2"]) == Exit.ATTESTED_FAILURE
    assert main([*COMMAND, "--body", "body0", "body2", "body1"]) == Exit.UNUSABLE_INPUT


def test_nothing_is_derived_from_what_does_not_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "--body", "body"]) == Exit.REFUSED + 3
    assert "derivation" not in capsys.readouterr().out


def test_wrong_input_is_said_to_be_that(genuine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("other").write_bytes(b"other")
    assert main([*COMMAND, "--body", "other"]) == Exit.UNUSABLE_INPUT
    assert main([*COMMAND]) == Exit.UNUSABLE_INPUT
    assert main(["derive", "reply.json", "--archive", "--body", "body"]) == Exit.UNUSABLE_INPUT
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(kit.document())))
    assert main(["derive", "-", "--policy", "policy.toml", "--archive"]) == Exit.UNUSABLE_INPUT
